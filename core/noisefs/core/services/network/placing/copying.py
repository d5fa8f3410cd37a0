"""One copy onto one node, with its rows: noted before it begins, confirmed after it, found again after a crash.

Promise: whatever a node may hold because of us is in a row before the node hears of it. One change of a node at a time:
imports are quickest so, and nothing is let go of or collected meanwhile.
"""

import functools
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from noisefs.core.domain.ids import PackId, RootId
from noisefs.core.domain.records import Copies, Pack, PackState, decode
from noisefs.core.errors import LinksMissing, NodeUnavailable, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Table, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.cars import Limiter, Stream
from noisefs.core.services.packs.copies import copies_of, drop_interims, is_let_go, keep, let_go, set_copies

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """What nodes said of a root: by name, how many copies they hold; and its row when they were asked."""

    key: bytes
    row: Copies
    found: Mapping[str, int]


class Copier:
    """Puts copies on nodes and keeps the rows. Belongs to one event loop."""

    def __init__(
        self, *, nodes: Nodes, commits: CommitQueue, clock: Clock, telemetry: Telemetry, limiter: Limiter
    ) -> None:
        """``limiter``: shared by everything that is sent."""
        self._nodes = nodes
        self._commits = commits
        self._clock = clock
        self._telemetry = telemetry
        self._limiter = limiter
        self._on_way: set[tuple[bytes, str]] = set()
        """Keys and nodes of what is being sent or pinned."""

    async def begin(self, key: bytes, root: RootId, names: Sequence[str], wanted: int, *, pack: bool) -> Copies | None:
        """Note that these nodes may hold it from now on; returns the row, ``None`` where there is nothing to copy.

        Without a row there is one from now on. With a row of another root, nothing is noted and that row returned.

        Args:
            pack: It is a pack: one that is not sealed, or is being dropped, gets no row.
        """
        return await self._commits.run(functools.partial(self._begin, key, root, tuple(names), wanted, pack))

    async def send(self, key: bytes, stream: Stream, name: str, copies: int, *, by: str, partial: bool = False) -> bool:
        """Import a stream on a node, and confirm it; tells whether it is there. After :meth:`begin`.

        Args:
            by: Where the stream comes from, for the counters.
            partial: It lacks blocks that the node should have; that it has not is no failure.
        """
        node = self._nodes.get(name)
        if node is None:
            return False
        car = stream.car(self._limiter)
        async with self._nodes.changing(name), self._under_way(key, name):
            try:
                confirmed = await node.import_car(car, copies=copies)
            except NoisefsError as exc:
                if stream.failure is not None:
                    return False  # whoever asked for it looks there
                if not isinstance(exc, NodeUnavailable):
                    raise
                if not (partial and isinstance(exc, LinksMissing)):
                    self._nodes.failed(name, exc)
                return False
            self._telemetry.count(Counter.NODE_SENT, car.size_bytes, (name,))
            self._nodes.worked(name, size_bytes=car.size_bytes, blocks=car.blocks)
            return await self._confirmed(key, car.root, name, confirmed, by)

    async def pin(self, key: bytes, root: RootId, name: str, copies: int) -> bool:
        """Let a node get it from others of its swarm; tells whether it is there. After :meth:`begin`."""
        node = self._nodes.get(name)
        if node is None:
            return False
        async with self._nodes.changing(name), self._under_way(key, name):
            try:
                confirmed = await node.pin(root, copies=copies)
            except NodeUnavailable as exc:
                # It may be that nobody whom it knows has the blocks: that says nothing about the node.
                log.info("pin.failed", extra={"node": name, "cause": str(exc)})
                self._nodes.wake.set()
                return False
            self._nodes.worked(name)
            return await self._confirmed(key, root, name, confirmed, "pin")

    async def has(self, key: bytes, row: Copies, name: str, copies: int) -> bool:
        """Whether a node says that it holds so many copies; then they are confirmed. After :meth:`begin`."""
        node = self._nodes.get(name)
        count = None if node is None else await self.count_on(node, row.root)
        if not count or count < copies:
            return False
        return await self._commits.run(functools.partial(self._arrived, key, row.root, name, count))

    async def ask(self, key: bytes, row: Copies, names: Sequence[str]) -> Copies:
        """The row after these nodes were asked whether they hold it. One that does not answer stays as it was."""
        found: dict[str, int] = {}
        for node in filter(None, map(self._nodes.get, names)):
            count = await self.count_on(node, row.root)
            if count is not None:
                found[node.name] = count
        return await self._commits.run(functools.partial(self._note, Heard(key, row, found))) or row

    async def heard(self, answers: Iterable[Heard]) -> None:
        """Write down what nodes said, where nothing else was written meanwhile."""
        heard = list(answers)

        def note(tx: Writing) -> None:
            for one in heard:
                self._note(one, tx)

        await self._commits.run(note)

    async def count_on(self, node: Node, root: RootId) -> int | None:
        """Copies of one root that a node holds; ``None``: no answer."""
        try:
            return (await node.copies([root])).get(root, 0)
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
            return None

    def _begin(
        self, key: bytes, root: RootId, names: tuple[str, ...], wanted: int, pack: bool, tx: Writing
    ) -> Copies | None:
        if pack:
            raw = tx.get(Table.PACKS, key)
            if raw is None or decode(Pack, raw).state != PackState.SEALED:
                return None
        row = copies_of(tx, key)
        if row is None:
            if not pack:
                return None
            row = Copies(root)
        if row.root != root:
            return row
        for name in names:
            keep(tx, name, root)
        asked = tuple(dict.fromkeys((*row.asked, *(name for name in names if name not in row.nodes))))
        begun = msgspec.structs.replace(row, wanted=wanted, asked=asked)
        begun = self._settled(tx, key, begun)
        set_copies(tx, key, begun)
        return begun

    def _settled(self, tx: Writing, key: bytes, row: Copies) -> Copies:
        """The row, confirmed if it has all its copies; then roots of what the pack was before it was sealed may go."""
        if row.confirmed_us or len(self._nodes.counted(row.nodes)) < row.wanted:
            return row
        now_us = self._clock.now_us()
        if tx.get(Table.PACKS, key) is not None:
            drop_interims(tx, PackId(key), now_us)
        return msgspec.structs.replace(row, confirmed_us=now_us)

    @asynccontextmanager
    async def _under_way(self, key: bytes, name: str) -> AsyncIterator[None]:
        self._on_way.add((key, name))
        try:
            yield
        finally:
            self._on_way.discard((key, name))

    async def _confirmed(self, key: bytes, root: RootId, name: str, copies: int, by: str) -> bool:
        if copies < 1:
            return False
        self._telemetry.count(Counter.COPIES_MADE, copies, (by,))
        return await self._commits.run(functools.partial(self._arrived, key, root, name, copies))

    def _arrived(self, key: bytes, root: RootId, name: str, copies: int, tx: Writing) -> bool:
        row = copies_of(tx, key)
        if row is None or row.root != root:  # dropped while it was on its way
            let_go(tx, [name], root, self._clock.now_us())
            return False
        set_copies(tx, key, self._settled(tx, key, with_answers(row, {name: copies})))
        return True

    def _note(self, heard: Heard, tx: Writing) -> Copies | None:
        """The row now; ``None``: there is none any more."""
        row = copies_of(tx, heard.key)
        if row is None or row != heard.row:
            return row
        # An answer of before it was let go of says nothing, and neither does one of before it arrived.
        found = {
            name: count
            for name, count in heard.found.items()
            if not (count and name not in row.nodes and is_let_go(tx, name, row.root))
            and (count or (heard.key, name) not in self._on_way)
        }
        after = self._settled(tx, heard.key, with_answers(row, found))
        if after != row:
            set_copies(tx, heard.key, after)
        return after


def with_answers(row: Copies, found: Mapping[str, int]) -> Copies:
    """A row with what nodes said: by name, how many copies. A damaged one does not count, whatever its node says."""
    damaged = tuple(name for name in row.damaged if found.get(name, 1))
    nodes = [name for name in row.nodes if name not in found]
    for name, count in found.items():
        nodes += [name] * count if name not in damaged else []
    asked = tuple(name for name in row.asked if name not in found or name in damaged)
    return msgspec.structs.replace(row, nodes=tuple(nodes), asked=asked, damaged=damaged)
