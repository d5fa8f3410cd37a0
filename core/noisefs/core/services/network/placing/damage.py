"""Damaged copies: who suspects one tells it here, and what an inspection finds is noted in the copy's row.

Promise: from the commit on that notes it, a damaged copy does not count: nothing leaves this disk for it, the pack is
among those with too few copies, and :mod:`.mending` mends it. Suspicion alone changes nothing. A process forgets whom
it suspects when it ends: whoever verifies (:mod:`.verifying`) comes by again.
"""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from typing import Final

import msgspec

from noisefs.core.domain.ids import RootId
from noisefs.core.domain.records import Copies, decode
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.patience import Patience
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.inspecting import Flaws, Inspection, Inspector
from noisefs.core.services.packs.copies import copies_of, set_copies

log = logging.getLogger(__name__)

SUSPECTED_AT_MOST: Final = 4096
"""More than these wait for whoever verifies."""
SUSPECTING_SHARE: Final = 0.1
"""The share of the time that goes into what is only suspected, at most."""
PAGE: Final = 256
_ABOVE_ALL: Final = b"\xff" * 256


class Damage:
    """What is suspected, and the job that looks into it. In every process. Belongs to one event loop."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        telemetry: Telemetry,
        nodes: Nodes,
        inspector: Inspector,
        patience: Patience,
    ) -> None:
        """``patience``: of its own, for copies that were suspected in vain."""
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._telemetry = telemetry
        self._nodes = nodes
        self._inspector = inspector
        self._patience = patience
        self._suspected: dict[tuple[str, bytes], None] = {}
        self._rest_until_s = 0.0
        self.wake = asyncio.Event()
        self.found = asyncio.Event()
        """Set when something was noted."""

    def suspect(self, name: str, key: bytes) -> None:
        """A node's copy of a pack or file seems to be damaged. Quick."""
        if len(self._suspected) < SUSPECTED_AT_MOST and self._patience.is_ready(_both(name, key)):
            self._suspected[name, key] = None
            self.wake.set()

    async def run(self) -> int:
        """Inspect what is suspected, one copy after the other; returns how many are damaged.

        A node may be slow rather than wrong: so this takes a small share of the time.
        """
        damaged = 0
        while self._suspected and (began_s := self._clock.monotonic_s()) >= self._rest_until_s:
            name, key = next(iter(self._suspected))
            if await self.examine(name, key):
                damaged += 1
            else:
                self._patience.failed(_both(name, key))
            self._suspected.pop((name, key), None)
            ended_s = self._clock.monotonic_s()
            self._rest_until_s = ended_s + (ended_s - began_s) / SUSPECTING_SHARE
        return damaged

    async def examine(self, name: str, key: bytes) -> Flaws | None:
        """Inspect a copy that a row names, and note what is found; ``None``: there is none, or it cannot be read now.

        Raises:
            NoisefsError: The row cannot be read or written.
        """
        row = await self._workers.run(Lane.BACKGROUND, self._index.read, lambda tx: copies_of(tx, key))
        node = self._nodes.get(name)
        if row is None or node is None or name not in (*row.nodes, *row.asked) or not self._nodes.is_ready(name):
            return None
        found = await self._inspector.inspect(node, key, row)
        if found is None or not found.flaws:
            return None if found is None else found.flaws
        if found.flaws.missing and not await self._holds(node, row):
            return None  # it does not even pin it: whoever asks for pins sees that
        if await self.note(name, {key: row.root}):
            self._tell(name, key, found)
        return found.flaws

    async def look_at_roots(self, node: Node) -> int:
        """Look at the root of every copy on a node, and note those that it cannot give; returns how many.

        For a node that discards nothing: it does not where it cannot read a root that it pins.

        Raises:
            NoisefsError: Rows cannot be read or written.
        """
        found: dict[bytes, RootId] = {}
        start = b""
        while rows := await self._workers.run(Lane.BACKGROUND, self._index.read, partial(_page, start)):
            held = {row.root: key for key, row in rows if node.name in row.nodes}
            flaws = await self._inspector.look(node, list(held))
            if flaws is None:
                break
            found |= {held[RootId(name)]: RootId(name) for name in flaws.all}
            start = rows[-1][0] + b"\0"
        marked = await self.note(node.name, found) if found else set()
        self._telemetry.count(Counter.BLOCKS_DAMAGED, len(marked), (node.name,))
        for key in marked:
            log.error("copy.damaged", extra={"node": node.name, "root": key.hex(), "wrong": 1, "missing": 0})
        if marked:
            self.found.set()
        return len(marked)

    async def note(self, name: str, copies: dict[bytes, RootId]) -> set[bytes]:
        """Write that a node's copies of these are damaged; the keys of those of which it was not written before."""
        return await self._commits.run(partial(_mark_all, name, copies))

    async def _holds(self, node: Node, row: Copies) -> bool:
        try:
            return bool((await node.copies([row.root])).get(row.root))
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
            return False

    def _tell(self, name: str, key: bytes, found: Inspection) -> None:
        wrong, missing = len(found.flaws.wrong), len(found.flaws.missing)
        log.error("copy.damaged", extra={"node": name, "root": key.hex(), "wrong": wrong, "missing": missing})
        self._telemetry.count(Counter.BLOCKS_DAMAGED, wrong + missing, (name,))
        self.found.set()


def _page(start: bytes, tx: Reading) -> list[tuple[bytes, Copies]]:
    return [(key, decode(Copies, raw)) for key, raw in tx.scan(Table.COPIES, start, _ABOVE_ALL, PAGE)]


def without_damage(row: Copies, name: str) -> Copies:
    """A row whose copy on this node is not damaged any more; whether it is there is to be asked."""
    return msgspec.structs.replace(row, damaged=tuple(one for one in row.damaged if one != name))


def _mark_all(name: str, copies: dict[bytes, RootId], tx: Writing) -> set[bytes]:
    return {key for key, root in copies.items() if _mark(name, key, root, tx)}


def _mark(name: str, key: bytes, root: RootId, tx: Writing) -> bool:
    row = copies_of(tx, key)
    if row is None or row.root != root or name in row.damaged or name not in (*row.nodes, *row.asked):
        return False
    marked = msgspec.structs.replace(
        row,
        nodes=_others(row.nodes, name),
        asked=(*_others(row.asked, name), name),
        damaged=(*row.damaged, name),
    )
    set_copies(tx, key, marked)
    return True


def _others(names: Iterable[str], name: str) -> tuple[str, ...]:
    return tuple(one for one in names if one != name)


def _both(name: str, key: bytes) -> bytes:
    return name.encode() + b"\0" + key
