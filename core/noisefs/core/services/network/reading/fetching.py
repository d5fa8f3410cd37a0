"""Blocks from nodes: all at once, each once, verified, from whoever is quickest, within a bounded time.

Promise: what is in a room has the digest that its name says. After ``timeout_s`` at the latest there is an answer: the
bytes, or :class:`~noisefs.core.errors.BlockUnavailable`. Readers that want one block at the same time share one fetch.
Belongs to one event loop.

Cost: one request a block, and one in twenty a second one (:mod:`.asking`); one SHA-256 a block, on a worker lane.
Whole packs are not fetched as CARs: that takes node and client together 4.6 CPU seconds a GiB, block by block 3.6
(Kubo 0.43), and there is no second node to ask when one stream is slow.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.domain.records import Copies, decode
from noisefs.core.errors import BlockUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.roots import RootFiles
from noisefs.core.services.network.reading.asking import Asking, Place, Search


class _Flight:
    """One block on its way into the room of whoever asked for it first.

    Attributes:
        room: Where it will be.
        shared: Somebody else waits for it too...
        copy: ...who gets this: the room's owner may do with it as he likes as soon as he has it.
        given_up: The owner has gone away, so the block will not come.
        task: Brings it.
    """

    __slots__ = ("copy", "given_up", "room", "shared", "task")

    def __init__(self, search: Search, bring: Callable[[Search], Coroutine[None, None, None]]) -> None:
        self.room = search.room
        self.shared = self.given_up = False
        self.copy = b""
        self.task = asyncio.create_task(self._fly(search, bring))

    async def _fly(self, search: Search, bring: Callable[[Search], Coroutine[None, None, None]]) -> None:
        await bring(search)
        if self.shared:
            self.copy = bytes(self.room)

    @property
    def is_up(self) -> bool:
        """Whether others may board it."""
        return not (self.given_up or self.task.done())


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
        self._roots = roots
        self._index = index
        self._workers = workers
        self.timeout_s = timeout_s
        self._asking = Asking(
            nodes=nodes, workers=workers, clock=clock, telemetry=telemetry, timeout_s=timeout_s, suspect=suspect
        )
        self._flights: dict[BlockId, _Flight] = {}
        self._closed = False

    async def fetch(self, rooms: Mapping[Place, memoryview]) -> None:
        """Put each of these blocks into its room, which is as large as a block. Afterwards nobody writes there.

        Raises:
            BlockUnavailable: One of them cannot be had in time; the others are not waited for. The rooms are void.
        """
        if not rooms:
            return
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._fetch(rooms)
        except TimeoutError:
            raise BlockUnavailable(*next(iter(rooms))) from None

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
        await self._asking.close()

    # ------------------------------------------------------------------ all blocks

    async def _fetch(self, rooms: Mapping[Place, memoryview]) -> None:
        holders = await self._workers.run(Lane.DISK, self._index.read, lambda tx: _holders(tx, rooms))
        links = {pack_id: await self._roots.links(pack_id) for pack_id in holders}
        choices = {pack_id: self._asking.choose(names) for pack_id, names in holders.items()}
        flights: dict[Place, _Flight] = {}

        def board(place: Place) -> None:
            pack_id = place[0]
            block_id = _link(links[pack_id], place)
            flights[place] = self._board(Search(place, block_id, rooms[place], holders[pack_id], choices[pack_id]))

        try:
            for place in rooms:
                board(place)
            coming = set(rooms)
            while coming:
                await asyncio.wait({flights[place].task for place in coming}, return_when=asyncio.FIRST_EXCEPTION)
                for place in [place for place in coming if flights[place].task.done()]:
                    flight = flights[place]
                    if flight.given_up:
                        board(place)
                        continue
                    _check(flight.task, place)
                    if flight.room is not rooms[place]:
                        rooms[place][:] = flight.copy
                    coming.discard(place)
        finally:
            await _give_up(one for place, one in flights.items() if one.room is rooms[place])

    def _board(self, search: Search) -> _Flight:
        """The fetch of a block that is under way, or a new one."""
        if self._closed:
            raise BlockUnavailable(*search.place)
        block_id = search.block_id
        flight = self._flights.get(block_id)
        if flight is not None and flight.is_up:
            flight.shared = True
            return flight
        flight = self._flights[block_id] = _Flight(search, self._asking.search)
        flight.task.add_done_callback(lambda done: self._land(block_id, done))
        return flight

    def _land(self, block_id: BlockId, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # whoever waits gets it; often nobody does any more
        flight = self._flights.get(block_id)
        if flight is not None and flight.task is task:
            del self._flights[block_id]


async def _give_up(flights: Iterable[_Flight]) -> None:
    """End those that still fly: their rooms belong to somebody who goes away now."""
    flying = [flight for flight in flights if flight.is_up]
    for flight in flying:
        flight.given_up = True
        flight.task.cancel()
    if flying:
        await asyncio.wait({flight.task for flight in flying})


def _holders(tx: Reading, wanted: Iterable[Place]) -> dict[PackId, tuple[str, ...]]:
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


def _check(task: asyncio.Task[None], place: Place) -> None:
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
