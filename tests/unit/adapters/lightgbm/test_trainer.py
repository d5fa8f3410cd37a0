"""LightGBM's forests, compiled: the same scores, and none that is not worth having."""

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from noisefs.adapters.outbound.lightgbm.compiling import compiled
from noisefs.adapters.outbound.lightgbm.trainer import LightGbmTrainer


def samples(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    random = np.random.default_rng(1)
    rows = (random.random((count, 6)) * 1000).astype(np.float32)
    labels = (rows[:, 1] + rows[:, 2] > 900).astype(np.float32)
    return rows, labels


def test_the_compiled_forest_scores_as_lightgbm_does() -> None:
    rows, labels = samples(3000)
    parameters = {"objective": "binary", "num_leaves": 16, "verbose": -1, "num_threads": 1, "use_missing": False}
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, labels), 20)
    forest = compiled(booster.dump_model()["tree_info"], 6)
    assert forest is not None
    expected = booster.predict(rows, raw_score=True)
    assert forest.score(rows) == pytest.approx(expected, abs=1e-4)


def test_what_can_be_learned_is_learned_the_same_way_each_time() -> None:
    rows, labels = samples(3000)
    forest = LightGbmTrainer().train(rows, labels, 7)
    again = LightGbmTrainer().train(rows, labels, 7)
    assert forest is not None
    assert again is not None
    assert forest.encode() == again.encode()
    assert np.corrcoef(forest.score(rows), labels)[0, 1] > 0.8


def test_a_model_of_noise_is_discarded() -> None:
    rows, _ = samples(2000)
    labels = (np.random.default_rng(2).random(2000) < 0.5).astype(np.float32)
    assert LightGbmTrainer().train(rows, labels, 0) is None


def test_too_few_samples_teach_nothing() -> None:
    rows, labels = samples(500)
    assert LightGbmTrainer().train(rows, labels, 0) is None
    rows, labels = samples(2000)
    assert LightGbmTrainer().train(rows, np.zeros_like(labels), 0) is None
