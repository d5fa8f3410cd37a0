"""Strays: roots of ours that a node has pinned and that no row names, because a crash or a restore came between.

Promise: what belongs to a pack or snapshot that the index knows is taken into its rows; the rest is let go of, but
never a root that does not open under the store's key, nor one that says that the index is older than it is, nor one of
a pack that an index restored since never heard of: another restore may need these. Cost: one list of pins a node, and
one block for each pinned root that no row names.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

from noisefs.core.domain.ids import PackId, RootId
from noisefs.core.domain.keyspace import file_copies_key, interim_key
from noisefs.core.domain.nodes.root import Root, RootKind
from noisefs.core.domain.records import Copies, Interim, Pack, PackState, decode, encode
from noisefs.core.errors import NewerFormat, NodeUnavailable, RootDamaged
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.roots import RootFiles, fetch_root
from noisefs.core.services.packs.copies import copies_of, let_go, set_copies, unpin_key

log = logging.getLogger(__name__)

PAGE: Final = 1000
_OF_PACKS: Final = frozenset({RootKind.PACK, RootKind.INTERIM})
AT_ONCE: Final = 16
"""Roots that are fetched and judged at one time."""


class _Verdict(Enum):
    ADOPTED = "adopted"
    LET_GO = "let go"
    KEPT = "kept"


@dataclass(slots=True)
class StrayReport:
    """What one node had pinned that no row names: taken into rows, let go of, and left alone."""

    adopted: int = 0
    let_go: int = 0
    kept: int = 0


class Strays:
    """The job. Belongs to one event loop."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        nodes: Nodes,
        roots: RootFiles,
        epoch: Callable[[], int],
        owns: Callable[[], Awaitable[bool]],
        covered: Callable[[], Awaitable[int]],
        every_s: float,
    ) -> None:
        """Compare each node when it is first ready, and then so often.

        Args:
            epoch: The counter of the store's present epoch.
            owns: Whether no other gateway took the store over.
            covered: The last commit that a snapshot on nodes reaches: log records up to it are needed no more.
            every_s: Pause between two comparisons of a node.
        """
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._nodes = nodes
        self._roots = roots
        self._epoch = epoch
        self._owns = owns
        self._covered = covered
        self._every_s = every_s
        self._due_s: dict[str, float] = {}
        self._foreign: set[RootId] = set()
        """Roots that do not open: another store's."""

    async def run(self) -> StrayReport:
        """Compare the nodes whose turn it is."""
        report = StrayReport()
        for node in self._nodes.usable():
            now_s = self._clock.monotonic_s()
            if now_s < self._due_s.get(node.name, now_s):
                continue
            if not await self._owns():
                break
            try:
                await self._compare(node, report)
            except NodeUnavailable as exc:
                self._nodes.failed(node.name, exc)
                continue
            self._due_s[node.name] = now_s + self._every_s
        return report

    async def _compare(self, node: Node, report: StrayReport) -> None:
        # Pins first: whatever is pinned by then, and wanted, is in a row by the time rows are read.
        pinned = {root async for root in node.pins()} - self._foreign
        pinned -= await self._workers.run(Lane.BACKGROUND, self._known, node.name)
        covered = await self._covered()
        sequence = await self._workers.run(Lane.BACKGROUND, self._index.sequence)
        async for judged in self._judge(node, sorted(pinned), covered, sequence):
            report.adopted += judged is _Verdict.ADOPTED
            report.let_go += judged is _Verdict.LET_GO
            report.kept += judged is _Verdict.KEPT
        if report.adopted or report.let_go or report.kept:
            fields = {"node": node.name, "adopted": report.adopted, "let_go": report.let_go, "kept": report.kept}
            log.info("strays.found", extra=fields)

    async def _judge(self, node: Node, pinned: list[RootId], covered: int, sequence: int) -> AsyncIterator[_Verdict]:
        for first in range(0, len(pinned), AT_ONCE):
            some = pinned[first : first + AT_ONCE]
            fetched = await asyncio.gather(*(fetch_root(node, root, self._nodes) for root in some))
            for name, raw in zip(some, fetched, strict=True):
                if raw is None:
                    continue  # nobody knows whose it is: next time
                try:
                    root = await self._workers.run(Lane.BACKGROUND, self._roots.sealer.open, raw)
                except RootDamaged:
                    self._foreign.add(name)
                    continue
                except NewerFormat as exc:
                    log.warning("stray.newer", extra={"node": node.name, "cause": str(exc)})
                    yield _Verdict.KEPT
                    continue
                yield await self._deal(node, name, raw, root, covered, sequence)

    async def _deal(self, node: Node, name: RootId, raw: bytes, root: Root, covered: int, sequence: int) -> _Verdict:
        meta = root.meta
        if meta.epoch > self._epoch() or (meta.log_number > sequence and meta.kind != RootKind.LOG):
            fields = {"node": node.name, "epoch": meta.epoch, "number": meta.log_number, "sequence": sequence}
            log.warning("stray.of_the_future", extra=fields)
            return _Verdict.KEPT
        if meta.kind == RootKind.LOG:
            if meta.log_number > covered:
                return _Verdict.KEPT
            await self._commits.run(lambda tx: let_go(tx, [node.name], name, self._clock.now_us()))
            return _Verdict.LET_GO
        if meta.epoch < self._epoch() and meta.kind in _OF_PACKS and not await self._is_known(PackId(meta.pack_id)):
            # The node was perhaps silent when the index was restored, and has what nobody else has.
            log.warning("stray.of_the_past", extra={"node": node.name, "epoch": meta.epoch})
            return _Verdict.KEPT
        settle = _SETTLE.get(meta.kind)
        if settle is None:
            return _Verdict.KEPT  # of a kind that a newer version has
        verdict = await self._commits.run(partial(settle, node.name, name, root, self._clock.now_us()))
        if verdict is _Verdict.ADOPTED and meta.kind == RootKind.PACK:
            await self._roots.save(PackId(meta.pack_id), raw)
        return verdict

    async def _is_known(self, pack_id: PackId) -> bool:
        return await self._workers.run(
            Lane.BACKGROUND, self._index.read, lambda tx: tx.get(Table.PACKS, pack_id) is not None
        )

    def _known(self, node: str) -> set[RootId]:
        """On a lane: every root that rows name, and those this node has to let go of."""
        known: set[RootId] = set()
        start = b""
        while rows := self._index.read(partial(_next_rows, Table.COPIES, start)):
            known.update(decode(Copies, raw).root for _key, raw in rows)
            start = rows[-1][0] + b"\0"
        start = b""
        while rows := self._index.read(partial(_next_rows, Table.INTERIMS, start)):
            known.update(decode(Interim, raw).root for _key, raw in rows)
            start = rows[-1][0] + b"\0"
        prefix = unpin_key(node, RootId(b""))
        start = prefix
        while rows := self._index.read(partial(_next_rows, Table.UNPINS, start)):
            mine = [key for key, _raw in rows if key.startswith(prefix)]
            known.update(RootId(key[len(prefix) :]) for key in mine)
            if len(mine) < len(rows):
                break
            start = rows[-1][0] + b"\0"
        return known


