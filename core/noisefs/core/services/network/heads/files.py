"""Snapshot files on nodes, as packs are: cut into blocks of noise, each file under a root that a node pins.

Promise: a file that lies on this disk and belongs to a chain of snapshots gets as many copies as are wanted, and what
has them is not sent again; a crash at any step leaves a row that names the root and every node that may hold it. A file
that is too long for one root goes in parts (:mod:`~noisefs.core.domain.nodes.file_parts`), each with a row of its own;
its last part's row is there only once all before it have a copy. The root of an increment's file leads to that of the
file it builds on. Files are immutable and sealing them again gives the same blocks, so nobody is kept waiting and
nothing but names is kept in memory. Cost: three passes over a new file, and one request for each part and node.
"""

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, RootId
from noisefs.core.domain.keyspace import FILE_COPIES_PREFIX, file_copies_key, prefix_end
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.car import car_bytes, car_header, section_head
from noisefs.core.domain.nodes.file_parts import MOST_BLOCKS, FilePart, parts_of, whole_name
from noisefs.core.domain.nodes.node_file import FileBlocks, blocks_of, salt_of, span_of
from noisefs.core.domain.nodes.placement import place
from noisefs.core.domain.nodes.root import NONCE_BYTES, RootMeta, RootSealer, root_id
from noisefs.core.domain.records import Copies, decode
from noisefs.core.domain.sealing.head import SnapshotPointer
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.files import FileStore
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.nodes import Car
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.census import wanted_copies
from noisefs.core.services.packs.copies import drop_copies, keep, set_copies
from noisefs.core.services.snapshots.catalog import SnapshotInfo, chains, parse

log = logging.getLogger(__name__)

