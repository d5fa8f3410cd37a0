"""The jobs as a running server has them."""

import asyncio
from functools import partial

import pytest

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.core.errors import InvalidArgument
from noisefs.core.ports.telemetry import Counter
from noisefs.core.services.jobs import Jobs
from noisefs.core.services.network.nodes.turns import in_turns
from tests.support.upkeep import ShakyNode, Upkeep, three, upkeep


def running(world: Upkeep) -> Jobs:
    jobs = Jobs(
        clock=world.clock, workers=world.store.workers, telemetry=world.telemetry, presence=world.store.presence
    )
    jobs.start(world.network.jobs())
    return jobs


async def passing(world: Upkeep, rounds: int) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)
        if (wait_s := world.clock.next_wake_s()) is not None and _ % 50 == 0:
            world.later(wait_s)


async def test_a_sealed_pack_goes_up_by_itself_and_a_dropped_one_goes() -> None:
    async with upkeep(*three()) as world:
        jobs = running(world)
        (first,) = await world.fill()
        world.network.pack_sealed()
        await passing(world, 2000)
        assert world.holders(first)

        await world.forget()
        world.network.pack_dropped(first)
        await passing(world, 5000)

        assert not any(node.pinned for node in world.nodes.values())
        assert world.files.list() == []
        assert not world.telemetry.counted(Counter.JOB_FAILURES)
        await jobs.stop()


async def test_an_end_does_not_wait_for_what_is_under_way() -> None:
    async with upkeep(ShakyNode("a")) as world:
        world.nodes["a"].gate = asyncio.Event()
        jobs = running(world)
        await world.fill()
        world.network.pack_sealed()
        await passing(world, 2000)
        assert world.network.nodes.changing("a").locked()

        world.network.interrupt()
        await jobs.stop()
        await world.network.close()

        assert not world.network.nodes.changing("a").locked()
        assert not world.telemetry.counted(Counter.JOB_FAILURES)
        world.nodes["a"].gate = None
        await world.restart()
        await world.network.uploads.run()
        world.check(1)


async def test_a_configured_node_is_not_forgotten() -> None:
    async with upkeep(ShakyNode("a")) as world:
        with pytest.raises(InvalidArgument, match="not in the configuration any more"):
            await world.network.forget_node("a")


async def test_an_operator_sees_every_node() -> None:
    nodes = [ShakyNode("a", zone="x", managed=True), ShakyNode("b")]
    async with upkeep(*nodes) as world:
        world.nodes["b"].down = True
        await world.fill()
        found = await world.network.check()

        assert found.upload_packs == 1
        a, b = await world.network.report()
        assert (a.name, a.zone, a.managed, a.ready, a.configured, a.draining, a.unpins) == (
            "a", "x", True, True, True, False, 0,
        )  # fmt: skip
        assert not b.ready
        assert b.state is not None
        assert "refused" in b.state.reason


async def test_pieces_that_share_a_node_take_turns_and_others_pass() -> None:
    log: list[str] = []
    gates = {name: asyncio.Event() for name in "abc"}

    async def work(piece: str) -> str:
        log.append(f"begin {piece}")
        await gates[piece[0]].wait()
        log.append(f"end {piece}")
        return piece.upper()

    pieces = ["a1", "a2", "b1", "c1", "b2"]
    turns = in_turns(pieces, work=work, nodes_of=lambda it: it[0], at_once=2, clock=ManualClock(), until_s=1)
    done: list[tuple[str, str]] = []

    async def collect() -> None:
        done.extend([one async for one in turns])

    task = asyncio.create_task(collect())
    for _ in range(20):
        await asyncio.sleep(0)
    assert log == ["begin a1", "begin b1"]
    gates["b"].set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert log[2:] == ["end b1", "begin c1"]
    gates["c"].set()
    gates["a"].set()
    await task

    assert sorted(done) == [(it, it.upper()) for it in ("a1", "a2", "b1", "b2", "c1")]
    assert pieces == []


async def test_what_is_late_is_left() -> None:
    clock = ManualClock()

    async def work(piece: int) -> int:
        clock.advance(1)
        return piece

    pieces = list(range(5))
    turns = in_turns(pieces, work=work, nodes_of=partial(_nobody), at_once=1, clock=clock, until_s=2)

    assert [piece async for piece, _ in turns] == [0, 1]
    assert pieces == [2, 3, 4]


def _nobody(_piece: int) -> list[str]:
    return []
