"""Packs leave the disk when nodes hold them, the longest unread first, and only then; writers feel it if none may."""

import asyncio

import msgspec
import pytest

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.records import Copies
from noisefs.core.errors import SlowDown
from noisefs.core.ports.telemetry import Counter, Gauge
from noisefs.core.services.bodies.gate import SpaceGate
from noisefs.core.services.network.releasing.eviction import LEAST_PACKS, Evictor
from noisefs.core.services.packs.copies import copies_of, set_copies
from tests.support.bodies import content, get_body, put_body
from tests.support.network import NetworkedStore, networked_store

S = 131072
HOUR_S = 3600


def evictor(net: NetworkedStore, limit_packs: float) -> Evictor:
    """One over the store's packs, with a limit below what is sensible."""
    made = Evictor(
        index=net.parts.index,
        packs=net.parts.packs,
        commits=net.store.commits,
        workers=net.workers,
        clock=net.clock,
        telemetry=net.telemetry,
        geometry=net.parts.geometry,
        nodes=net.nodes,
        reads=net.reads,
        seeds=net.store.seeds,
        gate=net.store.gate,
        limit_bytes=1,
    )
    assert made.limit_bytes == LEAST_PACKS * net.parts.geometry.pack_bytes
    sealed = [pack.size_bytes for pack in net.parts.packs.list() if pack.sealed]
    made.limit_bytes = int(limit_packs * max(sealed))
    return made


def copies(net: NetworkedStore, pack_id: PackId) -> Copies:
    """The pack's row."""
    row = net.parts.index.read(lambda tx: copies_of(tx, pack_id))
    assert row is not None
    return row


async def change(net: NetworkedStore, pack_id: PackId, **fields: object) -> None:
    """Change the pack's row."""
    row = msgspec.structs.replace(copies(net, pack_id), **fields)
    await net.store.commits.run(lambda tx: set_copies(tx, pack_id, row))


async def test_the_longest_unread_goes_first_and_only_as_many_as_needed() -> None:
    clock = ManualClock()
    async with networked_store("one", clock=clock) as net:
        bodies = []
        for number in range(4):
            bodies.append(await put_body(net.store, content(8 * S, number)))
            await net.upload("one")
            clock.advance(HOUR_S)
        sealed = {pack.pack_id for pack in net.parts.packs.list()}
        assert await get_body(net.store, bodies[0]) == content(8 * S, 0)  # read now: the youngest of all
        await evictor(net, 2.5).run()
        assert net.telemetry.counted(Counter.PACKS_EVICTED) == 2
        gone = sealed - set(net.local())
        for number, extents in enumerate(bodies):
            run = net.parts.index.read(lambda tx: net.store.cells.locate(extents[0].body_id, 0, 1))  # noqa: B023
            assert (run[0][1].pack_id in gone) == (number in (1, 2))
            assert await get_body(net.store, extents) == content(8 * S, number)
        for pack_id in gone:
            assert not copies(net, pack_id).local


@pytest.mark.parametrize("fields", [{"confirmed_us": 0}, {"nodes": ()}, {"wanted": 2}, {"nodes": ("gone",)}])
async def test_what_is_not_confirmed_is_never_evicted(fields: dict[str, object]) -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(8 * S))
        (pack_id,) = await net.upload("one")
        await change(net, pack_id, **fields)
        assert await evictor(net, 0.1).run() == 0
        assert net.local() == [pack_id]


async def test_a_file_left_by_a_crash_is_removed() -> None:
    async with networked_store("one") as net:
        extents = await put_body(net.store, content(8 * S))
        (pack_id,) = await net.upload("one")
        await change(net, pack_id, local=False)
        assert await evictor(net, 100).run() == 0
        assert net.local() == []
        assert await get_body(net.store, extents) == content(8 * S)


async def test_a_pack_that_was_evicted_opens_no_other_pack() -> None:
    async with networked_store("one") as net:
        for number in range(3):
            await put_body(net.store, content(8 * S, number))
            await net.upload("one")
        await evictor(net, 0.01).run()
        assert net.local() == []
        net.shelves["one"].hangs = True
        extents = await put_body(net.store, content(8 * S, 9))  # needs seeds: none of a pack that is away
        assert await get_body(net.store, extents) == content(8 * S, 9)


async def test_reads_are_noted_in_rows_to_the_hour() -> None:
    clock = ManualClock()
    async with networked_store("one", clock=clock) as net:
        extents = await put_body(net.store, content(8 * S))
        (pack_id,) = await net.upload("one")
        clock.advance(5 * HOUR_S)
        await get_body(net.store, extents)
        keeper = evictor(net, 100)
        await keeper.note_reads()
        noted = copies(net, pack_id).read_us
        assert noted == clock.now_us() // (HOUR_S * 10**6) * HOUR_S * 10**6
        sequence = net.parts.index.sequence()
        await get_body(net.store, extents)
        await keeper.note_reads()
        assert net.parts.index.sequence() == sequence  # nothing new: no commit


async def test_writers_are_told_how_crowded_the_disk_is() -> None:
    async with networked_store("one") as net:
        await put_body(net.store, content(8 * S))
        await net.upload("one", confirmed=False)
        keeper = evictor(net, 0.5)
        await keeper.watch()
        assert (net.telemetry.gauged(Gauge.LOCAL_PACK_BYTES) or 0) > keeper.limit_bytes
        await asyncio.sleep(0)
        net.store.gate.crowd_patience_s = 0.0
        with pytest.raises(SlowDown):
            await put_body(net.store, content(2 * S))


async def test_a_writer_that_waits_goes_on_when_packs_leave() -> None:
    gate = SpaceGate()
    gate.crowd(1.2)
    gate.check()
    waiting = asyncio.create_task(gate.take(100))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    gate.crowd(0.5)
    await waiting
    await gate.take(100)


async def test_who_waited_in_vain_is_told_to_slow_down() -> None:
    gate = SpaceGate(crowd_patience_s=0.01)
    gate.crowd(1.0)
    with pytest.raises(SlowDown):
        await gate.take(100)
    with pytest.raises(SlowDown):
        gate.check()
    gate.crowd(0.0)
    gate.check()
