"""Uploads: every sealed pack goes onto as many nodes as it shall have copies.

Promise: a pack is found again after a crash at any step, and nothing is sent twice that a node says it has, nor blocks
that it holds under interim roots. Packs do not wait for each other: one that fails is left alone for a while of its
own, and one whose node is busy lets others pass. A pack is confirmed once as many nodes as it shall have said that they
hold all of it; with fewer nodes usable it goes onto those there are, and the rest follows. While a pack is on its way,
the next ones get their names. Cost: one SHA-256 a block, and the pack's bytes once for each copy.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, PackId, RootId
from noisefs.core.domain.nodes.root import root_id
from noisefs.core.domain.records import Copies
from noisefs.core.errors import BlockUnavailable, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Writing
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.patience import Patience
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.ahead import Ahead
from noisefs.core.services.network.placing.cars import stream_from_disk
from noisefs.core.services.network.placing.census import Census, Task
from noisefs.core.services.network.placing.copying import Copier
from noisefs.core.services.network.placing.roots import RootFiles
from noisefs.core.services.network.placing.rounds import Rounds
from noisefs.core.services.packs.copies import copies_of, drop_copies

log = logging.getLogger(__name__)

NAMED_AHEAD: Final = 2
"""Packs whose blocks have names before their turn comes."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What one step did: packs that have all their copies now, and packs it could not do everything for."""

    confirmed: int = 0
    waiting: int = 0


