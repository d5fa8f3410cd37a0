"""Heads on nodes: what a restore begins with, and how a gateway learns that another one goes on with its store.

Promise: after :meth:`Heads.publish` every node that answered holds a head that names the newest snapshot; none is ever
replaced, and an old one goes only when a newer one, whose snapshot has all its copies, is confirmed on every node that
held it (or that node is not configured any more). Where a node holds a head of a later epoch, or one of this epoch that
this data folder did not write, nothing is committed, unpinned or collected any more: another gateway was restored from
this store, or the folder was copied. Nodes that do not answer are not waited for: whoever is cut off from all of them
goes on, and what it acknowledges is lost to the other.

Only heads that open under the root key count: a node cannot stop a gateway by making some up. Cost of a look: one
request a node, and one more for each head that was never seen.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from noisefs.core.domain.ids import InstanceId, StoreId
from noisefs.core.domain.keyspace import HEAD_PREFIX, WRITER_PREFIX, head_row_key, prefix_end, writer_key
from noisefs.core.domain.records import PlacedHead, decode, encode
from noisefs.core.domain.sealing.head import Head, head_name, parse_head_name
from noisefs.core.errors import (
    FileExists,
    FileNotInStore,
    HeadDamaged,
    NewerFormat,
    NodeUnavailable,
    StoreSuperseded,
    WrongRootKey,
)
from noisefs.core.ports.files import StoredFile
from noisefs.core.ports.heads import HeadKeeper, SealedHead
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.heads.files import Placed
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.snapshots.catalog import parse

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 10.0
"""While writes are acknowledged, nodes are asked for heads this often (DESIGN.md section 4)."""
_MOST_HEADS: Final = 1 << 16


class Heads:
    """The heads of one store on its nodes. Task-safe; belongs to one event loop.

    Several processes may look; one of them publishes. ``superseded``: why this gateway has to stop writing, or ``""``.
    """

    def __init__(
        self,
        *,
        keeper: HeadKeeper,
        nodes: Nodes,
        store_id: StoreId,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        on_superseded: Callable[[StoreSuperseded], None],
    ) -> None:
        """``on_superseded`` is called once, when another gateway is found: it must stop writes at once."""
        self._keeper = keeper
        self._nodes = nodes
        self._store_id = store_id
        self._index = index
        self._commits = commits
        self._workers = workers
        self._on_superseded = on_superseded
        self._seen: set[tuple[str, str]] = set()
        """Heads on nodes, as (node, name), that are known to mean nothing."""
        self._stale: set[tuple[str, str]] = set()
        """Old ones among them that no row names: they came back with a node's backup, or their row was lost."""
        self._busy = asyncio.Lock()
        self.superseded = ""

    # ------------------------------------------------------------------ whether it is still ours

    async def check(self) -> None:
        """Look at the heads of all nodes that answer.

        Raises:
            StoreSuperseded: Another gateway goes on with this store. From then on always.
        """
        if not self.superseded:
            own = (await self._workers.run(Lane.BACKGROUND, self._keeper.read)).head
            rows = await self._workers.run(Lane.BACKGROUND, self._index.read, head_rows)
            writers = await self._workers.run(Lane.BACKGROUND, self._index.read, partial(_writers, own.epoch.counter))
            looks = (self._look_at(node, own, rows, writers) for node in self._nodes.readable())
            found = [reason for reason in await asyncio.gather(*looks) if reason]
            if found:
                self._stop(found[0])
        if self.superseded:
            raise StoreSuperseded(self.superseded)

    async def owns(self) -> bool:
        """Whether nobody else goes on with this store, as far as nodes tell: :meth:`check` as a question."""
        try:
            await self.check()
        except StoreSuperseded:
            return False
        return True

    async def covered(self) -> int:
        """The commit that every head on nodes reaches by its snapshot: log records up to it are needed no more."""
        rows = await self._workers.run(Lane.BACKGROUND, self._index.read, head_rows)
        infos = [parse(StoredFile(row.files[-1], 0)) if row.files else None for row in rows.values()]
        return min((info.upto if info is not None else 0 for info in infos), default=0)

    async def _look_at(self, node: Node, own: Head, rows: dict[str, PlacedHead], writers: frozenset[InstanceId]) -> str:
        """What on this node says that the store is not ours any more, or nothing."""
        try:
            names = await node.heads(self._store_id)
            for name in sorted(names, reverse=True):
                place = parse_head_name(name)
                if place is None or (node.name, name) in self._seen:
                    continue
                if place[0] < own.epoch.counter:
                    if name not in rows:
                        self._stale.add((node.name, name))
                    continue
                head = await self._open(node, name)
                reason = _foreign(head, own, rows, writers) if head is not None else ""
                if reason and name not in rows:
                    # It may just have been put there by us.
                    fresh = await self._workers.run(Lane.BACKGROUND, self._index.read, head_rows)
                    reason = _foreign(head, own, fresh, writers) if head is not None and name in fresh else reason
                if reason:
                    return f"node {node.name} holds the head {name}: {reason}"
                self._seen.add((node.name, name))
                if head is not None and name not in rows:
                    self._stale.add((node.name, name))
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
        return ""

    async def _open(self, node: Node, name: str) -> Head | None:
        """A head of this store under the name it has there; ``None`` for whatever else a node may offer."""
        try:
            raw = await node.head(self._store_id, name)
            head = await self._workers.run(Lane.BACKGROUND, self._keeper.open, raw)
        except FileNotInStore:
            return None
        except (HeadDamaged, WrongRootKey, NewerFormat) as exc:
            log.warning("head.not_ours", extra={"node": node.name, "head": name, "cause": str(exc)})
            return None
        return head if head.store_id == self._store_id and head_name(head) == name else None

    def _stop(self, reason: str) -> None:
        self.superseded = (
            f"another gateway goes on with this store ({reason}): "
            "nothing is written here any more; stop this gateway, or stop the other one and see `noisefs take-over`"
        )
        log.error("store.superseded", extra={"reason": reason})
        self._on_superseded(StoreSuperseded(self.superseded))

    # ------------------------------------------------------------------ a new head

    async def publish(self, placed: Placed) -> bool:
        """Let the head name this chain of snapshots, and put it on every node; whether one at least confirmed it.

        Where nothing changed since the last time, only nodes that do not hold it yet are given it.

        Raises:
            StoreSuperseded: Another gateway goes on with this store.
            DiskFull, ReadOnlyStore, StorageFailed, IndexClosed: The head or its row could not be written here.
        """
        async with self._busy:
            await self.check()
            pointer = placed.pointer
            sealed = await self._workers.run(Lane.BACKGROUND, self._keeper.read)
            rows = await self._workers.run(Lane.BACKGROUND, self._index.read, head_rows)
            if sealed.head.snapshot != pointer:
                sealed = await self._workers.run(Lane.BACKGROUND, self._keeper.point, pointer)
            name = head_name(sealed.head)
            files = tuple(info.name for info in placed.chain)
            row = rows.get(name, PlacedHead(sealed.head.writer, files))
            waiting = [node for node in self._nodes.all() if node.name not in row.confirmed]
            # First the row, then the head: one of ours that no row names would look like another gateway's.
            nodes = tuple(dict.fromkeys((*row.nodes, *(node.name for node in waiting))))
            row = msgspec.structs.replace(row, nodes=nodes, whole=row.whole or placed.whole)
            if rows.get(name) != row:
                await self._commits.run(partial(_write, name, row, sealed.head))
            put = await asyncio.gather(*(self._put(node, name, sealed) for node in waiting))
            confirmed = tuple(node.name for node, done in zip(waiting, put, strict=True) if done)
            if self.superseded:
                raise StoreSuperseded(self.superseded)
            if confirmed:
                row = msgspec.structs.replace(row, confirmed=(*row.confirmed, *confirmed))
                await self._commits.run(partial(_write, name, row, sealed.head))
                log.info("head.placed", extra={"head": name, "nodes": len(row.confirmed)})
            return bool(row.confirmed)

    async def _put(self, node: Node, name: str, sealed: SealedHead) -> bool:
        if not self._nodes.is_open(node.name):
            return False
        try:
            async with self._nodes.changing(node.name):
                await node.put_head(self._store_id, name, sealed.raw)
        except FileExists:
            self._stop(f"node {node.name} holds another head under the name {name}")
            return False
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
            return False
        return True

    # ------------------------------------------------------------------ old heads

    async def tidy(self) -> frozenset[str]:
        """Take old heads from nodes where a newer one is in their place; names of the files that the others need.

        Raises:
            StoreSuperseded: Another gateway goes on with this store.
        """
        async with self._busy:
            await self.check()
            rows = await self._workers.run(Lane.BACKGROUND, self._index.read, head_rows)
            configured = set(self._nodes.names)
            for name in sorted(rows):
                if not _may_go(name, rows, configured):
                    continue
                left = [holder for holder in rows[name].nodes if not await self._drop(holder, name)]
                await self._commits.run(partial(_shrink, name, tuple(left)))
                if not left:
                    del rows[name]
            for holder, name in sorted(one for one in self._stale if one[1] not in rows):
                newer = (row for other, row in rows.items() if other > name)
                if any(row.whole and holder in row.confirmed for row in newer) and await self._drop(holder, name):
                    self._stale.discard((holder, name))
            return frozenset(file for row in rows.values() for file in row.files)

    async def _drop(self, holder: str, name: str) -> bool:
        """Whether a node holds a head no more, or does not matter any more."""
        node = self._nodes.get(holder)
        if node is None:
            return True
        if not self._nodes.is_open(holder):
            return False
        try:
            async with self._nodes.changing(holder):
                await node.drop_head(self._store_id, name)
        except NodeUnavailable as exc:
            self._nodes.failed(holder, exc)
            return False
        self._seen.discard((holder, name))
        return True


