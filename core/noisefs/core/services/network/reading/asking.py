"""One block: which node is asked for it, and who else when that one fails, or is slower than it usually is.

Promise: what is put into a room has the digest that its name says; a node that answers with anything else is asked for
that block after all others from then on. Whoever is slower than it usually is gets a rival: the next node is asked for
the same block. Belongs to one event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cachetools import LRUCache

from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.errors import BlockUnavailable, NodeRefused, NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Workers
from noisefs.core.services.network.nodes.latency import Latency
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.reading.digests import Digests

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 32
"""Requests of one node at a time: from here on a Kubo daemon gets no faster."""

PAUSES_S: Final = (0.0, 0.25, 1.0)
"""Before each round of asking everybody: a daemon that is just restarting is there again by the last one."""

STRANGER_PATIENCE_S: Final = 2.0
"""Nodes that no row names as holders may find a block in their swarm: they are asked when the holders take so long."""

LOOK_AGAIN_S: Final = 2.0
"""After a block could not be had, the nodes are asked how they are, at most so often."""

ROTTEN_KEPT: Final = 4096
"""Damaged blocks of nodes that are kept in mind."""

Place = tuple[PackId, int]
"""A block: its pack and its position there."""


class Source:
    """A node as a place to read from."""

    __slots__ = ("busy", "latency", "node", "turns")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.latency = Latency()
        self.turns = asyncio.Semaphore(IN_FLIGHT)
        self.busy = 0

    @property
    def expected_s(self) -> float:
        """When it would answer one more request."""
        return self.latency.mean_s * (1.0 + self.busy / IN_FLIGHT)


@dataclass(frozen=True, slots=True)
class Choice:
    """Who may be asked for the blocks of a pack: those that hold it, those that do and were down when they were last
    looked at, and those that may find it in their swarm.
    """

    held: Sequence[Source]
    down: Sequence[Source]
    strangers: Sequence[Source]


@dataclass(slots=True)
class Search:
    """What is wanted, where it belongs, and who is of no use for it any more.

    ``choice``: who may be asked, where that was found out just now; ``holders``: names of who holds it, or may.
    """

    place: Place
    block_id: BlockId
    room: memoryview
    holders: Sequence[str]
    choice: Choice | None = None
    given_up: set[str] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class _Attempt:
    """One node being asked for one block."""

    source: Source
    room: memoryview
    began_s: float | None = None
    """``None`` while it waits for its turn at the node."""


class Asking:
    """Asks nodes for blocks. Task-safe."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        workers: Workers,
        clock: Clock,
        telemetry: Telemetry,
        timeout_s: float,
        suspect: Callable[[str, bytes], None],
    ) -> None:
        """Ask nobody yet.

        Args:
            timeout_s: What a node gets at most for one block.
            suspect: Told of nodes, by name, whose copy of a pack seems to be damaged. Quick.
        """
        self._nodes = nodes
        self._clock = clock
        self._telemetry = telemetry
        self._timeout_s = timeout_s
        self._suspect = suspect
        self._digests = Digests(workers)
        self._sources = {node.name: Source(node) for node in nodes.all()}
        self._rotten: LRUCache[tuple[str, BlockId], None] = LRUCache(ROTTEN_KEPT)
        """Blocks that a node answered wrongly for: it is asked last for them, as it may have been mended."""
        self._look_from_s = 0.0

    async def search(self, search: Search) -> None:
        """Put the block into its room, from whoever gives it first.

        Without a bound of its own: who waits has one, and ends it. After its end nothing is written there any more.

        Raises:
            BlockUnavailable: Nobody gives it.
        """
        for pause_s in PAUSES_S:
            if pause_s:
                await self._clock.sleep(pause_s)
            held, strangers = self._ranked(search)
            if not held and not strangers:
                break
            if len(held) + len(strangers) == 1:
                (source,) = held or strangers
                found = await self._ask_alone(search, source)
            else:
                found = await self._race(search, held, strangers)
            if found:
                return
        for name in filter(self._nodes.is_ready, search.holders):
            self._suspect(name, search.place[0])
        raise BlockUnavailable(*search.place)

    async def close(self) -> None:
        """After the last search has ended."""
        await self._digests.close()

    # ------------------------------------------------------------------ who

    def choose(self, holders: Sequence[str]) -> Choice:
        """Who may be asked now for what these hold. Those that were down come after the others: they may be back."""
        held = [self._sources[node.name] for node in self._nodes.readable(holders)]
        down: list[Source] = []
        if len(held) < len(holders):
            known = (self._sources[name] for name in holders if self._nodes.get(name) and self._may_be_back(name))
            down = [source for source in known if source not in held]
        if len(held) + len(down) == len(self._sources):
            return Choice(held, down, ())
        others = (self._sources[node.name] for node in self._nodes.readable())
        return Choice(held, down, [source for source in others if source not in held and source not in down])

    def _may_be_back(self, name: str) -> bool:
        state = self._nodes.state(name)
        return state is None or not (state.public and not state.usable)

    def _ranked(self, search: Search) -> tuple[list[Source], list[Source]]:
        """Who is left to be asked, the best first: those who hold it, and the others."""
        choice, search.choice = search.choice or self.choose(search.holders), None
        held = self._sorted(choice.held, search) + self._sorted(choice.down, search)
        return held, self._sorted(choice.strangers, search)

    def _sorted(self, sources: Sequence[Source], search: Search) -> list[Source]:
        fit = [source for source in sources if source.node.name not in search.given_up]
        if len(fit) < 2:
            return fit

        def order(source: Source) -> tuple[bool, bool, float]:
            name = source.node.name
            return (name, search.block_id) in self._rotten, not self._nodes.is_ready(name), source.expected_s

        return sorted(fit, key=order)

    # ------------------------------------------------------------------ asking

    async def _ask_alone(self, search: Search, source: Source) -> bool:
        source.busy += 1
        try:
            return await self._ask(search, _Attempt(source, search.room))
        finally:
            source.busy -= 1

    async def _race(self, search: Search, held: list[Source], strangers: list[Source]) -> bool:
        """Ask one after another: the next one when the last one asked failed, or takes longer than it should.

        Rivals write into rooms of their own.
        """
        running: dict[asyncio.Task[bool], _Attempt] = {}
        waiting = [(source, 0.0) for source in held] + [(source, STRANGER_PATIENCE_S) for source in strangers]
        latest: _Attempt | None = None
        winner: _Attempt | None = None
        try:
            while winner is None and (running or waiting):
                rest_s = 0.0
                if waiting and running and (latest is not None or waiting[0][1]):
                    rest_s = self._rest_s(latest or next(iter(running.values())), waiting[0][1])
                if waiting and rest_s <= 0.0:
                    room = memoryview(bytearray(len(search.room))) if running else search.room
                    latest = _Attempt(waiting.pop(0)[0], room)
                    latest.source.busy += 1
                    running[asyncio.create_task(self._ask(search, latest))] = latest
                    continue
                done, _ = await asyncio.wait(
                    running, timeout=rest_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    attempt = running.pop(task)
                    attempt.source.busy -= 1
                    if task.result():
                        winner = attempt
                    latest = None if attempt is latest else latest
        finally:
            for task, attempt in running.items():
                attempt.source.busy -= 1
                if attempt.began_s is not None:  # overtaken: it would have taken longer than this
                    attempt.source.latency.took(self._clock.monotonic_s() - attempt.began_s)
                task.cancel()
            if running:
                await asyncio.gather(*running, return_exceptions=True)
        if winner is not None and winner.room is not search.room:
            search.room[:] = winner.room
        return winner is not None

    def _rest_s(self, asked: _Attempt, least_s: float) -> float:
        """How much longer this one may take before the next one is asked too."""
        patience_s = max(asked.source.latency.patience_s, least_s)
        if asked.began_s is None:
            return patience_s
        return asked.began_s + patience_s - self._clock.monotonic_s()

    async def _ask(self, search: Search, attempt: _Attempt) -> bool:
        """Whether the node gave the block; else it is of no use."""
        source, name = attempt.source, attempt.source.node.name
        async with source.turns:
            attempt.began_s = began_s = self._clock.monotonic_s()
            try:
                fits = await source.node.read_into(search.block_id, attempt.room, timeout_s=self._timeout_s)
            except NodeUnavailable as exc:
                if isinstance(exc, NodeRefused):
                    search.given_up.add(name)
                source.latency.took(max(self._clock.monotonic_s() - began_s, source.latency.mean_s))
                self._telemetry.count(Counter.NODE_READS, 1, (name, "failed"))
                log.debug("block.not_fetched", extra={"node": name, "cause": str(exc)})
                self._have_looked()
                return False
            source.latency.took(self._clock.monotonic_s() - began_s)
        if fits and await self._digests.fit(search.block_id, attempt.room):
            self._telemetry.count(Counter.NODE_READS, 1, (name, "ok"))
            return True
        search.given_up.add(name)
        if (name, search.block_id) not in self._rotten:
            self._rotten[name, search.block_id] = None
            log.warning("node.wrong_bytes", extra={"node": name})
            self._suspect(name, search.place[0])
        self._telemetry.count(Counter.NODE_READS, 1, (name, "damaged"))
        return False

    def _have_looked(self) -> None:
        """Have the nodes asked how they are, but not for each of many blocks."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._look_from_s:
            self._look_from_s = now_s + LOOK_AGAIN_S
            self._nodes.wake.set()
