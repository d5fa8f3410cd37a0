"""What a restore from nodes would begin with: the newest snapshot that enough of them hold, with a head that names it.

Log records are worth nothing without it: they follow it, and are sealed under the key of its set, which that head has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from noisefs.core.domain.nodes.file_parts import whole_name
from noisefs.core.domain.records import Copies, PlacedHead
from noisefs.core.domain.sealing.head import parse_head_name
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.ports.files import StoredFile
from noisefs.core.ports.index import Reading
from noisefs.core.services.network.heads.files import file_rows
from noisefs.core.services.network.heads.heads import head_rows
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.snapshots.catalog import parse


@dataclass(frozen=True, slots=True)
class Footing:
    """The commit that the snapshot adds up to, and its set's key."""

    number: int
    key: SnapshotKey


def placed(tx: Reading) -> tuple[dict[str, PlacedHead], dict[str, Copies]]:
    """Heads and snapshot files that nodes hold, by name."""
    return head_rows(tx), file_rows(tx)


def find_footing(
    heads: Mapping[str, PlacedHead],
    files: Mapping[str, Copies],
    *,
    nodes: Nodes,
    keys: Iterable[SnapshotKey],
    epoch: int,
    copies: int,
) -> Footing | None:
    """The newest snapshot of which ``copies`` nodes that count hold each file, and as many a head that names it.

    Args:
        heads: Of :func:`placed`, as ``files``.
        keys: Of the keyring.
        epoch: The present one's counter: heads of others belong to another course of history.
    """
    by_id = {key.key_id: key for key in keys}
    parts: dict[str, list[Copies]] = {}
    for part, copies_row in files.items():
        parts.setdefault(whole_name(part), []).append(copies_row)
    for name in sorted(heads, reverse=True):
        row = heads[name]
        place = parse_head_name(name)
        if place is None or place[0] != epoch or not row.files or len(nodes.counted(row.confirmed)) < copies:
            continue
        info = parse(StoredFile(row.files[-1], 0))
        if info is None or info.key_id not in by_id:
            continue
        whole = all(file in files for file in row.files)
        if whole and all(len(nodes.counted(one.nodes)) >= copies for file in row.files for one in parts[file]):
            return Footing(info.upto, by_id[info.key_id])
    return None
