"""The head of a restored store: how a gateway that still runs elsewhere learns that it has to stop.

Promise: the new head is in a row before it is on any node, and it names an epoch that no head on these nodes has.
"""

from collections.abc import Mapping, Sequence

import msgspec

from noisefs.core.domain.ids import InstanceId
from noisefs.core.domain.nodes.file_parts import whole_name
from noisefs.core.domain.records import PlacedHead
from noisefs.core.domain.sealing.head import Head, head_name
from noisefs.core.errors import FileExists, NodeUnavailable, StoreSuperseded
from noisefs.core.ports.heads import SealedHead
from noisefs.core.ports.index import Index, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.heads.files import file_rows
from noisefs.core.services.network.heads.heads import head_rows, put_head_row
from noisefs.core.services.network.restoring.replaying import commit


def note_heads(index: Index, holders: Mapping[str, tuple[str, ...]], head: Head, chain: Sequence[str]) -> None:
    """Remember heads that nodes hold from before, so that they go in their time, and a new one before it is put there.

    Args:
        index: The restored one.
        holders: Who holds which head.
        head: The new one.
        chain: Names of the snapshot files it stands on. Of the others nobody knows what they need: every file.
    """

    def write(tx: Writing) -> None:
        files = tuple(sorted({whole_name(name) for name in file_rows(tx)}))
        for name, nodes in holders.items():
            put_head_row(tx, name, PlacedHead(InstanceId(b""), files, nodes, nodes))
        put_head_row(tx, head_name(head), PlacedHead(head.writer, tuple(chain)))

    commit(index, write)


async def announce(
    nodes: Sequence[Node], sealed: SealedHead, index: Index, workers: Workers, warnings: list[str]
) -> list[str]:
    """Put the head of a new epoch on every node: from then on a gateway that still runs stops. Who confirmed it.

    Raises:
        StoreSuperseded: Somebody else restores this store at this moment.
        NodeUnavailable: No node took it.
    """
    name = head_name(sealed.head)
    confirmed: list[str] = []
    for node in nodes:
        try:
            await node.put_head(sealed.head.store_id, name, sealed.raw)
            confirmed.append(node.name)
        except FileExists as exc:
            raise StoreSuperseded(f"node {node.name} holds another head {name}: somebody restores this too") from exc
        except NodeUnavailable as exc:
            warnings.append(f"node {node.name} did not take the new head: {exc}")
    if not confirmed:
        raise NodeUnavailable("any", "putting the head of a new epoch", "no node took it")

    def write(tx: Writing) -> None:
        row = head_rows(tx)[name]
        put_head_row(tx, name, msgspec.structs.replace(row, nodes=tuple(confirmed), confirmed=tuple(confirmed)))

    await workers.run(Lane.BACKGROUND, commit, index, write)
    return confirmed
