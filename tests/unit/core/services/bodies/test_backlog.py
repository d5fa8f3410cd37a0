"""The bounded backlog of small objects, and the gate before writers."""

import asyncio

import pytest

from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.errors import SlowDown
from noisefs.core.ports.telemetry import Gauge
from noisefs.core.services.bodies import backlog as backlog_module
from noisefs.core.services.bodies import gate as gate_module
from noisefs.core.services.bodies.backlog import Backlog
from noisefs.core.services.bodies.gate import SpaceGate
from noisefs.core.services.store import StoreSettings
from tests.support.bodies import content, drop_body, put_body
from tests.support.faults import faulty_store, steps


def small() -> tuple[Backlog, MemoryTelemetry]:
    """Wakes the packer at 100 bytes, holds writers back at 200."""
    telemetry = MemoryTelemetry()
    return Backlog(telemetry, max_bytes=200, wake_bytes=100), telemetry


async def test_the_packer_is_woken_when_enough_waits() -> None:
    backlog, telemetry = small()
    backlog.added(99)
    assert not backlog.wake.is_set()
    backlog.added(1)
    assert backlog.wake.is_set()
    assert telemetry.gauged(Gauge.INLINE_BACKLOG) == 100


async def test_a_writer_waits_while_the_backlog_is_full_and_goes_on_when_there_is_room() -> None:
    backlog, _telemetry = small()
    await backlog.admit()
    backlog.added(200)
    waiting = asyncio.ensure_future(backlog.admit())
    await steps(5)
    assert not waiting.done()
    backlog.removed(1)
    await waiting


async def test_a_writer_that_waits_too_long_is_told_to_slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog_module, "PATIENCE_S", 0.0)
    backlog, _telemetry = small()
    backlog.added(500)
    with pytest.raises(SlowDown, match="500 bytes of small objects wait") as caught:
        await backlog.admit()
    assert caught.value.retryable


async def test_objects_deleted_before_they_are_packed_do_not_fill_the_backlog_for_ever() -> None:
    async with faulty_store(settings=StoreSettings(inline_max_bytes=1 << 20)) as (store, _parts):
        for number in range(40):
            await drop_body(store, await put_body(store, content(20000, number)))
            if number % 10 == 0:
                await store.packer.run()
        await store.packer.run()
        assert store.backlog.bytes == 0


async def test_the_backlog_is_known_after_a_restart() -> None:
    async with faulty_store() as (store, parts):
        await put_body(store, content(20000))
        await put_body(store, content(500))
        again = parts.store()
        await again.start(background=False)
        assert again.backlog.bytes == 20016


async def test_the_gate_holds_writers_back_until_the_cleaner_opens_it() -> None:
    gate = SpaceGate()
    await gate.admit()
    assert not gate.wake.is_set()
    gate.set(relaxed=False)
    waiting = asyncio.ensure_future(gate.admit())
    await steps(5)
    assert not waiting.done()
    assert gate.wake.is_set()
    gate.set(relaxed=True)
    await waiting


async def test_no_writer_is_refused_for_want_of_cleaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "PATIENCE_S", 0.0)
    gate = SpaceGate()
    gate.set(relaxed=False)
    await gate.admit()
