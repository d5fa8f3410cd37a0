"""Who is there, who is left alone, and who counts."""

import asyncio

import pytest

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.memory.node import MemoryNode
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.errors import InvalidArgument, NodeFull, NodeUnavailable
from noisefs.core.ports.telemetry import Counter, Gauge
from noisefs.core.services.network.nodes.registry import FULL_REST_S, MOST_REST_S, Nodes


class World:
    def __init__(self, *nodes: MemoryNode, draining: str = "", down_after_s: float = 100) -> None:
        self.clock = ManualClock()
        self.telemetry = MemoryTelemetry()
        self.nodes = Nodes(
            nodes,
            clock=self.clock,
            entropy=SeededEntropy(1),
            telemetry=self.telemetry,
            draining=list(draining),
            down_after_s=down_after_s,
        )


def failure(name: str) -> NodeUnavailable:
    return NodeUnavailable(name, "doing something", "no answer")


def test_names_must_differ_and_draining_ones_must_exist() -> None:
    with pytest.raises(InvalidArgument, match="each must be there once"):
        World(MemoryNode("a"), MemoryNode("a"))
    with pytest.raises(InvalidArgument, match="draining nodes"):
        World(MemoryNode("a"), draining="b")


async def test_nobody_is_usable_before_he_was_asked_but_may_be_read_from() -> None:
    world = World(MemoryNode("a"), MemoryNode("b"))

    assert world.nodes.usable() == []
    assert [node.name for node in world.nodes.readable()] == ["a", "b"]
    await world.nodes.look()
    assert [node.name for node in world.nodes.usable()] == ["a", "b"]
    assert world.telemetry.gauged(Gauge.NODE_USABLE, ("a",)) == 1


async def test_a_node_that_fails_is_left_alone_longer_each_time_and_forgiven_when_it_works() -> None:
    world = World(MemoryNode("a"), MemoryNode("b"))
    await world.nodes.look()
    rests = []
    for _ in range(12):
        world.nodes.failed("a", failure("a"))
        assert not world.nodes.is_ready("a")
        assert world.nodes.is_ready("b")
        assert [node.name for node in world.nodes.readable()] == ["b", "a"]
        rest_s = 0.0
        while not world.nodes.is_ready("a"):
            world.clock.advance(0.25)
            rest_s += 0.25
        rests.append(rest_s)

    assert rests[0] <= 1.25
    assert MOST_REST_S / 2 <= rests[-1] <= MOST_REST_S + 1
    assert world.telemetry.counted(Counter.NODE_FAILURES, ("a",)) == 12
    world.nodes.worked("a")
    world.nodes.failed("a", failure("a"))
    world.clock.advance(1)
    assert world.nodes.is_ready("a")


async def test_a_full_node_rests_long_enough() -> None:
    world = World(MemoryNode("a"))
    await world.nodes.look()
    world.nodes.failed("a", NodeFull("a", "import", "no space left"))
    world.clock.advance(FULL_REST_S - 1)
    assert not world.nodes.is_ready("a")
    world.clock.advance(2)
    assert world.nodes.is_ready("a")


async def test_whoever_waits_hears_of_nodes_that_come_and_go() -> None:
    node = MemoryNode("a")
    world = World(node)
    event = asyncio.Event()
    world.nodes.events.append(event)
    for down, told in ((False, True), (False, False), (True, True), (True, False), (False, True)):
        node.down = down
        event.clear()
        await world.nodes.look()
        assert event.is_set() == told


async def test_what_a_node_holds_counts_until_it_is_down_for_long() -> None:
    node = MemoryNode("a")
    world = World(node, MemoryNode("b"), MemoryNode("c"), draining="c")
    await world.nodes.look()
    assert world.nodes.counted(["a", "b", "c", "gone"]) == ["a", "b"]
    node.down = True
    await world.nodes.look()
    world.clock.advance(99)
    assert world.nodes.counted(["a", "b"]) == ["a", "b"]
    world.clock.advance(2)
    assert world.nodes.counted(["a", "b"]) == ["b"]
    assert world.nodes.is_lost("a")
    node.down = False
    await world.nodes.look()
    assert world.nodes.counted(["a", "b"]) == ["a", "b"]


async def test_a_start_without_a_node_gives_it_the_same_time() -> None:
    node = MemoryNode("a")
    node.down = True
    world = World(node)
    await world.nodes.look()

    assert world.nodes.counted(["a"]) == ["a"]
    world.clock.advance(101)
    assert world.nodes.counted(["a"]) == []


async def test_copies_of_a_cluster_count_each() -> None:
    world = World(MemoryNode("a"), MemoryNode("cluster", copies_at_most=3))
    await world.nodes.look()

    assert world.nodes.counted(["cluster", "a", "cluster"]) == ["cluster", "a", "cluster"]


async def test_room_is_counted_once_however_many_look_at_the_same_time() -> None:
    node = MemoryNode("a")
    node.free_bytes = 100
    world = World(node)
    await world.nodes.look()
    world.nodes.worked("a", size_bytes=60, blocks=1)
    assert not world.nodes.places(50, 1)

    await asyncio.gather(world.nodes.look(), world.nodes.look())

    assert world.nodes.places(100, 1)
    assert not world.nodes.places(101, 1)
