"""Blocks from nodes: all at once, each once, verified, from whoever is quickest, within a bounded time.

Promise: what is returned has the digest that its name says; a node that answers with anything else is asked for that
block after all others from then on. Whoever is slower than it usually is gets a rival: the next node is asked for the
same block. After ``timeout_s`` at the latest there is an answer: the bytes, or
:class:`~noisefs.core.errors.BlockUnavailable`. Readers that want one block at the same time share one fetch. Belongs to
one event loop.

Cost: one request a block, and one in twenty a second one; one SHA-256 a block, on a worker lane. Fetching a whole pack
as one CAR takes 0.29 CPU seconds of node and client together, block by block 0.40 (64 MiB, Kubo 0.43): that is not
worth giving up rivals, and blocks that nobody wants, for.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cachetools import LRUCache

from noisefs.core.domain.block_id import compute_block_id
from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.domain.records import Copies, decode
from noisefs.core.errors import BlockUnavailable, NodeRefused, NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.nodes.latency import Latency
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.roots import RootFiles

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


@dataclass(slots=True)
class _Flight:
    """One block on its way, and how many wait for it."""

    task: "asyncio.Task[bytes]"
    waiting: int = 0


@dataclass(eq=False, slots=True)
class _Attempt:
    """One node being asked for one block."""

    source: "_Source"
    began_s: float | None = None
    """``None`` while it waits for its turn at the node."""


class _Source:
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


@dataclass(slots=True)
class _Search:
    """What is wanted, and who is of no use for it any more."""

    place: Place
    block_id: BlockId
    holders: tuple[str, ...]
    given_up: set[str] = field(default_factory=set)


class Fetcher:
    """Fetches blocks of packs. Task-safe; :meth:`close` ends what is under way."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        roots: RootFiles,
        index: Index,
        workers: Workers,
        clock: Clock,
        telemetry: Telemetry,
        timeout_s: float,
        suspect: Callable[[str, bytes], None] = lambda _name, _key: None,
    ) -> None:
        """Fetch nothing yet.

        Args:
            timeout_s: From the call to the bytes, or the error, of every block.
            suspect: Told of nodes, by name, whose copy of a pack seems to be damaged. Quick.
        """
        self._nodes = nodes
        self._roots = roots
        self._index = index
        self._workers = workers
        self._clock = clock
        self._telemetry = telemetry
        self.timeout_s = timeout_s
        self._suspect = suspect
        self._sources = {node.name: _Source(node) for node in nodes.all()}
        self._flights: dict[BlockId, _Flight] = {}
        self._rotten: LRUCache[tuple[str, BlockId], None] = LRUCache(ROTTEN_KEPT)
        """Blocks that a node answered wrongly for: it is asked last for them, as it may have been mended."""
        self._look_from_s = 0.0
        self._closed = False

    async def fetch(self, places: Iterable[Place]) -> dict[Place, bytes]:
        """These blocks, all of them.

        Raises:
            BlockUnavailable: One of them cannot be had in time; the others are not waited for.
        """
        wanted = list(dict.fromkeys(places))
        if not wanted:
            return {}
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._fetch(wanted)
        except TimeoutError:
            raise BlockUnavailable(*wanted[0]) from None

    async def links(self, pack_id: PackId) -> tuple[BlockId, ...]:
        """The names of a pack's blocks, in order.

        Raises:
            BlockUnavailable: The pack was never on a node, or its root cannot be had in time.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._roots.links(pack_id)
        except TimeoutError:
            raise BlockUnavailable(pack_id, 0) from None

    async def close(self) -> None:
        """End every fetch; later ones fail at once."""
        self._closed = True
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------ all blocks

    async def _fetch(self, wanted: list[Place]) -> dict[Place, bytes]:
        holders = await self._workers.run(Lane.DISK, self._index.read, lambda tx: _holders(tx, wanted))
        links = {pack_id: await self._roots.links(pack_id) for pack_id in dict.fromkeys(pack for pack, _ in wanted)}
        flights: dict[Place, _Flight] = {}
        try:
            for place in wanted:
                search = _Search(place, _link(links[place[0]], place), holders[place[0]])
                flights[place] = self._board(search)
            await asyncio.wait({flight.task for flight in flights.values()}, return_when=asyncio.FIRST_EXCEPTION)
            for place, flight in flights.items():
                if flight.task.done():
                    _check(flight.task, place)
            return {place: flight.task.result() for place, flight in flights.items()}
        finally:
            for flight in flights.values():
                flight.waiting -= 1
                if not flight.waiting:
                    flight.task.cancel()

    def _board(self, search: _Search) -> _Flight:
        """The fetch of a block that is under way, or a new one."""
        if self._closed:
            raise BlockUnavailable(*search.place)
        block_id = search.block_id
        flight = self._flights.get(block_id)
        if flight is None or flight.task.done():
            task = asyncio.create_task(self._search(search))
            flight = self._flights[block_id] = _Flight(task)
            task.add_done_callback(lambda done: self._land(block_id, done))
        flight.waiting += 1
        return flight

    def _land(self, block_id: BlockId, task: "asyncio.Task[bytes]") -> None:
        if not task.cancelled():
            task.exception()  # whoever waits gets it; often nobody does any more
        flight = self._flights.get(block_id)
        if flight is not None and flight.task is task:
            del self._flights[block_id]

    # ------------------------------------------------------------------ one block

    async def _search(self, search: _Search) -> bytes:
        """The block, from whoever gives it first. Without a bound of its own: who waits has one, and ends it."""
        for pause_s in PAUSES_S:
            if pause_s:
                await self._clock.sleep(pause_s)
            holders, strangers = self._ranked(search)
            if not holders and not strangers:
                break
            if len(holders) + len(strangers) == 1:
                (source,) = holders or strangers
                block = await self._ask_alone(search, source)
            else:
                block = await self._race(search, holders, strangers)
            if block is not None:
                return block
        for name in filter(self._nodes.is_ready, search.holders):
            self._suspect(name, search.place[0])
        raise BlockUnavailable(*search.place)

    def _ranked(self, search: _Search) -> tuple[list[_Source], list[_Source]]:
        """Nodes that hold the block, and the others: those who answer first before the rest.

        Holders that were down when they were last looked at come last: they may be back.
        """
        held = self._sorted(self._nodes.readable(search.holders), search)
        if len(held) < len(search.holders):
            down = [node for name in search.holders if (node := self._nodes.get(name)) and self._may_be_back(name)]
            held += [source for source in self._sorted(down, search) if source not in held]
        if len(held) == len(self._sources):
            return held, []
        return held, [source for source in self._sorted(self._nodes.readable(), search) if source not in held]

    def _may_be_back(self, name: str) -> bool:
        state = self._nodes.state(name)
        return state is None or not (state.public and not state.usable)

    def _sorted(self, nodes: Sequence[Node], search: _Search) -> list[_Source]:
        fit = [self._sources[node.name] for node in nodes if node.name not in search.given_up]
        if len(fit) < 2:
            return fit

        def order(source: _Source) -> tuple[bool, bool, float]:
            name = source.node.name
            return (name, search.block_id) in self._rotten, not self._nodes.is_ready(name), source.expected_s

        return sorted(fit, key=order)

    async def _ask_alone(self, search: _Search, source: _Source) -> bytes | None:
        source.busy += 1
        try:
            return await self._ask(search, _Attempt(source))
        finally:
            source.busy -= 1

    async def _race(self, search: _Search, holders: list[_Source], strangers: list[_Source]) -> bytes | None:
        """Ask one after another: the next one when the last one asked failed, or takes longer than it should."""
        running: dict[asyncio.Task[bytes | None], _Attempt] = {}
        waiting = [(source, 0.0) for source in holders] + [(source, STRANGER_PATIENCE_S) for source in strangers]
        latest: _Attempt | None = None
        try:
            while running or waiting:
                rest_s = 0.0
                if waiting and running and (latest is not None or waiting[0][1]):
                    rest_s = self._rest_s(latest or next(iter(running.values())), waiting[0][1])
                if waiting and rest_s <= 0.0:
                    latest = _Attempt(waiting.pop(0)[0])
                    latest.source.busy += 1
                    running[asyncio.create_task(self._ask(search, latest))] = latest
                    continue
                done, _ = await asyncio.wait(
                    running, timeout=rest_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    attempt = running.pop(task)
                    attempt.source.busy -= 1
                    block = task.result()
                    if block is not None:
                        return block
                    latest = None if attempt is latest else latest
            return None
        finally:
            for task, attempt in running.items():
                attempt.source.busy -= 1
                if attempt.began_s is not None:  # overtaken: it would have taken longer than this
                    attempt.source.latency.took(self._clock.monotonic_s() - attempt.began_s)
                task.cancel()
            if running:
                await asyncio.gather(*running, return_exceptions=True)

    def _rest_s(self, asked: _Attempt, least_s: float) -> float:
        """How much longer this one may take before the next one is asked too."""
        patience_s = max(asked.source.latency.patience_s, least_s)
        if asked.began_s is None:
            return patience_s
        return asked.began_s + patience_s - self._clock.monotonic_s()

    async def _ask(self, search: _Search, attempt: _Attempt) -> bytes | None:
        """What one node says; ``None``: nothing that is of use."""
        source, name = attempt.source, attempt.source.node.name
        async with source.turns:
            attempt.began_s = began_s = self._clock.monotonic_s()
            try:
                block = await source.node.block(search.block_id, timeout_s=self.timeout_s)
            except NodeUnavailable as exc:
                if isinstance(exc, NodeRefused):
                    search.given_up.add(name)
                source.latency.took(max(self._clock.monotonic_s() - began_s, source.latency.mean_s))
                self._telemetry.count(Counter.NODE_READS, 1, (name, "failed"))
                log.debug("block.not_fetched", extra={"node": name, "cause": str(exc)})
                self._have_looked()
                return None
            source.latency.took(self._clock.monotonic_s() - began_s)
        if await self._workers.run(Lane.CPU, compute_block_id, block) != search.block_id:
            search.given_up.add(name)
            if (name, search.block_id) not in self._rotten:
                self._rotten[name, search.block_id] = None
                log.warning("node.wrong_bytes", extra={"node": name, "bytes": len(block)})
                self._suspect(name, search.place[0])
            self._telemetry.count(Counter.NODE_READS, 1, (name, "damaged"))
            return None
        self._telemetry.count(Counter.NODE_READS, 1, (name, "ok"))
        return block

    def _have_looked(self) -> None:
        """Have the nodes asked how they are, but not for each of many blocks."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._look_from_s:
            self._look_from_s = now_s + LOOK_AGAIN_S
            self._nodes.wake.set()


def _holders(tx: Reading, wanted: list[Place]) -> dict[PackId, tuple[str, ...]]:
    """Who holds these packs, and who may.

    Raises:
        BlockUnavailable: A pack was never on a node.
    """
    found: dict[PackId, tuple[str, ...]] = {}
    for pack_id, position in wanted:
        if pack_id not in found:
            raw = tx.get(Table.COPIES, pack_id)
            if raw is None:
                raise BlockUnavailable(pack_id, position)
            row = decode(Copies, raw)
            found[pack_id] = tuple(dict.fromkeys((*row.nodes, *row.asked)))
    return found


def _check(task: "asyncio.Task[bytes]", place: Place) -> None:
    """Raise what a fetch that ended raised, as who asked for the block wants to hear it."""
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if isinstance(error, TimeoutError | BlockUnavailable | asyncio.CancelledError):
        raise BlockUnavailable(*place) from None
    if error is not None:
        raise error


def _link(links: Sequence[BlockId], place: Place) -> BlockId:
    if not 0 <= place[1] < len(links):
        raise BlockUnavailable(*place)
    return links[place[1]]
