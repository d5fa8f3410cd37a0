"""Log records that nodes hold behind a snapshot, applied to an index that was restored from it.

Promise: they are those of the head's epoch, and bring the index to the furthest commit that is reached without a gap;
what cannot be read is gone round where others overlap it, and what lies behind a gap is told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from noisefs.core.domain.files.log_file import Record
from noisefs.core.domain.files.log_records import in_order, open_records
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.nodes.root import Root, RootKind, RootMeta
from noisefs.core.domain.sealing.head import Head
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import NewerFormat, NodeUnavailable, RootDamaged
from noisefs.core.ports.index import Index, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.restoring.retrieving import Retriever
from noisefs.core.services.snapshots.mark import MARK_KEY


@dataclass(frozen=True, slots=True)
class Replayer:
    """Applies log records. Belongs to one event loop."""

    head: Head
    keys: StoreKeys
    geometry: Geometry
    retriever: Retriever
    workers: Workers

    async def run(self, index: Index, upto: int, roots: Sequence[Root], warnings: list[str]) -> list[RootMeta]:
        """Bring the index from commit ``upto`` as far as it goes; what was applied, in order.

        Afterwards no increment is based on what was before, and no commit number comes twice.

        Args:
            index: The restored one.
            upto: The commit it is at.
            roots: Any; those that are log records of this epoch count.
            warnings: What could not be read is added here.

        Raises:
            NewerFormat: A newer version of this program wrote them.
        """
        epoch = self.head.epoch.counter
        left = [root for root in roots if root.meta.kind == RootKind.LOG and root.meta.epoch == epoch]
        highest = max((root.meta.log_number for root in left), default=0)
        applied: list[RootMeta] = []
        reached = upto
        while order := in_order((root.meta for root in left), reached, epoch):
            root = next(one for one in left if one.meta == order[0])
            left.remove(root)
            try:
                records = await self._records(root)
            except (NodeUnavailable, RootDamaged) as exc:
                span = f"{root.meta.log_first} to {root.meta.log_number}"
                warnings.append(f"log records of commits {span} cannot be read: {exc}")
                continue
            await self.workers.run(Lane.BACKGROUND, commit, index, partial(_apply, records))
            applied.append(root.meta)
            reached = root.meta.log_number
            left = [one for one in left if one.meta.log_number > reached]
        if highest > reached:
            warnings.append(f"log records of commits {reached + 1} to {highest} do not follow: one before them is gone")
        await self.workers.run(Lane.BACKGROUND, _settle, index, highest)
        return applied

    async def _records(self, root: Root) -> list[Record]:
        return await self.workers.run(
            Lane.BACKGROUND,
            open_records,
            await self.retriever.blocks(root.links),
            root.meta,
            store_id=self.keys.store_id,
            store_key=self.keys.store_key,
            keys={key.key_id: key for key in self.head.keyring.snapshot_keys},
            block_bytes=self.geometry.block_bytes,
        )


def commit(index: Index, work: Callable[[Writing], object]) -> None:
    """Commit to an index nobody serves. Raises what the work or the commit raised."""
    (outcome,) = index.transact([work])
    if outcome.error is not None:
        raise outcome.error


def _apply(records: Sequence[Record], tx: Writing) -> None:
    for record in records:
        for name, pairs in record.tables:
            table = _table(name)
            for key, value in pairs:
                if value is None:
                    tx.delete(table, key)
                else:
                    tx.put(table, key, value)


def _table(name: str) -> Table:
    try:
        return Table(name)
    except ValueError as exc:
        raise NewerFormat(f"a log record has rows of a table {name!r}: this program knows none") from exc


def _settle(index: Index, highest: int) -> None:
    commit(index, lambda tx: tx.delete(Table.META, MARK_KEY))
    index.forget_changes(index.sequence())
    index.skip_to(highest)
