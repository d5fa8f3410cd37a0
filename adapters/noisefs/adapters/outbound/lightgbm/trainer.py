"""Training with LightGBM. The library is imported at the first training: it takes a second, and needs libgomp."""

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from noisefs.adapters.outbound.lightgbm.compiling import compiled
from noisefs.core.domain.caching.forest import MOST_LEAVES, Forest
from noisefs.core.errors import Unavailable
from noisefs.core.ports.cache_model import CacheTrainer

LEAST_ROWS: Final = 1000
LEAST_OF_A_LABEL: Final = 20
TREES: Final = 30
LEARNING_RATE: Final = 0.15
NEWEST_SHARE: Final = 0.15
"""So many of the rows, the newest, judge the model."""
_MOST_PROBABLE: Final = 1 - 1e-6


class LightGbmTrainer(CacheTrainer):
    """Small forests of a binary classification, one thread."""

    def train(self, rows: NDArray[np.float32], labels: NDArray[np.float32], seed: int) -> Forest | None:
        """As the port says.

        Raises:
            Unavailable: LightGBM, or the system's libgomp, is not installed.
        """
        again = int(labels.sum())
        if len(labels) < LEAST_ROWS or min(again, len(labels) - again) < LEAST_OF_A_LABEL:
            return None
        library = _library()
        older = len(labels) - int(len(labels) * NEWEST_SHARE)
        parameters = {
            "objective": "binary",
            "num_leaves": MOST_LEAVES,
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
        booster = library.train(parameters, library.Dataset(rows[:older], labels[:older]), TREES)
        forest = compiled(booster.dump_model()["tree_info"], rows.shape[1])
        return (
            forest if forest is not None and _is_better(forest, rows[older:], labels[older:], labels[:older]) else None
        )


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


def _is_better(
    forest: Forest, rows: NDArray[np.float32], labels: NDArray[np.float32], older: NDArray[np.float32]
) -> bool:
    """Whether the forest tells more about rows it has not seen than the older labels' mean does: by log loss."""
    probable = 1 / (1 + np.exp(-forest.score(rows).astype(np.float64)))
    mean = np.full(len(labels), older.mean(), dtype=np.float64)
    return _loss(probable, labels) < _loss(mean, labels)


def _loss(probable: NDArray[np.float64], labels: NDArray[np.float32]) -> float:
    inside = np.clip(probable, 1 - _MOST_PROBABLE, _MOST_PROBABLE)
    return float(-np.mean(np.where(labels > 0, np.log(inside), np.log(1 - inside))))