PIECE_BYTES: Final = 1 << 20
"""Of a file, read at once."""
BLOCKS_A_HOP: Final = 8
"""Sealed by one call of a worker: about 1 MiB."""
_MOST_FILES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Placed:
    """A chain of snapshots of which every file has a copy on a node at least.

    Attributes:
        chain: The full snapshot and its increments.
        root: Of the last one's file.
        whole: Whether every file has as many copies as are wanted.
    """

    chain: tuple[SnapshotInfo, ...]
    root: RootId
    whole: bool

    @property
    def pointer(self) -> SnapshotPointer:
        """What a head says of it."""
        newest = self.chain[-1]
        return SnapshotPointer(newest.name.encode(), newest.key_id, newest.upto, newest.created_us, location=self.root)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The root of a part, and what its blocks are sealed under."""

    info: SnapshotInfo
    part: FilePart
    previous: RootId | None
    salt: bytes
    blocks: tuple[BlockId, ...]
    raw: bytes
    root: RootId


class NodeFiles:
    """Puts snapshot files on nodes and lets go of them. One task uses it; belongs to an event loop."""

    def __init__(
        self,
        *,
        snapshots: FileStore,
        nodes: Nodes,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        telemetry: Telemetry,
        keys: StoreKeys,
        geometry: Geometry,
        copies: int,
        most_blocks: int = MOST_BLOCKS,
    ) -> None:
        """Wire it.

        Args:
            snapshots: Their folder on this disk.
            copies: Of each file; a bucket's class may ask for more.
            most_blocks: Under one root.
        """
        self._snapshots = snapshots
        self._nodes = nodes
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._telemetry = telemetry
        self._keys = keys
        self._geometry = geometry
        self._copies = copies
        self._wanted = copies
        self._most_blocks = most_blocks
        self._sealer = RootSealer(keys.store_id, keys.store_key)

    # ------------------------------------------------------------------ placing

    async def place(self) -> Placed | None:
        """Put on nodes what is not there; the chain that reaches furthest of those that can be read from there.

        A node that fails is passed over; ``None``: there is no chain of which all can be read.

        Raises:
            DiskFull, ReadOnlyStore, StorageFailed, IndexClosed, StoreSuperseded: Rows cannot be written.
        """
        found = await self._workers.run(Lane.BACKGROUND, self._chains)
        rows = await self._workers.run(Lane.BACKGROUND, self._index.read, file_rows)
        self._wanted = await self._workers.run(
            Lane.BACKGROUND, self._index.read, lambda tx: wanted_copies(tx, self._copies)
        )
        best: Placed | None = None
        for chain in reversed(found):
            previous: RootId | None = None
            whole = True
            for info, part in [(one, part) for one in chain for part in self._parts_of(one)]:
                row = await self._ensure(info, part, previous, rows.get(part.name))
                if row is None:
                    break
                rows[part.name] = row
                previous = row.root
                whole = whole and len(self._nodes.counted(row.nodes)) >= self._wanted
            else:
                assert previous is not None, "a chain has a file, and a file a part at least"
                best = Placed(tuple(chain), previous, whole)
        return best

    async def expire(self, needed: Iterable[str]) -> int:
        """Let go of files that are neither on this disk nor ``needed``; returns how many. Unpinning follows."""
        kept = set(needed)
        local = {info.name for chain in await self._workers.run(Lane.BACKGROUND, self._chains) for info in chain}
        rows = await self._workers.run(Lane.BACKGROUND, self._index.read, file_rows)
        gone = [name for name in rows if whole_name(name) not in kept and whole_name(name) not in local]
        now_us = self._clock.now_us()

        def forget(tx: Writing) -> None:
            for name in gone:
                drop_copies(tx, file_copies_key(name), now_us)

        if gone:
            await self._commits.run(forget)
        return sum(name == whole_name(name) for name in gone)

    async def remake(
        self, name: str, root: RootId, wanted: Sequence[BlockId]
    ) -> tuple[bytes, dict[BlockId, bytes]] | None:
        """The root of a part as it was sent, and these of its blocks, made anew: for a node that has damaged them.

        ``None``: it is not on this disk, or comes out otherwise. Cost: two passes over the part.
        """
        rows = await self._workers.run(Lane.BACKGROUND, self._index.read, file_rows)
        for chain in await self._workers.run(Lane.BACKGROUND, self._chains):
            previous: RootId | None = None
            for info, part in [(one, part) for one in chain for part in self._parts_of(one)]:
                if part.name == name:
                    prepared = await self._workers.run(Lane.BACKGROUND, self._prepare, info, part, previous)
                    if prepared.root == root:
                        return prepared.raw, await self._workers.run(Lane.BACKGROUND, self._some, prepared, wanted)
                    break
                row = rows.get(part.name)
                previous = None if row is None else row.root
        return None

    def _chains(self) -> list[list[SnapshotInfo]]:
        return chains(info for file in self._snapshots.list() if (info := parse(file)) is not None)

    def _parts_of(self, info: SnapshotInfo) -> list[FilePart]:
        return parts_of(info.name, info.size_bytes, self._geometry.block_bytes, self._most_blocks)

    async def _ensure(
        self, info: SnapshotInfo, part: FilePart, previous: RootId | None, row: Copies | None
    ) -> Copies | None:
        """The row of a part that has a copy that counts; ``None`` where it could be put nowhere."""
        if row is not None and len(self._nodes.counted(row.nodes)) >= self._wanted:
            return row
        prepared: _Prepared | None = None
        tried: set[str] = set()
        while targets := self._targets(info, part, row, tried):
            if prepared is None:
                prepared = await self._workers.run(Lane.BACKGROUND, self._prepare, info, part, previous)
            row = await self._note(prepared, row, asked=tuple(targets))
            for name, copies in targets.items():
                tried.add(name)
                confirmed = await self._send(prepared, name, copies)
                if confirmed:
                    row = await self._note(prepared, row, confirmed=(name,) * confirmed)
        return row if row is not None and self._nodes.counted(row.nodes) else None

    def _targets(self, info: SnapshotInfo, part: FilePart, row: Copies | None, tried: set[str]) -> dict[str, int]:
        """Who shall get it now, and how many copies each. The parts of a file stay together where they can."""
        held = [] if row is None else self._nodes.counted(row.nodes)
        passed = tried if row is None else tried | set(row.damaged)  # what is damaged there is mended
        blocks = blocks_of(part.size_bytes, self._geometry.block_bytes)
        fit = [one for one in self._nodes.places(blocks * self._geometry.block_bytes, blocks) if one.name not in passed]
        places = {one.name: one for one in (*fit, *self._nodes.places_of(held))}
        wanted = place(info.name.encode(), places.values(), self._wanted, held=held)
        return {name: n for name, n in wanted.items() if n > held.count(name) and name not in tried}

    async def _note(
        self,
        prepared: _Prepared,
        row: Copies | None,
        *,
        asked: tuple[str, ...] = (),
        confirmed: tuple[str, ...] = (),
    ) -> Copies:
        """Write the row: who is asked from now on, or who confirmed."""
        key, now_us = file_copies_key(prepared.part.name), self._clock.now_us()
        before = row or Copies(prepared.root)
        nodes = tuple(name for name in before.nodes if name not in confirmed) + confirmed
        enough = len(self._nodes.counted(nodes)) >= self._wanted
        new = msgspec.structs.replace(
            before,
            root=prepared.root,
            nodes=nodes,
            wanted=self._wanted,
            confirmed_us=before.confirmed_us or (now_us if enough else 0),
            asked=tuple(name for name in dict.fromkeys((*before.asked, *asked)) if name not in confirmed),
        )

        def write(tx: Writing) -> None:
            set_copies(tx, key, new)
            for name in (*asked, *confirmed):
                keep(tx, name, prepared.root)

        await self._commits.run(write)
        return new

    async def _send(self, prepared: _Prepared, name: str, copies: int) -> int:
        """Import a part into a node; the confirmed copies, 0 where it failed."""
        node = self._nodes.get(name)
        assert node is not None, "a target is configured"
        size = car_bytes(len(prepared.blocks), self._geometry.block_bytes, prepared.raw)
        car = Car(prepared.root, size, len(prepared.blocks) + 1, partial(self._parts, prepared))
        try:
            async with self._nodes.changing(name):
                confirmed = await node.import_car(car, copies=copies)
        except NodeUnavailable as exc:
            self._nodes.failed(name, exc)
            return 0
        self._nodes.worked(name, size_bytes=size, blocks=len(prepared.blocks))
        self._telemetry.count(Counter.NODE_SENT, size, (name,))
        log.info("snapshot.placed", extra={"snapshot": prepared.part.name, "node": name, "copies": confirmed})
        return confirmed

    async def _parts(self, prepared: _Prepared) -> AsyncIterator[bytes | memoryview]:
        yield car_header(prepared.root)
        for first in range(0, len(prepared.blocks), BLOCKS_A_HOP):
            yield await self._workers.run(Lane.BACKGROUND, self._sections, prepared, first)
        yield section_head(prepared.root, len(prepared.raw)) + prepared.raw

    # ------------------------------------------------------------------ on a lane

    def _prepare(self, info: SnapshotInfo, part: FilePart, previous: RootId | None) -> _Prepared:
        salt = salt_of(self._keys.store_id, self._keys.store_key, previous, self._pieces(info, part))
        numbers = range(blocks_of(part.size_bytes, self._geometry.block_bytes))
        links = tuple(compute_block_id(block) for block in self._sealed(info, part, previous, salt, numbers))
        meta = RootMeta(
            part.kind,
            first=part.number,
            count=len(links),
            log_number=info.upto,
            log_first=info.after or 0,
            name=part.name,
            size_bytes=part.size_bytes,
            created_us=info.created_us,
        )
        # The root follows from the file as well: its nonce need not be new (GCM-SIV), and nothing else is in it.
        raw = self._sealer.seal(links, meta, nonce=salt[:NONCE_BYTES])
        return _Prepared(info, part, previous, salt, links, raw, root_id(raw))

    def _pieces(self, info: SnapshotInfo, part: FilePart) -> Iterator[bytes]:
        for offset in range(0, part.size_bytes, PIECE_BYTES):
            size = min(PIECE_BYTES, part.size_bytes - offset)
            yield self._snapshots.read(info.name, part.offset_bytes + offset, size)

    def _sealed(
        self, info: SnapshotInfo, part: FilePart, previous: RootId | None, salt: bytes, numbers: Iterable[int]
    ) -> Iterator[bytes]:
        sealer = FileBlocks(self._keys.store_id, self._keys.store_key, salt, self._geometry.block_bytes)
        for number in numbers:
            begin, size = span_of(number, self._geometry.block_bytes)
            size = max(0, min(size, part.size_bytes - begin))
            yield sealer.seal(number, self._snapshots.read(info.name, part.offset_bytes + begin, size), previous)

    def _some(self, prepared: _Prepared, wanted: Sequence[BlockId]) -> dict[BlockId, bytes]:
        names = set(wanted)
        numbers = [number for number, name in enumerate(prepared.blocks) if name in names]
        sealed = self._sealed(prepared.info, prepared.part, prepared.previous, prepared.salt, numbers)
        return {prepared.blocks[number]: block for number, block in zip(numbers, sealed, strict=True)}

    def _sections(self, prepared: _Prepared, first: int) -> bytes:
        numbers = range(first, min(first + BLOCKS_A_HOP, len(prepared.blocks)))
        sealed = self._sealed(prepared.info, prepared.part, prepared.previous, prepared.salt, numbers)
        return b"".join(
            section_head(prepared.blocks[number], len(block)) + block
            for number, block in zip(numbers, sealed, strict=True)
        )


def file_rows(tx: Reading) -> dict[str, Copies]:
    """Where each snapshot file lies, or each part of it, by its name."""
    rows = tx.scan(Table.COPIES, FILE_COPIES_PREFIX, prefix_end(FILE_COPIES_PREFIX), _MOST_FILES)
    return {key[len(FILE_COPIES_PREFIX) :].decode(): decode(Copies, raw) for key, raw in rows}
