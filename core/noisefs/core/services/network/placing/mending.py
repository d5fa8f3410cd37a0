"""Mending: a node that has wrong bytes, or lacks some, of what it pins gets the right ones.

A node keeps the bytes it has when it is sent better ones, and discards nothing that a pin keeps. So every root there
that links such a block is unpinned (packs share seeds), the block is discarded, and the roots are imported again, with
the right bytes of that block alone: the rest is there. What is only missing needs nothing but the import.

Promise: nothing is unpinned or discarded before the right bytes of every damaged block are here, verified, and each
pack that loses its pin for that moment is on this disk, or pinned on another node which has just said so. Where that
cannot be had nothing is touched, and it is told, loudly: it may be the only copy there is. A crash at any step leaves
copies that rows call damaged: they do not count, and are mended or copied again. Nothing is unpinned while another
gateway may have taken the store over. What is unpinned for a moment could be collected as garbage by its owner in just
that moment: then it is copied again as a whole. Roots without such a row (of open packs, whose blocks are on this disk,
and of what shall go) lose their pin by a crash in that moment, not their blocks.

Cost: a damaged copy is read once more; a look at the rows of all packs, the list of the node's pins, and a block for
each of these that no row names; two calls a root and one request for each damaged block.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, RootId
from noisefs.core.domain.nodes.root import ROOT_PREFIX
from noisefs.core.domain.records import Copies
from noisefs.core.errors import NodeUnavailable, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.patience import Patience
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.census import Census, Task
from noisefs.core.services.network.placing.copying import Copier
from noisefs.core.services.network.placing.damage import Damage, without_damage
from noisefs.core.services.network.placing.exchanging import Exchanger
from noisefs.core.services.network.placing.inspecting import Inspection, Inspector, Name
from noisefs.core.services.network.placing.linking import Linker, Linking
from noisefs.core.services.network.placing.sources import Sources
from noisefs.core.services.packs.copies import copies_of, set_copies

log = logging.getLogger(__name__)

BYTES_AT_ONCE: Final = 16 << 20
"""Right bytes that are held in memory at one time."""
STEP_S: Final = 20.0
"""After so long a step begins nothing more."""
COPIES_AT_ONCE: Final = 64
"""Copies that are mended together: a node that cannot read one root it pins discards nothing."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One damaged copy."""

    key: bytes
    row: Copies
    found: Inspection


@dataclass(slots=True)
class _Plan:
    """What is mended together on one node, and what came of it.

    Attributes:
        cases: Copies with wrong bytes.
        blocks: Right bytes of damaged blocks, by name.
        tried, partly, whole: Keys of copies that were looked at, that are better, and that are whole.
    """

    cases: list[_Case] = field(default_factory=list)
    blocks: dict[BlockId, bytes] = field(default_factory=dict)
    tried: set[bytes] = field(default_factory=set)
    partly: set[bytes] = field(default_factory=set)
    whole: set[bytes] = field(default_factory=set)

    @property
    def dealt_with(self) -> set[bytes]:
        """All but those that were not looked at, and those of which only a part fitted in."""
        return self.tried - self.partly


@dataclass(slots=True)
class Mended:
    """What one step did: copies that are whole again, and copies that it did not come to."""

    mended: int = 0
    left: int = 0


