"""Repair: what has too few copies gets more; what has too many, or some on nodes to be emptied, lets those go.

Promise: a copy is let go of only after as many others as there shall be have just said that they hold it. Cost: a copy
is first left to the swarm (the new node gets it from a holder, nothing passes through here), then sent from this
machine's disk, then fetched from a holder and sent on.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.nodes.placement import place
from noisefs.core.domain.nodes.root import links_of
from noisefs.core.domain.records import Copies
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.patience import Patience
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.cars import Stream, stream_from_disk, stream_from_node
from noisefs.core.services.network.placing.census import Census, Task
from noisefs.core.services.network.placing.copying import Copier
from noisefs.core.services.network.placing.damage import Damage
from noisefs.core.services.network.placing.inspecting import Inspector
from noisefs.core.services.network.placing.rounds import Rounds
from noisefs.core.services.packs.copies import copies_of, let_go, set_copies

log = logging.getLogger(__name__)

_DISK: Final = ""
"""Where a stream comes from: no node has this name."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What one step did: things with all their copies again, things left to do, things that let surplus copies go."""

    mended: int = 0
    left: int = 0
    released: int = 0


class Repair:
    """The job. ``news``: set when a node came or went. Belongs to one event loop."""

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
        census: Census,
        copier: Copier,
        patience: Patience,
        at_once: int,
        inspector: Inspector,
        damage: Damage,
        is_mended: Callable[[Task], bool],
    ) -> None:
        """Repair nothing before :meth:`run`.

        Args:
            packs: On this machine's disk.
            patience: Of its own.
            is_mended: Whether a damaged copy of this is about to be mended, so that it needs no other one.
        """
        self._index = index
        self._packs = packs
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._geometry = geometry
        self._nodes = nodes
        self._copier = copier
        self._inspector = inspector
        self._damage = damage
        self._is_mended = is_mended
        self._rounds = Rounds(
            nodes=nodes,
            geometry=geometry,
            clock=clock,
            census=census,
            patience=patience,
            at_once=at_once,
            failed=_failed,
        )
        self._busy = asyncio.Lock()
        self.wake = asyncio.Event()
        self.news = self._rounds.news

    async def run(self) -> Repaired:
        """One step: what has the fewest copies first, several at once, for a while. One step at a time."""
        async with self._busy:
            return await self._run()

    async def _run(self) -> Repaired:
        found, until_s = await self._rounds.begin()
        tasks = [task for task in found.repairs if not self._is_mended(task)]
        mended, left = await self._rounds.deal(tasks, found.wanted_of, self._mend, until_s)
        released, unsure = await self._rounds.deal(found.surplus, found.wanted_of, self._release, until_s)
        return Repaired(mended, left + unsure, released)

    async def _row(self, task: Task) -> Copies | None:
        return await self._workers.run(Lane.BACKGROUND, self._index.read, lambda tx: copies_of(tx, task.key))

    # ------------------------------------------------------------------ too few

    async def _mend(self, task: Task, wanted: int) -> bool:
        """Make what copies there should be more; whether it has enough now."""
        row = await self._row(task)
        if row is None:
            return True
        for name, copies in self._rounds.targets(task, row, wanted).items():
            begun = await self._copier.begin(task.key, row.root, [name], wanted, pack=task.pack is not None)
            if begun is None or begun.root != row.root:
                return True  # it was dropped, or begun anew
            await self._copy(task, begun, name, copies)
        after = await self._row(task)
        return after is None or len(self._nodes.counted(after.nodes)) >= wanted

    async def _copy(self, task: Task, row: Copies, name: str, copies: int) -> bool:
        if await self._copier.has(task.key, row, name, copies):
            return True  # an attempt whose answer was lost
        holders = [node for node in self._nodes.readable(row.nodes) if node.name != name]
        if self._may_pin(name, holders) and await self._copier.pin(task.key, row.root, name, copies):
            return True
        raw = await self._inspector.root(task.key, row)
        if raw is None:
            return False
        links = await self._workers.run(Lane.BACKGROUND, links_of, raw)
        streams: list[tuple[str, Stream]] = []
        if task.pack is not None and row.local:
            streams.append(
                (
                    _DISK,
                    stream_from_disk(task.pack_id, raw, links, self._packs, self._workers, self._geometry),
                )
            )
        block_bytes = self._geometry.block_bytes
        streams += ((node.name, stream_from_node(node, raw, links, self._workers, block_bytes)) for node in holders)
        for source, stream in streams:
            by = "import" if source == _DISK else "fetch"
            if await self._copier.send(task.key, stream, name, copies, by=by):
                return True
            if stream.failure is None:
                return False  # it is the new node that cannot
            log.warning("repair.source_failed", extra={"by": by, "cause": str(stream.failure)})
            if source != _DISK:
                self._damage.suspect(source, task.key)
        return False

    def _may_pin(self, name: str, holders: list[Node]) -> bool:
        """Whether a node may find a holder in its swarm."""
        state = self._nodes.state(name)
        return bool(holders) and state is not None and state.peers != 0

    # ------------------------------------------------------------------ too many

    async def _release(self, task: Task, wanted: int) -> bool:
        """Let surplus copies go; ``False`` where it is not sure enough that the others are there."""
        row = await self._row(task)
        if row is None:
            return True
        going = self._surplus(task.key, row, wanted)
        if not going:
            return row.wanted == wanted or await self._commits.run(partial(self._let_go, task.key, row, going, wanted))
        staying = [name for name in dict.fromkeys(row.nodes) if name not in going and not self._nodes.is_lost(name)]
        row = await self._copier.ask(task.key, row, staying)
        sure = [name for name in row.nodes if name in staying and self._nodes.is_ready(name)]
        if len(self._nodes.counted(sure)) < wanted or self._surplus(task.key, row, wanted) != going:
            return False
        return await self._commits.run(partial(self._let_go, task.key, row, going, wanted))

    def _surplus(self, key: bytes, row: Copies, wanted: int) -> set[str]:
        """Names whose copies are not needed: all on nodes to be emptied, and of a cluster all copies or none."""
        counted = self._nodes.counted(row.nodes)
        if len(counted) < wanted:
            return set()
        places = self._nodes.places_of(counted)
        goal = place(key, places, wanted)
        going = set(counted) - goal.keys()
        # A cluster may hold more than its share; what goes must leave enough.
        for name in sorted(going):
            if len([one for one in counted if one not in going]) < wanted:
                going.discard(name)
        return going | set(filter(self._nodes.is_draining, row.nodes))

    def _let_go(self, key: bytes, row: Copies, going: set[str], wanted: int, tx: Writing) -> bool:
        if copies_of(tx, key) != row:
            return False
        nodes = tuple(name for name in row.nodes if name not in going)
        kept = {one.identity for one in self._nodes.places_of(nodes) if one.identity}
        others = [one.name for one in self._nodes.places_of(going) if not one.identity or one.identity not in kept]
        let_go(tx, others, row.root, self._clock.now_us(), still=key)
        set_copies(tx, key, msgspec.structs.replace(row, nodes=nodes, wanted=wanted))
        return True


def _failed(task: Task, cause: NoisefsError) -> None:
    log.warning("repair.failed", extra={"root": task.key.hex(), "cause": str(cause)})
