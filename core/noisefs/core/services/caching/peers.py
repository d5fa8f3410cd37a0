"""Other processes of the store: each cell has one owner, who fetches it from nodes for all and keeps it on the disk.

Promise: a peer that is dead or slow costs at most :data:`PATIENCE_S`, then nothing for :data:`REST_S`: who asked
fetches for itself. Who owns what follows from the names alone, so that nobody ever passes a question on.
"""

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from noisefs.core.domain.caching.peering import MOST_CELLS, Answer, Question, owner_of
from noisefs.core.domain.ids import BodyId
from noisefs.core.errors import NoisefsError, Unavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.packs import Reach
from noisefs.core.ports.peers import Peer
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.bodies.tiered import neighbours
from noisefs.core.services.caching.entry import CellKey, Kept

log = logging.getLogger(__name__)

PATIENCE_S: Final = 3.0
"""What an owner gets, who may have to ask nodes itself."""

REST_S: Final = 2.0
"""After a failure a peer is not asked for so long."""


class Peers:
    """This process among the others. Thread-safe, but for making and closing it: that is the event loop's."""

    def __init__(self, own: str, peers: Sequence[Peer], clock: Clock, *, patience_s: float = PATIENCE_S) -> None:
        """Made on the event loop that the peers belong to. ``own``: this process's name."""
        self._own = own
        self._peers = {peer.name: peer for peer in peers}
        self._names = sorted([own, *self._peers])
        self._clock = clock
        self._patience_s = patience_s
        self._resting: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()

    def is_mine(self, key: CellKey) -> bool:
        """Whether this process is the owner."""
        return owner_of(*key, self._names) == self._own

    def is_kept_here(self, key: CellKey) -> bool:
        """Whether this process keeps it on the disk. Else, while its owner is away, it would be fetched for each read
        that memory does not serve.
        """
        owner = owner_of(*key, self._names)
        return owner == self._own or self._is_resting(owner)

    def ask(self, keys: Sequence[CellKey], *, slices: bool) -> dict[CellKey, Kept]:
        """What their owners give of these. Blocks for at most the patience; called on the event loop, nothing comes."""
        if threading.get_ident() == self._loop_thread:
            return {}
        work = self._ask(keys, slices=slices)
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop is closed
            work.close()
            return {}
        try:
            return future.result(self._patience_s + 1)
        except TimeoutError:
            future.cancel()
            return {}

    async def close(self) -> None:
        """Ask nobody any more."""
        await asyncio.gather(*(peer.close() for peer in self._peers.values()))

    async def _ask(self, keys: Sequence[CellKey], *, slices: bool) -> dict[CellKey, Kept]:
        wanted: defaultdict[tuple[str, BodyId], list[int]] = defaultdict(list)
        for body_id, segment in keys:
            wanted[owner_of(body_id, segment, self._names), body_id].append(segment)
        found: dict[CellKey, Kept] = {}
        async with asyncio.TaskGroup() as group:
            for (name, body_id), segments in wanted.items():
                for first in range(0, len(segments), MOST_CELLS):
                    group.create_task(self._ask_one(name, body_id, segments[first : first + MOST_CELLS], slices, found))
        return found

    def _is_resting(self, name: str) -> bool:
        return self._resting.get(name, 0.0) > self._clock.monotonic_s()

    async def _ask_one(
        self, name: str, body_id: BodyId, segments: list[int], slices: bool, found: dict[CellKey, Kept]
    ) -> None:
        if self._is_resting(name):
            return
        try:
            answers = await self._peers[name].cells(body_id, segments, slices=slices, timeout_s=self._patience_s)
        except Unavailable as exc:
            self._resting[name] = self._clock.monotonic_s() + REST_S
            log.info("peer.not_asked", extra={"peer": name, "cause": str(exc), "again_s": REST_S})
            return
        for answer in answers:
            if answer.segment in segments:
                found[body_id, answer.segment] = Kept(answer.sealed, answer.generation, cold=True)


class Lending:
    """The other side: what this process gives to others. Thread-safe; blocks for disk and nodes, never for a peer."""

    def __init__(self, cells: CellReader, block_bytes: int) -> None:
        self._cells = cells
        self._block_bytes = block_bytes

    def answer(self, question: Question) -> list[Answer]:
        """What is here of it, or could be fetched; what could not is left out."""
        body_id = BodyId(question.body_id)
        # Who asks keeps it in memory; here it is kept on the disk, if there is one for it.
        keep = self._cells.tiers is None or self._cells.tiers.warm is None or not self._cells.tiers.warm.state().enabled
        answers: list[Answer] = []
        if question.slices:
            for segment in question.segments:
                held = self._cells.slice(body_id, segment)
                if held is not None:
                    answers.append(Answer(segment, held.generation, held.sealed))
            return answers
        for first, count in neighbours(question.segments):
            try:
                found = self._cells.cells(body_id, first, count, keep=keep, reach=Reach.NETWORK)
            except NoisefsError as exc:
                log.debug("peer.not_given", extra={"cause": str(exc)})
                continue
            for run, cells, begin in found:
                for at in range(0, len(cells), self._block_bytes):
                    cell = bytes(cells[at : at + self._block_bytes])
                    answers.append(Answer(begin + at // self._block_bytes, run.generation, cell))
        return answers
