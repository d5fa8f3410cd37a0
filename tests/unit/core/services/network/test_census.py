"""What there is to do, over many packs."""

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.memory.node import MemoryNode
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import InstanceId, RootId
from noisefs.core.domain.keyspace import file_copies_key
from noisefs.core.domain.records import Copies, Pack, PackLive, PackState, encode
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.telemetry import Gauge
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.census import MOST_TASKS, Census

ROOT = RootId(bytes(36))


class World:
    def __init__(self, copies: int = 2) -> None:
        self.index = MemoryIndex()
        self.clock = ManualClock()
        self.telemetry = MemoryTelemetry()
        self.nodes = Nodes(
            [MemoryNode(name) for name in "abc"],
            clock=self.clock,
            entropy=SeededEntropy(1),
            telemetry=self.telemetry,
            draining=["c"],
        )
        self.census = Census(
            index=self.index,
            workers=InlineWorkers(),
            clock=self.clock,
            telemetry=self.telemetry,
            nodes=self.nodes,
            geometry=Geometry(),
            copies=copies,
        )

    def put(self, number: int, row: Copies | None, *, live: int = 1, state: PackState = PackState.SEALED) -> bytes:
        key = number.to_bytes(4, "big") * 4

        def write(tx: Writing) -> None:
            pack = Pack(state, InstanceId(b""), 10, "chain", 0, 0, sealed_us=1000 - number)
            tx.put(Table.PACKS, key, encode(pack))
            tx.put(Table.PACK_LIVE, key, encode(PackLive(live, 0, 0)))
            if row is not None:
                tx.put(Table.COPIES, key, encode(row))

        self.index.transact([write])
        return key


async def test_packs_and_files_are_sorted_by_what_they_lack() -> None:
    world = World()
    await world.nodes.look()
    new = world.put(1, None)
    begun = world.put(2, Copies(ROOT, ("a",), asked=("b",)))
    few = world.put(3, Copies(ROOT, ("a",), confirmed_us=1))
    none = world.put(4, Copies(ROOT, (), confirmed_us=1))
    world.put(5, Copies(ROOT, ("a", "b"), wanted=2, confirmed_us=1))
    leaving = world.put(6, Copies(ROOT, ("a", "b", "c"), confirmed_us=1))
    world.put(7, None, live=0)
    world.put(8, None, state=PackState.OPEN)
    world.put(9, Copies(ROOT, ("a",), confirmed_us=1), state=PackState.DROPPING)
    file, done_file = file_copies_key("one"), file_copies_key("two")

    def write(tx: Writing) -> None:
        tx.put(Table.COPIES, file, encode(Copies(ROOT, ("a",), wanted=2, confirmed_us=1)))
        tx.put(Table.COPIES, done_file, encode(Copies(ROOT, ("a",), wanted=1, confirmed_us=1)))

    world.index.transact([write])

    found = await world.census.look()

    assert [task.key for task in found.uploads] == [begun, new]  # the oldest first
    assert [task.key for task in found.repairs] == [none, few, file]  # those with the fewest copies first
    assert [task.key for task in found.surplus] == [leaving]
    assert (found.upload_packs, found.upload_blocks, found.under_replicated) == (2, 20, 3)
    assert found.keys == {new, begun, few, none, leaving, file}
    assert world.telemetry.gauged(Gauge.UPLOAD_BYTES) == 20 * Geometry().block_bytes


async def test_all_are_counted_and_some_are_named() -> None:
    world = World()
    await world.nodes.look()
    for number in range(MOST_TASKS + 1500):
        world.put(number, None)

    found = await world.census.look()

    assert found.upload_packs == MOST_TASKS + 1500
    assert len(found.uploads) == MOST_TASKS
    assert world.telemetry.gauged(Gauge.UPLOAD_PACKS) == MOST_TASKS + 1500
