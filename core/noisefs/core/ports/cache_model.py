"""Learning which cells are read again: a trainer makes a model from what has happened."""

import abc

from noisefs.core.domain.caching.scoring.forest import Forest
from noisefs.core.domain.caching.scoring.samples import Samples


class CacheTrainer(abc.ABC):
    """Makes models. Synchronous and slow: call it in a process of its own, or in a replay."""

    @abc.abstractmethod
    def train(self, samples: Samples, seed: int) -> Forest | None:
        """A model of which rows are read again, if one is worth having.

        For each horizon the newest rows are kept back and judge what was learned of the older ones: a horizon of which
        it says no more than the mean of the older labels does is left out. Equal arguments give an equal model. May
        be repeated.

        Args:
            samples: What has happened.
            seed: Of every random choice.

        Returns:
            ``None`` where there is too little to learn from, or nothing of it is better than the mean.

        Cost: about a second of CPU for 30,000 rows.
        """
