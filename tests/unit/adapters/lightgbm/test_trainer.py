"""LightGBM's forests, compiled: the same scores, and none that is not worth having."""

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from noisefs.adapters.outbound.lightgbm.compiling import compiled
from noisefs.adapters.outbound.lightgbm.trainer import LightGbmTrainer
from noisefs.core.domain.caching.scoring import kernel
from noisefs.core.domain.caching.scoring.forest import Forest
from noisefs.core.domain.caching.scoring.samples import HORIZONS, Samples


def learnable(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(1)
    rows = (random.random((count, 6)) * 1000).astype(np.float32)
    labels = (rows[:, 1] + rows[:, 2] > 900).astype(np.float32)
    return rows, labels


def samples(rows: NDArray[np.float32], labels: NDArray[np.float32]) -> Samples:
    """All settled; those with a label were read again at once."""
    ages = np.arange(len(rows), 0, -1) + 1000
    return Samples(rows, ages, labels.astype(np.int64), 100.0)


def scores(forest: Forest, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.array(
        [kernel.score(row, forest.feature, forest.threshold, forest.leaves, forest.horizons) for row in rows]
    )


def test_the_compiled_forest_scores_as_lightgbm_does() -> None:
    rows, labels = learnable(3000)
    parameters = {"objective": "binary", "max_depth": 4, "verbose": -1, "num_threads": 1, "use_missing": False}
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, labels), 20)
    short = lightgbm.train(parameters, lightgbm.Dataset(rows, 1 - labels), 5)
    forest = compiled([each.dump_model()["tree_info"] for each in (booster, short)], 6)
    assert forest is not None
    assert (forest.horizons, len(forest.leaves)) == (2, 40)
    assert scores(forest, rows) == pytest.approx(booster.predict(rows) + short.predict(rows), abs=1e-4)


def test_what_can_be_learned_is_learned_the_same_way_each_time() -> None:
    rows, labels = learnable(3000)
    forest = LightGbmTrainer().train(samples(rows, labels), 7)
    again = LightGbmTrainer().train(samples(rows, labels), 7)
    assert forest is not None
    assert again is not None
    assert forest.encode() == again.encode()
    assert forest.horizons == len(HORIZONS)
    assert np.corrcoef(scores(forest, rows), labels)[0, 1] > 0.8


def test_a_model_of_noise_is_discarded() -> None:
    rows, _ = learnable(8000)
    labels = (np.random.default_rng(2).random(8000) < 0.5).astype(np.float32)
    assert LightGbmTrainer().train(samples(rows, labels), 0) is None


def test_too_few_samples_teach_nothing() -> None:
    rows, labels = learnable(300)
    assert LightGbmTrainer().train(samples(rows, labels), 0) is None
    rows, labels = learnable(2000)
    assert LightGbmTrainer().train(samples(rows, np.zeros_like(labels)), 0) is None


def test_rows_that_are_younger_than_a_horizon_do_not_teach_it() -> None:
    rows, labels = learnable(3000)
    young = samples(rows, labels)._replace(residence_reads=3900.0)
    forest = LightGbmTrainer().train(young, 0)
    assert forest is not None
    assert forest.horizons == 2, "a quarter and half of 3900 reads have passed for most, all of them for 101 rows only"