def _next_rows(table: Table, start: bytes, tx: Reading) -> list[tuple[bytes, bytes]]:
    return tx.scan(table, start, b"\xff" * 256, PAGE)


def _settle_pack(node: str, name: RootId, root: Root, now_us: int, tx: Writing) -> _Verdict:
    pack_id = PackId(root.meta.pack_id)
    raw = tx.get(Table.PACKS, pack_id)
    if raw is not None:
        if decode(Pack, raw).state != PackState.SEALED:
            return _Verdict.KEPT  # what becomes of it is open yet
        if copies_of(tx, pack_id) is None:
            set_copies(tx, pack_id, Copies(name, (node,)))
            return _Verdict.ADOPTED
    let_go(tx, [node], name, now_us)
    return _Verdict.LET_GO


def _settle_interim(node: str, name: RootId, root: Root, now_us: int, tx: Writing) -> _Verdict:
    pack_id = PackId(root.meta.pack_id)
    copies = copies_of(tx, pack_id)
    if tx.get(Table.PACKS, pack_id) is None or (copies is not None and copies.confirmed_us):
        let_go(tx, [node], name, now_us)
        return _Verdict.LET_GO
    key = interim_key(pack_id, name)
    raw = tx.get(Table.INTERIMS, key)
    nodes = () if raw is None else decode(Interim, raw).nodes
    tx.put(Table.INTERIMS, key, encode(Interim(name, (*nodes, node))))
    return _Verdict.ADOPTED


def _settle_file(node: str, name: RootId, root: Root, now_us: int, tx: Writing) -> _Verdict:  # noqa: ARG001 - one shape
    """Whether a snapshot is needed is known to whoever expires them: they go by rows."""
    key = file_copies_key(root.meta.name)
    if copies_of(tx, key) is not None:
        return _Verdict.KEPT  # of another course of history, under the same name
    set_copies(tx, key, Copies(name, (node,), local=False))
    return _Verdict.ADOPTED


_Settle = Callable[[str, RootId, Root, int, Writing], _Verdict]
_SETTLE: Final[Mapping[int, _Settle]] = {
    RootKind.PACK: _settle_pack,
    RootKind.INTERIM: _settle_interim,
    RootKind.FILE: _settle_file,
    RootKind.PART: _settle_file,
}
