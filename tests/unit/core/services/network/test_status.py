"""What rows say of packs on nodes."""

from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import InstanceId, RootId
from noisefs.core.domain.records import Copies, Pack, PackState, encode
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.network.status import pack_status

ROOT = RootId(bytes(36))


def test_only_nodes_that_are_configured_have_copies() -> None:
    """A restored store still knows the address it came from, beside the name the node has now; a cluster has many."""
    index, geometry = MemoryIndex(), Geometry()
    rows = [("here", "127.0.0.1:5001"), ("here", "cluster", "cluster"), ("gone",), ()]

    def write(tx: Writing) -> None:
        for number, nodes in enumerate(rows):
            key = bytes([number]) * 16
            tx.put(Table.PACKS, key, encode(Pack(PackState.SEALED, InstanceId(b""), 10, "chain", 0, 0)))
            tx.put(Table.COPIES, key, encode(Copies(ROOT, nodes, confirmed_us=1)))

    index.transact([write])
    status = pack_status(index, geometry, {"here", "cluster"})
    assert status.packs == 4
    assert status.by_copies == {1: 1, 3: 1, 0: 2}
    assert status.by_node == {"here": 2, "127.0.0.1:5001": 1, "cluster": 1, "gone": 1}
