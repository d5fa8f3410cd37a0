"""Filling an empty index from nodes alone: snapshot, log records, and where every pack lies.

Promise: the index ends with the state of the furthest commit that nodes still give: the newest snapshot's (also of one
that no head names yet, where its set's key is known), and that of the log records behind it up to the first gap. Rows
say for each pack which nodes hold its root. What is pinned and not understood is left alone. Nothing on nodes changes.
Cost: the snapshot's files, one list of pins a node, and one block for each root the snapshot does not know.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, PackId, RootId
from noisefs.core.domain.keyspace import file_copies_key
from noisefs.core.domain.nodes.file_parts import FILE_KINDS, part_name
from noisefs.core.domain.nodes.root import Root, RootKind, RootMeta
from noisefs.core.domain.records import Copies, decode
from noisefs.core.domain.sealing.head import Head
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import (
    NodeUnavailable,
    RootDamaged,
    SnapshotDamaged,
    SnapshotNotFound,
)
from noisefs.core.ports.files import FileStore, StoredFile
from noisefs.core.ports.index import Index, Table, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.maintenance.rows import walk
from noisefs.core.services.network.restoring.replaying import Replayer, commit
from noisefs.core.services.network.restoring.retrieving import Retriever
from noisefs.core.services.packs.copies import keep, set_copies
from noisefs.core.services.snapshots.catalog import SnapshotInfo, chains, parse
from noisefs.core.services.snapshots.reading import rows
from noisefs.core.services.snapshots.restoring import RestoreReport, restore

log = logging.getLogger(__name__)

_ROWS_A_COMMIT: Final = 1000
_LONGEST_CHAIN: Final = 1 << 16


@dataclass(slots=True)
class Found:
    """What nodes gave.

    Attributes:
        snapshots: What was restored of snapshots.
        reached: The last commit that the index has, log records included.
        log_files: Groups of log records that were applied.
        newest_us: When the newest of all that was written: nothing later is there.
        packs: Packs whose roots are pinned, with the nodes that hold them.
        opened: Roots of packs that the snapshot did not know.
        interims: Roots of pieces of open packs.
        warnings: What could not be read or understood.
    """

    snapshots: RestoreReport
    reached: int
    log_files: int
    newest_us: int
    packs: dict[PackId, tuple[str, ...]] = field(default_factory=dict)
    opened: dict[PackId, Root] = field(default_factory=dict)
    interims: list[Root] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A file that was brought into the folder: the roots of its parts, and of the one it builds on; or why not."""

    parts: dict[str, RootId] = field(default_factory=dict)
    previous: RootId | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class IndexFromNodes:
    """Brings an index back. Belongs to one event loop.

    Attributes:
        nodes: All that were given.
        head: The one to restore from.
        snapshots: Where the files of snapshots are put; they are the store's own from then on.
        logs: The store's own log records: an empty folder.
        copies: Wanted of packs and files that no row tells about.
    """

    nodes: Sequence[Node]
    head: Head
    keys: StoreKeys
    geometry: Geometry
    snapshots: FileStore
    logs: FileStore
    retriever: Retriever
    workers: Workers
    copies: int = 1

    async def run(self, index: Index, now_us: int) -> Found:
        """Fill ``index``, which must be empty.

        Raises:
            SnapshotNotFound: Nodes give no snapshot that can be read.
            NewerFormat: A newer version of this program wrote what is there.
        """
        warnings: list[str] = []
        holders, silent = await self._pins(warnings)
        files = await self._fetch_chain(warnings)
        known = await self.workers.run(Lane.BACKGROUND, self._known_roots)
        roots = await self.retriever.roots(sorted(holders.keys() - known))
        files |= await self._fetch_more(roots, warnings)
        restored = await self.workers.run(Lane.BACKGROUND, self._restore, index)
        newest_us = restored.chain[-1].created_us if restored.chain else 0
        replayer = Replayer(self.head, self.keys, self.geometry, self.retriever, self.workers)
        applied = await replayer.run(index, restored.upto, list(roots.values()), warnings)
        reached = applied[-1].log_number if applied else restored.upto
        found = Found(restored, reached, len(applied), max([newest_us, *(meta.created_us for meta in applied)]))
        found.warnings = warnings
        found.interims = [root for root in roots.values() if root.meta.kind == RootKind.INTERIM]
        found.opened = {PackId(root.meta.pack_id): root for root in roots.values() if root.meta.kind == RootKind.PACK}
        await self.workers.run(Lane.BACKGROUND, self._place, index, holders, silent, roots, files, found, now_us)
        return found

    async def _pins(self, warnings: list[str]) -> tuple[dict[RootId, tuple[str, ...]], frozenset[str]]:
        """Who holds which root, and who did not answer."""
        holders: dict[RootId, tuple[str, ...]] = {}
        silent: set[str] = set()
        for node, answer in zip(self.nodes, await asyncio.gather(*map(_pins_of, self.nodes)), strict=True):
            if isinstance(answer, NodeUnavailable):
                warnings.append(f"node {node.name} does not tell what it holds: {answer}")
                silent.add(node.name)
                continue
            for root in answer:
                holders[root] = (*holders.get(root, ()), node.name)
        return holders, frozenset(silent)

    # ------------------------------------------------------------------ snapshots

    async def _fetch_chain(self, warnings: list[str]) -> dict[str, RootId]:
        """The files from the one that the head names back to its full snapshot: their names and roots."""
        fetched: dict[str, RootId] = {}
        name = None if self.head.snapshot is None else RootId(self.head.snapshot.location)
        while name and len(fetched) < _LONGEST_CHAIN:
            root = await self.retriever.root(name)
            if root is None or root.meta.kind not in FILE_KINDS:
                warnings.append("the snapshot that the newest head names cannot be read whole from these nodes")
                break
            file = await self._fetch(name, root)
            if file.problem:
                warnings.append(file.problem)
                break
            fetched |= file.parts
            name = file.previous
        return fetched

    async def _fetch_more(self, roots: Mapping[RootId, Root], warnings: list[str]) -> dict[str, RootId]:
        """Files that no head names yet, or, where the named ones cannot be had, any others that open."""
        have = {info.name for chain in self._chains() for info in chain}
        reached = max((chain[-1].upto for chain in self._chains()), default=-1)
        fetched: dict[str, RootId] = {}
        for name, root in roots.items():
            meta = root.meta
            if meta.kind not in FILE_KINDS or meta.name in have or (have and meta.log_number <= reached):
                continue
            info = _info_of(meta)
            if info is None or self.head.keyring.snapshot_key(info.key_id) is None:
                continue
            file = await self._fetch(name, root)
            if file.problem:
                warnings.append(file.problem)
            fetched |= file.parts
        return fetched

    async def _fetch(self, name: RootId, root: Root) -> _Fetched:
        """Bring the file that ends with this root into the folder."""
        meta = root.meta
        if _info_of(meta) is None:
            return _Fetched(problem=f"a root names a file {meta.name!r}, which is no snapshot")
        draft = await self.workers.run(Lane.BACKGROUND, self.snapshots.draft)
        before: RootId | None = None
        try:
            parts = await self._parts(name, root)
            for number, part in enumerate(parts.values()):
                async for previous, data in self.retriever.file(part):
                    before = before or (previous if number == 0 else None)
                    await self.workers.run(Lane.BACKGROUND, draft.write, data)
            await self.workers.run(Lane.BACKGROUND, draft.publish, meta.name)
        except (NodeUnavailable, RootDamaged) as exc:
            return _Fetched(problem=f"snapshot {meta.name} cannot be read from these nodes: {exc}")
        finally:
            await self.workers.run(Lane.BACKGROUND, draft.discard)
        return _Fetched({part.meta.name: one for one, part in parts.items()}, before)

    async def _parts(self, name: RootId, last: Root) -> dict[RootId, Root]:
        """The parts of a file, the first one first: each leads to the one before it."""
        parts = {name: last}
        part = last
        while part.meta.kind == RootKind.PART and part.meta.first > 0:
            number = part.meta.first - 1
            earlier = await self.retriever.previous(part)
            found = None if earlier is None else await self.retriever.root(earlier)
            if earlier is None or found is None or not _is_part(found.meta, last.meta.name, number):
                raise RootDamaged(f"part {number} of it cannot be had")
            parts = {earlier: found, **parts}
            part = found
        return parts

    def _chains(self) -> list[list[SnapshotInfo]]:
        return chains(info for file in self.snapshots.list() if (info := parse(file)) is not None)

    def _known_roots(self) -> set[RootId]:
        """On a lane: roots that the furthest snapshot's rows know, so that they need not be fetched."""
        keys = {key.key_id: key for key in self.head.keyring.snapshot_keys}
        known: dict[bytes, RootId] = {}
        for chain in self._chains()[:1]:
            try:
                for info in chain:
                    for frame in rows(self.snapshots, info, self.keys.store_id, keys):
                        for key, raw in frame.rows if frame.table == Table.COPIES.value else ():
                            known.pop(key, None)
                            if raw is not None:
                                known[key] = decode(Copies, raw).root
            except SnapshotDamaged:
                return set()  # told by the restore, which passes over it
        return set(known.values())

    def _restore(self, index: Index) -> RestoreReport:
        if not self._chains():
            raise SnapshotNotFound("newest")
        return restore(index, self.snapshots, self.logs, self.keys.store_id, self.head.keyring.snapshot_keys)

    # ------------------------------------------------------------------ where everything lies

    def _place(
        self,
        index: Index,
        holders: Mapping[RootId, tuple[str, ...]],
        silent: frozenset[str],
        roots: Mapping[RootId, Root],
        files: Mapping[str, RootId],
        found: Found,
        now_us: int,
    ) -> None:
        """On a lane: write who holds what, and note it."""
        present = {key: decode(Copies, raw) for key, raw in walk(index, Table.COPIES)}
        fresh: dict[bytes, Copies] = {}
        named = {file_copies_key(name): root for name, root in files.items()}
        named |= {
            (root.meta.pack_id if root.meta.kind == RootKind.PACK else file_copies_key(root.meta.name)): name
            for name, root in roots.items()
            if root.meta.kind in (RootKind.PACK, *FILE_KINDS)
        }
        for key in present.keys() | named.keys():
            row = present.get(key) or Copies(named[key], wanted=self.copies)
            if not holders.get(row.root):
                row = msgspec.structs.replace(row, root=named.get(key, row.root))
            # Who did not answer may still hold what it held.
            nodes = (*holders.get(row.root, ()), *(name for name in row.nodes if name in silent))
            asked = tuple(name for name in row.asked if name in silent)
            is_pack = len(key) == ID_BYTES
            fresh[key] = msgspec.structs.replace(
                row,
                nodes=nodes,
                asked=asked,
                damaged=(),  # a damaged copy is better than none; whoever verifies finds it again
                local=not is_pack,
                confirmed_us=row.confirmed_us or (now_us if nodes else 0),
            )
            if is_pack and nodes:
                found.packs[PackId(key)] = nodes
        pairs = list(fresh.items())
        for first in range(0, len(pairs), _ROWS_A_COMMIT):
            commit(index, partial(_put_copies, pairs[first : first + _ROWS_A_COMMIT]))


async def _pins_of(node: Node) -> set[RootId] | NodeUnavailable:
    try:
        return {root async for root in node.pins()}
    except NodeUnavailable as exc:
        return exc


def _info_of(meta: RootMeta) -> SnapshotInfo | None:
    return parse(StoredFile(meta.name, meta.size_bytes))


def _is_part(meta: RootMeta, name: str, number: int) -> bool:
    return (meta.kind, meta.name, meta.first) == (RootKind.PART, part_name(name, number), number)


def _put_copies(rows_by_key: Sequence[tuple[bytes, Copies]], tx: Writing) -> None:
    for key, row in rows_by_key:
        set_copies(tx, key, row)
        for name in row.nodes:
            keep(tx, name, row.root)
