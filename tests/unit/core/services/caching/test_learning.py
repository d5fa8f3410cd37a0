"""Tiers that learn: a model is trained elsewhere, used only if it is worth it, kept, and never in the way."""

import random

import numpy as np
import pytest

from noisefs.adapters.outbound.lightgbm.process import TrainerProcess
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.core.domain.caching.learned import Learned
from noisefs.core.domain.caching.policy import CachePolicy
from noisefs.core.domain.caching.scoring.forest import Forest
from noisefs.core.domain.caching.scoring.samples import Samples
from noisefs.core.domain.ids import BodyId
from noisefs.core.errors import Unavailable
from noisefs.core.ports.cache_model import CacheTrainer
from noisefs.core.ports.telemetry import Counter
from noisefs.core.services.bodies.hot import HotTier, Slice
from noisefs.core.services.caching.learning import Learning, Taught
from tests.support.disk_cache import WarmParts


class Failing(CacheTrainer):
    """As where LightGBM is not installed."""

    def train(self, samples: Samples, seed: int) -> Forest | None:
        raise Unavailable("no library")


def read_a_lot(hot: HotTier, reads: int) -> None:
    """Some slices again and again, most of them once."""
    chance = random.Random(1)
    once = 1_000_000
    for _ in range(reads):
        number = min(int(chance.paretovariate(0.6)), 5000)
        if chance.random() < 0.3:
            once += 1
            number = once
        body_id = BodyId(number.to_bytes(16, "big"))
        if hot.slice(body_id, 0) is None:
            hot.keep_slice(body_id, 0, Slice(bytes(100), 0))


def model_of(policy: CachePolicy) -> object:
    assert isinstance(policy, Learned)
    return policy.scored.model


async def test_a_model_is_trained_used_kept_and_used_again_after_a_restart() -> None:
    parts, telemetry = WarmParts(), MemoryTelemetry()
    hot = HotTier(60_000, Learned)
    taught = [Taught("memory", hot, parts.hot_list())]
    learning = Learning(taught, TrainerProcess(), workers=InlineWorkers(), telemetry=telemetry)
    await learning.start()
    await learning.step()
    assert hot.with_policy(model_of) is None, "nothing to learn from"
    read_a_lot(hot, 30_000)
    await learning.step()
    assert telemetry.counted(Counter.TRAININGS, ("memory", "used")) == 1
    assert hot.with_policy(model_of) is not None
    again = HotTier(60_000, Learned)
    await Learning(
        [Taught("memory", again, parts.hot_list())], TrainerProcess(), workers=InlineWorkers(), telemetry=telemetry
    ).start()
    assert again.with_policy(model_of) is not None
    read_a_lot(again, 2000)
    assert again.state().bytes <= 60_000


async def test_without_a_trainer_the_fixed_policies_decide() -> None:
    parts, telemetry = WarmParts(), MemoryTelemetry()
    hot = HotTier(60_000, Learned)
    learning = Learning(
        [Taught("memory", hot, parts.hot_list())], Failing(), workers=InlineWorkers(), telemetry=telemetry
    )
    read_a_lot(hot, 30_000)
    await learning.step()
    assert telemetry.counted(Counter.TRAININGS, ("memory", "failed")) == 1
    assert hot.with_policy(model_of) is None


@pytest.mark.parametrize("messages", [[], [b""], [b"NFSCACHE" + bytes(100)], [b"x" * 5000]])
async def test_a_damaged_model_is_none(messages: list[bytes]) -> None:
    parts = WarmParts()
    parts.hot_list().save(messages)
    hot = HotTier(60_000, Learned)
    learning = Learning(
        [Taught("memory", hot, parts.hot_list())], Failing(), workers=InlineWorkers(), telemetry=MemoryTelemetry()
    )
    await learning.start()
    assert hot.with_policy(model_of) is None


def test_a_training_that_takes_too_long_is_ended() -> None:
    with pytest.raises(Unavailable):
        TrainerProcess(0.0).train(
            Samples(np.zeros((2000, 5), np.float32), np.ones(2000, np.int64), np.zeros(2000, np.int64), 1.0), 1
        )