def _foreign(head: Head, own: Head, rows: dict[str, PlacedHead], writers: frozenset[InstanceId]) -> str:
    """Why a head on a node means that somebody else writes this store; empty: it does not."""
    if head.epoch.counter > own.epoch.counter:
        return f"the store was restored elsewhere, into epoch {head.epoch.counter}"
    if head.epoch.random != own.epoch.random:
        return "the store was restored twice, and this is the other one"
    name = head_name(head)
    known = rows.get(name)
    if head == own or (known is not None and known.writer == head.writer):
        return ""  # the row may be lost (``sync = os``, and a power failure): the head on this disk is synced always
    oldest = min((other for other in rows if other.startswith(f"{own.epoch.counter:016x}-")), default="")
    if known is None and head.writer in writers and name < oldest:
        return ""  # one of ours that we let go of: the node came back from a backup
    return "it was written by a copy of this data folder, or this folder is an old copy"


def _may_go(name: str, rows: dict[str, PlacedHead], configured: set[str]) -> bool:
    """Whether a newer head is confirmed on every node that held this one, and one of them has its whole snapshot."""
    newer = [row for other, row in rows.items() if other > name]
    confirmed = {node for row in newer for node in row.confirmed}
    holders = configured.intersection(rows[name].nodes)
    return any(row.whole and row.confirmed for row in newer) and holders <= confirmed


