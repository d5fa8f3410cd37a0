"""The bounded backlog of small objects, and the gate before writers."""

import asyncio

import pytest

from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.errors import DiskFull, SlowDown
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


async def test_the_gate_lets_as_much_pass_as_there_is_room_for() -> None:
    gate = SpaceGate()
    await gate.take(1 << 40)
    gate.grant(100)
    await gate.take(40)
    assert not gate.look.is_set()
    await gate.take(59)
    assert gate.scarce
    assert gate.look.is_set()  # somebody is to look, before anybody has to wait
    assert not gate.wake.is_set()
    await gate.take(1000)  # the last one may be more than there is room for
    waiting = [asyncio.ensure_future(gate.take(60)) for _ in range(3)]
    await steps(5)
    assert gate.wake.is_set()
    assert [task.done() for task in waiting] == [False, False, False]
    gate.grant(100)
    await steps(5)
    assert [task.done() for task in waiting] == [True, True, False]
    gate.grant(None)
    await waiting[2]
    await gate.take(1 << 40)


async def test_who_goes_away_leaves_the_queue_to_others() -> None:
    gate = SpaceGate()
    gate.grant(0)
    gone, waiting = (asyncio.ensure_future(gate.take(10)) for _ in range(2))
    await steps(5)
    gone.cancel()
    await steps(5)
    gate.grant(1)
    await waiting


async def test_a_full_disk_refuses_before_the_first_byte() -> None:
    gate = SpaceGate()
    gate.check()
    gate.close("no space")
    with pytest.raises(DiskFull, match="no space"):
        gate.check()
    gate.close("")
    gate.check()


async def test_no_writer_is_refused_for_want_of_cleaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "PATIENCE_S", 0.0)
    gate = SpaceGate()
    gate.grant(-1)
    await gate.take(10)
    await gate.take(10)
