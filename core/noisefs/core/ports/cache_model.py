"""Learning which cells are read again: a trainer makes a model from what has happened."""

import abc

import numpy as np
from numpy.typing import NDArray

from noisefs.core.domain.caching.forest import Forest


class CacheTrainer(abc.ABC):
    """Makes models. Synchronous and slow: call it in a process of its own, or in a replay."""

    @abc.abstractmethod
    def train(self, rows: NDArray[np.float32], labels: NDArray[np.float32], seed: int) -> Forest | None:
        """A model of which rows are read again, if one is worth having.

        The newest rows are kept back and judge it: a model that says no more about them than the mean of the older
        labels does is discarded. Equal arguments give an equal model. May be repeated.

        Args:
            rows: One per sample, the oldest first.
            labels: 1 for read again within the window, 0 for not.
            seed: Of every random choice.

        Returns:
            ``None`` where there is too little to learn from, or what was learned is not better than the mean.

        Cost: about a second of CPU for 30,000 rows.
        """