def head_rows(tx: Reading) -> dict[str, PlacedHead]:
    """Every head that this data folder put on nodes and did not take away, by name."""
    rows = tx.scan(Table.META, HEAD_PREFIX, prefix_end(HEAD_PREFIX), _MOST_HEADS)
    return {key[len(HEAD_PREFIX) :].decode(): decode(PlacedHead, raw) for key, raw in rows}


def put_head_row(tx: Writing, name: str, row: PlacedHead) -> None:
    """Note a head that is, or is about to be, on nodes."""
    tx.put(Table.META, head_row_key(name), encode(row))


def _writers(epoch: int, tx: Reading) -> frozenset[InstanceId]:
    rows = tx.scan(Table.META, WRITER_PREFIX, prefix_end(WRITER_PREFIX), _MOST_HEADS)
    return frozenset(InstanceId(key[len(WRITER_PREFIX) :]) for key, raw in rows if int.from_bytes(raw, "big") == epoch)


def _write(name: str, row: PlacedHead, head: Head, tx: Writing) -> None:
    put_head_row(tx, name, row)
    tx.put(Table.META, writer_key(head.writer), head.epoch.counter.to_bytes(8, "big"))
    for key, raw in tx.scan(Table.META, WRITER_PREFIX, prefix_end(WRITER_PREFIX), _MOST_HEADS):
        if int.from_bytes(raw, "big") < head.epoch.counter:
            tx.delete(Table.META, key)


def _shrink(name: str, left: tuple[str, ...], tx: Writing) -> None:
    """Write who still holds a head; without anybody it is forgotten."""
    raw = tx.get(Table.META, head_row_key(name))
    if raw is None:
        return
    if left:
        put_head_row(tx, name, msgspec.structs.replace(decode(PlacedHead, raw), nodes=left))
    else:
        tx.delete(Table.META, head_row_key(name))