class Uploads:
    """The job. ``wake``: set when a pack was sealed; ``news``: when a node came or went. Belongs to one event loop."""

    def __init__(
        self,
        *,
        index: Index,
        packs: PackStore,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        geometry: Geometry,
        nodes: Nodes,
        roots: RootFiles,
        census: Census,
        copier: Copier,
        patience: Patience,
        at_once: int,
        ahead: Ahead,
    ) -> None:
        """Upload nothing before :meth:`run`.

        Args:
            packs: On this machine's disk.
            ahead: Who sent blocks before their packs were sealed.
        """
        self._index = index
        self._packs = packs
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._geometry = geometry
        self._nodes = nodes
        self._roots = roots
        self._census = census
        self._copier = copier
        self._rounds = Rounds(
            nodes=nodes,
            geometry=geometry,
            clock=clock,
            census=census,
            patience=patience,
            at_once=at_once,
            failed=_failed,
        )
        self.ahead = ahead
        """May be set before the first run."""
        self._busy = asyncio.Lock()
        self._naming = asyncio.Lock()
        self._named: set[PackId] = set()
        """Packs that were named ahead of their turn..."""
        self._begun: set[PackId] = set()
        """...and those whose turn it is, or was, in this step."""
        self._turn = asyncio.Event()
        """Another pack's turn has come."""
        self.wake = asyncio.Event()
        self.news = self._rounds.news

    async def run(self) -> Uploaded:
        """One step: upload what waits and is not left alone, several packs at once. One step at a time."""
        async with self._busy:
            return await self._run()

    async def _run(self) -> Uploaded:
        found, until_s = await self._rounds.begin()
        self._named.clear()
        self._begun.clear()
        ahead = asyncio.create_task(self._name_ahead(found.uploads[:]))
        try:
            return Uploaded(*await self._rounds.deal(found.uploads, lambda _task: found.wanted, self._upload, until_s))
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _name_ahead(self, tasks: list[Task]) -> None:
        """Name the blocks of those whose turn comes next, so that no node waits for that."""
        for task in tasks:
            while not self._begun or len(self._named - self._begun) >= NAMED_AHEAD:
                self._turn.clear()
                await self._turn.wait()
            if task.row is None and task.pack_id not in self._begun:
                self._named.add(task.pack_id)
                with contextlib.suppress(NoisefsError):  # whoever uploads it hears of it
                    await self._root(task, None)

    async def _upload(self, task: Task, wanted: int) -> bool:
        """Whether all that there is to do for this pack is done."""
        if not self._nodes.usable():
            return False
        self._begun.add(task.pack_id)
        self._turn.set()
        held = await self.ahead.hand_over(task.pack_id)
        try:
            done = await self._upload_rest(task, wanted, held)
        except BaseException:
            self.ahead.take_back(task.pack_id)
            raise
        if done:
            self._census.uploaded(task)
            self.ahead.forget(task.pack_id)
        else:
            self.ahead.take_back(task.pack_id)
        return done

    async def _upload_rest(self, task: Task, wanted: int, held: Mapping[str, int]) -> bool:
        """Bring to each node what it has not; by name, how many of the first blocks it holds."""
        pack_id = task.pack_id
        row = await self._workers.run(Lane.BACKGROUND, self._index.read, lambda tx: copies_of(tx, pack_id))
        raw = await self._root(task, row)
        if raw is None:
            return False
        if row is not None and row.root == root_id(raw):
            # An earlier attempt was cut off, or a crash: nothing is sent to a node that has it.
            row = await self._copier.ask(pack_id, row, [node.name for node in self._nodes.usable()])
        else:
            row = None
        targets = self._rounds.targets(task, row, wanted)
        begun = await self._copier.begin(pack_id, root_id(raw), list(targets), wanted, pack=True)
        if begun is None:
            return True  # it was dropped
        if begun.root != root_id(raw):
            self._roots.forget(pack_id)
            return False  # another process was quicker: go on with its root, next time
        links = await self._roots.links(pack_id)
        sent = await asyncio.gather(
            *(self._send(pack_id, raw, links, name, copies, held.get(name, 0)) for name, copies in targets.items())
        )
        for failure in filter(None, sent):
            raise failure
        after = await self._workers.run(Lane.BACKGROUND, self._index.read, lambda tx: copies_of(tx, pack_id))
        return after is None or bool(after.confirmed_us)

    async def _send(
        self, pack_id: PackId, raw: bytes, links: tuple[BlockId, ...], name: str, copies: int, held: int
    ) -> NoisefsError | None:
        """Bring a pack to a node that holds its first ``held`` blocks already; why it cannot be read, if it cannot."""
        for first in (held, 0) if held else (0,):
            stream = stream_from_disk(pack_id, raw, links, self._packs, self._workers, self._geometry, first=first)
            by = "link" if first else "import"
            if await self._copier.send(pack_id, stream, name, copies, by=by, partial=bool(first)):
                return None
            if stream.failure is not None:
                return stream.failure
        return None

    async def _root(self, task: Task, row: Copies | None) -> bytes | None:
        """The pack's root, made now where there is none; ``None``: nodes that may have it cannot be asked now."""
        pack_id = task.pack_id
        assert task.pack is not None
        with contextlib.suppress(BlockUnavailable):
            return (await self._roots.load(pack_id))[0]
        if row is not None:
            if not all(map(self._nodes.is_ready, filter(self._nodes.get, (*row.nodes, *row.asked)))):
                return None
            # It is nowhere any more: another one takes its place.
            await self._commits.run(partial(_start_over, pack_id, row.root, self._clock.now_us()))
        async with self._naming:
            with contextlib.suppress(BlockUnavailable):
                return (await self._roots.load(pack_id))[0]  # somebody has made it meanwhile
            sequence = await self._workers.run(Lane.BACKGROUND, self._index.sequence)
            return await self._roots.make(pack_id, task.pack.blocks, sequence, known=self.ahead.names(pack_id))


def _failed(task: Task, cause: NoisefsError) -> None:
    log.warning("upload.failed", extra={"pack": task.key.hex(), "cause": str(cause)})


def _start_over(pack_id: PackId, root: RootId, now_us: int, tx: Writing) -> None:
    row = copies_of(tx, pack_id)
    if row is not None and row.root == root:
        drop_copies(tx, pack_id, now_us)