class Mending:
    """The job. ``wake``: set when damage was found. Belongs to one event loop."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        telemetry: Telemetry,
        geometry: Geometry,
        nodes: Nodes,
        census: Census,
        copier: Copier,
        damage: Damage,
        inspector: Inspector,
        linking: Linking,
        sources: Sources,
        exchanger: Exchanger,
        patience: Patience,
        owns: Callable[[], Awaitable[bool]],
    ) -> None:
        """Mend nothing before :meth:`run`.

        Args:
            sources: Where right bytes are to be had.
            patience: Of its own.
            owns: Whether no other gateway took the store over.
        """
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._telemetry = telemetry
        self._geometry = geometry
        self._nodes = nodes
        self._census = census
        self._copier = copier
        self._damage = damage
        self._inspector = inspector
        self._linking = linking
        self._sources = sources
        self._exchanger = exchanger
        self._patience = patience
        self._owns = owns
        self._busy = asyncio.Lock()
        self.beyond: dict[tuple[str, bytes], str] = {}
        """Copies that cannot be mended, by node and key, and why."""
        self._failed: set[tuple[str, bytes]] = set()
        """Copies that were tried in vain."""
        self.wake = damage.found
        self.news = asyncio.Event()
        """Set when a node came or went: what failed may be tried again."""

    def is_due(self, task: Task) -> bool:
        """Whether mending a copy of this is still to be tried, so that no other one need be made yet."""
        names = task.row.damaged if task.row is not None else ()
        return any(self._nodes.is_ready(name) and (name, task.key) not in self._failed for name in names)

    async def run(self) -> Mended:
        """Mend what is known to be damaged, node after node. One step at a time."""
        async with self._busy:
            return await self._run()

    async def _run(self) -> Mended:
        if self.news.is_set():
            self.news.clear()
            self._patience.forgive()
        damaged = [task for task in (await self._census.look()).damaged if task.row is not None]
        copies = {(name, task.key) for task in damaged for name in (task.row.damaged if task.row is not None else ())}
        self._patience.keep_only({_both(*one) for one in copies})
        done, until_s = Mended(), self._clock.monotonic_s() + STEP_S
        for name in sorted({name for name, _key in copies}):
            keys = sorted(key for holder, key in copies if holder == name and self._patience.is_ready(_both(name, key)))
            node = self._nodes.get(name)
            if node is None or not self._nodes.is_ready(name):
                done.left += len(keys)
                continue
            while keys and self._nodes.is_ready(name) and self._clock.monotonic_s() < until_s:
                plan = await self._try(node, keys[:COPIES_AT_ONCE])
                done.mended += len(plan.whole)
                keys = [key for key in keys if key not in plan.dealt_with]
            done.left += len(keys)
        self.beyond = {one: why for one, why in self.beyond.items() if one in copies}
        self._failed &= copies
        self._telemetry.gauge(Gauge.BEYOND_MENDING, len(self.beyond))
        if done.mended:
            await self._census.look(fresh=True)
        return done

    async def _try(self, node: Node, keys: Sequence[bytes]) -> _Plan:
        plan = _Plan()
        try:
            await self._mend(node, keys, plan)
        except NoisefsError as exc:
            if isinstance(exc, NodeUnavailable):
                self._nodes.failed(node.name, exc)
            log.warning("mending.failed", extra={"node": node.name, "cause": str(exc)})
            plan.tried.update(keys)
            plan.partly.clear()
        for key in plan.dealt_with:
            if key in plan.whole:
                self._patience.worked(_both(node.name, key))
                self.beyond.pop((node.name, key), None)
                self._failed.discard((node.name, key))
            else:
                self._failed.add((node.name, key))
                self._patience.failed(_both(node.name, key))
        return plan

    # ------------------------------------------------------------------ one node

    async def _mend(self, node: Node, keys: Sequence[bytes], plan: _Plan) -> None:
        """Mend copies on a node, as many of them as fit into memory.

        Raises:
            NoisefsError: The node or this disk failed.
        """
        lacking: list[_Case] = []
        for key in keys:
            plan.tried.add(key)
            row = await self._workers.run(Lane.BACKGROUND, self._index.read, lambda tx, key=key: copies_of(tx, key))
            if row is None or node.name not in row.damaged:
                plan.whole.add(key)
                continue
            found = await self._inspector.inspect(node, key, row)
            if found is None:
                continue
            case = _Case(key, row, found)
            if not found.flaws:
                await self._confirm(node, {key: row})
                plan.whole.add(key)
            elif await self._have_bytes(node, case, plan):
                (plan.cases if found.flaws.wrong else lacking).append(case)
            if len(plan.blocks) * self._geometry.block_bytes >= BYTES_AT_ONCE:
                break
        for case in lacking:
            await self._fill_up(node, case, plan)
        if plan.cases:
            await self._replace(node, plan)

    async def _have_bytes(self, node: Node, case: _Case, plan: _Plan) -> bool:
        """Get the right bytes of a copy's damaged blocks into the plan."""
        wanted = [BlockId(name) for name in case.found.flaws.all if not name.startswith(ROOT_PREFIX)]
        most = max(1, BYTES_AT_ONCE // self._geometry.block_bytes)
        wanted = [name for name in wanted if name not in plan.blocks][:most]
        found = await self._sources.blocks(case.key, case.row, case.found.links, wanted, besides=node.name)
        if len(found) < len(wanted):
            self._give_up(node, case, f"{len(wanted) - len(found)} blocks are nowhere else")
            return False
        plan.blocks.update(found)
        return True

    def _give_up(self, node: Node, case: _Case, why: str) -> None:
        """Say that it cannot be mended, each time that it was tried."""
        self.beyond[node.name, case.key] = why
        flaws = len(case.found.flaws.all)
        fields = {"node": node.name, "root": case.key.hex(), "blocks": flaws, "cause": why}
        log.error("copy.beyond_mending", extra=fields)

    async def _fill_up(self, node: Node, case: _Case, plan: _Plan) -> None:
        """Import what is missing, under its root."""
        async with self._nodes.changing(node.name):
            blocks = {
                BlockId(name): plan.blocks[BlockId(name)] for name in case.found.flaws.missing if name in plan.blocks
            }
            copies = (await node.copies([case.row.root])).get(case.row.root, 0)
            await self._exchanger.bring(node, case.found.raw, blocks, copies)
        await self._settle(node, [case], plan)

    async def _replace(self, node: Node, plan: _Plan) -> None:
        """Unpin, discard and import again what is wrong."""
        wrong = {name for case in plan.cases for name in case.found.flaws.wrong}
        async with self._nodes.changing(node.name):
            linkers = await self._linking.find(node, wrong, {case.key: case.found.raw for case in plan.cases})
            cases = [case for case in plan.cases if await self._is_safe(node, case, linkers)]
            names = {name for case in cases for name in case.found.flaws.wrong if self._is_there(name, plan)}
            linkers = [one for one in linkers if one.touches(names)]
            if not cases or not await self._owns():
                return
            siblings = {one.key: one.root for one in linkers if one.key is not None}
            marked = await self._damage.note(node.name, siblings)
            failure = await self._exchanger.exchange(node, linkers, names, plan.blocks)
        if failure is not None:
            log.warning("mending.not_discarded", extra={"node": node.name, "cause": str(failure)})
            await self._damage.look_at_roots(node)
        await self._settle(node, cases, plan)
        if failure is None:
            await self._confirm(
                node, await self._workers.run(Lane.BACKGROUND, self._index.read, partial(_rows, marked))
            )

    @staticmethod
    def _is_there(name: Name, plan: _Plan) -> bool:
        return name.startswith(ROOT_PREFIX) or name in plan.blocks

    async def _is_safe(self, node: Node, case: _Case, linkers: Iterable[Linker]) -> bool:
        """Whether everything that loses its pin for this copy's sake is somewhere else too."""
        for one in linkers:
            if one.key is not None and one.touches(case.found.flaws.wrong):
                row = await self._workers.run(
                    Lane.BACKGROUND, self._index.read, lambda tx, key=one.key: copies_of(tx, key)
                )
                if row is not None and not await self._sources.is_elsewhere(one.key, row, besides=node.name):
                    self._give_up(node, case, "nothing else holds all of it")
                    return False
        return True

    # ------------------------------------------------------------------ afterwards

    async def _settle(self, node: Node, cases: Sequence[_Case], plan: _Plan) -> None:
        """Look at what was damaged once more, and say so in the rows of what is whole."""
        for case in cases:
            flaws = await self._inspector.look(node, case.found.flaws.all)
            if flaws is None:
                continue
            mended = len(case.found.flaws.all) - len(flaws.all)
            self._telemetry.count(Counter.BLOCKS_MENDED, mended, (node.name,))
            if not flaws:
                log.info("copy.mended", extra={"node": node.name, "root": case.key.hex(), "blocks": mended})
                await self._confirm(node, {case.key: case.row})
                plan.whole.add(case.key)
            elif mended:
                plan.partly.add(case.key)  # there was more than fits into memory
            else:
                log.warning("copy.still_damaged", extra={"node": node.name, "root": case.key.hex()})

    async def _confirm(self, node: Node, rows: Mapping[bytes, Copies]) -> None:
        """Take the mark from these copies, and ask the node for them."""
        for key, row in rows.items():
            await self._commits.run(partial(_unmark, key, row.root, node.name))
            await self._copier.has(key, row, node.name, 1)


def _rows(keys: Iterable[bytes], tx: Reading) -> dict[bytes, Copies]:
    rows = ((key, copies_of(tx, key)) for key in keys)
    return {key: row for key, row in rows if row is not None}


def _unmark(key: bytes, root: RootId, name: str, tx: Writing) -> None:
    row = copies_of(tx, key)
    if row is not None and row.root == root and name in row.damaged:
        set_copies(tx, key, without_damage(row, name))


def _both(name: str, key: bytes) -> bytes:
    return name.encode() + b"\0" + key
