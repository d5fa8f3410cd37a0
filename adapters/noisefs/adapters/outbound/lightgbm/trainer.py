"""Training with LightGBM. The library is imported at the first training: it takes a second, and needs libgomp."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from noisefs.adapters.outbound.lightgbm.compiling import Node, compiled
from noisefs.core.domain.caching.scoring.forest import LEAVES, LEVELS, Forest
from noisefs.core.domain.caching.scoring.samples import HORIZONS, Samples
from noisefs.core.errors import Unavailable
from noisefs.core.ports.cache_model import CacheTrainer

LEAST_ROWS: Final = 500
LEAST_OF_A_LABEL: Final = 20
TREES: Final = 15
LEARNING_RATE: Final = 0.2
NEWEST_SHARE: Final = 0.15
"""So many of the rows, the newest, judge what was learned of the others."""
_MOST_PROBABLE: Final = 1 - 1e-6


class LightGbmTrainer(CacheTrainer):
    """A small binary classification for each horizon, one thread."""

    def train(self, samples: Samples, seed: int) -> Forest | None:
        """As the port says.

        Raises:
            Unavailable: LightGBM, or the system's libgomp, is not installed.
        """
        horizons = [trees for horizon in HORIZONS if (trees := _learn(*samples.settled(horizon), seed)) is not None]
        return compiled(horizons, samples.rows.shape[1])


def _learn(rows: NDArray[np.float32], labels: NDArray[np.float32], seed: int) -> Sequence[Node] | None:
    """The trees of one horizon, of all rows, if those of the older rows tell something about the newest."""
    again = int(labels.sum())
    if len(labels) < LEAST_ROWS or min(again, len(labels) - again) < LEAST_OF_A_LABEL:
        return None
    library = _library()
    parameters = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "max_depth": LEVELS,
        "learning_rate": LEARNING_RATE,
        "min_data_in_leaf": 20,
        "max_bin": 127,
        "feature_fraction": 0.8,
        "use_missing": False,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbose": -1,
    }
    older = len(labels) - int(len(labels) * NEWEST_SHARE)
    judged = library.train(parameters, library.Dataset(rows[:older], labels[:older]), TREES)
    mean = np.full(len(labels) - older, labels[:older].mean(), dtype=np.float64)
    if _loss(judged.predict(rows[older:]), labels[older:]) >= _loss(mean, labels[older:]):
        return None
    trees: Sequence[Node] = library.train(parameters, library.Dataset(rows, labels), TREES).dump_model()["tree_info"]
    return trees


class _Library(Protocol):
    # Any: LightGBM's own objects, not typed for us.
    Dataset: Any

    def train(self, params: dict[str, Any], train_set: Any, num_boost_round: int) -> Any: ...


def _library() -> _Library:
    try:
        import lightgbm
    except (ImportError, OSError) as exc:
        raise Unavailable(f"LightGBM cannot be loaded: {exc}; install the extra `learned` and libgomp1") from exc
    library: _Library = lightgbm
    return library


def _loss(probable: NDArray[np.float64], labels: NDArray[np.float32]) -> float:
    """Log loss."""
    inside = np.clip(probable, 1 - _MOST_PROBABLE, _MOST_PROBABLE)
    return float(-np.mean(np.where(labels > 0, np.log(inside), np.log(1 - inside))))
