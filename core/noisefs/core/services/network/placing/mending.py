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
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, PackId, RootId
from noisefs.core.domain.records import Copies
from noisefs.core.domain.root import ROOT_PREFIX, RootKind
from noisefs.core.errors import NodeUnavailable, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.patience import Patience
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.ahead import Ahead
from noisefs.core.services.network.placing.cars import BATCH, Limiter, Stream
from noisefs.core.services.network.placing.census import Census, Task
from noisefs.core.services.network.placing.copying import Copier
from noisefs.core.services.network.placing.damage import Damage, without_damage
from noisefs.core.services.network.placing.inspecting import Inspection, Inspector, Name
from noisefs.core.services.network.placing.linking import Linker, Linking
from noisefs.core.services.network.placing.sources import Sources
from noisefs.core.services.packs.copies import copies_of, set_copies

log = logging.getLogger(__name__)

BYTES_AT_ONCE: Final = 16 << 20
"""Right bytes that are held in memory at one time."""
COPIES_AT_ONCE: Final = 64
"""Copies that are mended together: a node that cannot read one root it pins discards nothing."""
GONE_WITHIN: Final = 20
GONE_EVERY_S: Final = 0.5
"""Peers of a cluster hear late what was unpinned: blocks are discarded again, so often."""
PIN_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class _Case:
    """One damaged copy."""

    key: bytes
    row: Copies
    found: Inspection


@dataclass(slots=True)
class _Plan:
    """What is mended together on one node: right bytes of damaged blocks, by name, and roots to be imported again."""

    cases: list[_Case] = field(default_factory=list)
    blocks: dict[BlockId, bytes] = field(default_factory=dict)
    discard: dict[Name, None] = field(default_factory=dict)
    roots: dict[RootId, Linker] = field(default_factory=dict)


@dataclass(slots=True)
class Mended:
    """What one step did: copies that are whole again, and copies that are not."""

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
        limiter: Limiter,
        patience: Patience,
        ahead: Ahead,
        owns: Callable[[], Awaitable[bool]],
    ) -> None:
        """Mend nothing before :meth:`run`.

        Args:
            sources: Where right bytes are to be had.
            limiter: Bounds what goes out altogether.
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
        self._limiter = limiter
        self._patience = patience
        self._owns = owns
        self._busy = asyncio.Lock()
        self.ahead = ahead
        """May be set before the first run."""
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
        done = Mended()
        for name in sorted({name for name, _key in copies}):
            keys = sorted(key for holder, key in copies if holder == name and self._patience.is_ready(_both(name, key)))
            node = self._nodes.get(name)
            if node is None or not self._nodes.is_ready(name):
                done.left += len(keys)
                continue
            for first in range(0, len(keys), COPIES_AT_ONCE):
                some = keys[first : first + COPIES_AT_ONCE]
                whole = await self._try(node, some)
                done.mended += len(whole)
                done.left += len(some) - len(whole)
        self.beyond = {one: why for one, why in self.beyond.items() if one in copies}
        self._failed &= copies
        self._telemetry.gauge(Gauge.BEYOND_MENDING, len(self.beyond))
        if done.mended:
            await self._census.look(fresh=True)
        return done

    async def _try(self, node: Node, keys: Sequence[bytes]) -> set[bytes]:
        whole: set[bytes] = set()
        try:
            whole = await self._mend(node, keys)
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
        except NoisefsError as exc:
            log.warning("mending.failed", extra={"node": node.name, "cause": str(exc)})
        for key in keys:
            if key in whole:
                self._patience.worked(_both(node.name, key))
                self.beyond.pop((node.name, key), None)
                self._failed.discard((node.name, key))
            else:
                self._failed.add((node.name, key))
                self._patience.failed(_both(node.name, key))
        return whole

    # ------------------------------------------------------------------ one node

    async def _mend(self, node: Node, keys: Sequence[bytes]) -> set[bytes]:
        """Mend copies on a node; the keys of those that are whole.

        Raises:
            NoisefsError: The node or this disk failed.
        """
        whole: set[bytes] = set()
        plan = _Plan()
        lacking: list[_Case] = []
        for key in keys:
            row = await self._workers.run(Lane.BACKGROUND, self._index.read, lambda tx, key=key: copies_of(tx, key))
            if row is None or node.name not in row.damaged:
                whole.add(key)
                continue
            found = await self._inspector.inspect(node, key, row)
            if found is None:
                continue
            case = _Case(key, row, found)
            if not found.flaws:
                await self._confirm(node, [case])
                whole.add(key)
            elif await self._have_bytes(node, case, plan):
                (plan.cases if found.flaws.wrong else lacking).append(case)
            if len(plan.blocks) * self._geometry.block_bytes >= BYTES_AT_ONCE:
                break
        for case in lacking:
            if await self._fill_up(node, case, plan):
                whole.add(case.key)
        if plan.cases:
            whole |= await self._replace(node, plan)
        return whole

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

    async def _fill_up(self, node: Node, case: _Case, plan: _Plan) -> bool:
        """Import what is missing, under its root."""
        async with self._nodes.changing(node.name):
            blocks = [BlockId(name) for name in case.found.flaws.missing if name in plan.blocks]
            copies = (await node.copies([case.row.root])).get(case.row.root, 0)
            await self._import(node, case.found.raw, {name: plan.blocks[name] for name in blocks}, copies)
        return bool(await self._settle(node, [case]))

    async def _replace(self, node: Node, plan: _Plan) -> set[bytes]:
        """Unpin, discard and import again what is wrong."""
        wrong = {name for case in plan.cases for name in case.found.flaws.wrong}
        async with self._nodes.changing(node.name):
            linkers = await self._linking.find(node, wrong, {case.key: case.found.raw for case in plan.cases})
            plan.cases = [case for case in plan.cases if await self._is_safe(node, case, linkers)]
            for case in plan.cases:
                plan.discard.update(
                    dict.fromkeys(name for name in case.found.flaws.wrong if self._is_there(name, plan))
                )
            plan.roots = {one.root: one for one in linkers if one.touches(plan.discard)}
            if not plan.cases or not await self._owns():
                return set()
            siblings = {one.key: one.root for one in plan.roots.values() if one.key is not None}
            marked = await self._damage.note(node.name, siblings)
            failure = await self._exchange(node, plan)
        if failure is not None:
            log.warning("mending.not_discarded", extra={"node": node.name, "cause": str(failure)})
            await self._damage.look_at_roots(node)
        rows = await self._workers.run(Lane.BACKGROUND, self._index.read, partial(_rows, marked))
        whole = await self._settle(node, plan.cases)
        if failure is None:
            await self._confirm_keys(node, rows)
        return whole

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

    async def _exchange(self, node: Node, plan: _Plan) -> NodeUnavailable | None:
        """Unpin, discard, import again: the last comes in any case. What went wrong on the way there."""
        failure: NodeUnavailable | None = None
        copies: dict[RootId, int] = {}
        try:
            copies = await node.copies(list(plan.roots))
            await node.unpin(list(plan.roots))
            for _ in range(GONE_WITHIN):
                await node.discard(list(plan.discard))
                if not any(await node.has(list(plan.discard))):
                    break
                await self._clock.sleep(GONE_EVERY_S)
        except NodeUnavailable as exc:
            failure = exc
        blocks = {name: raw for name, raw in plan.blocks.items() if name in plan.discard}
        for one in plan.roots.values():
            mine = {name: blocks.pop(name) for name in one.links if name in blocks}
            if not await self._pin_again(node, one, mine, copies.get(one.root, 1)):
                blocks |= mine
        return failure

    async def _pin_again(self, node: Node, one: Linker, blocks: dict[BlockId, bytes], copies: int) -> bool:
        for _ in range(PIN_TRIES):
            try:
                await self._import(node, one.raw, blocks, copies)
            except NodeUnavailable as exc:
                log.warning("mending.not_pinned", extra={"node": node.name, "cause": str(exc)})
                await self._clock.sleep(GONE_EVERY_S)
            else:
                return True
        if one.kind == RootKind.INTERIM:
            self.ahead.forget(PackId(one.pack_id))  # whoever waits for the open pack sends it anew
        return False

    async def _import(self, node: Node, raw: bytes, blocks: dict[BlockId, bytes], copies: int) -> None:
        """Import a root with these of its blocks.

        Raises:
            NodeUnavailable: The node did not take it.
        """
        names = tuple(blocks)

        async def fill(first: int, places: list[memoryview]) -> None:
            for name, place in zip(names[first : first + len(places)], places, strict=True):
                place[:] = blocks[name]

        car = Stream(raw, names, self._geometry.block_bytes, BATCH, fill).car(self._limiter)
        await node.import_car(car, copies=max(1, copies))
        self._telemetry.count(Counter.NODE_SENT, car.size_bytes, (node.name,))

    # ------------------------------------------------------------------ afterwards

    async def _settle(self, node: Node, cases: Sequence[_Case]) -> set[bytes]:
        """Look at what was damaged once more; the keys of copies that are whole, and say so in their rows."""
        whole: list[_Case] = []
        for case in cases:
            flaws = await self._inspector.look(node, case.found.flaws.all)
            if flaws is None:
                continue
            mended = len(case.found.flaws.all) - len(flaws.all)
            self._telemetry.count(Counter.BLOCKS_MENDED, mended, (node.name,))
            if flaws:
                log.warning("copy.still_damaged", extra={"node": node.name, "root": case.key.hex()})
            else:
                whole.append(case)
                log.info("copy.mended", extra={"node": node.name, "root": case.key.hex(), "blocks": mended})
        await self._confirm(node, whole)
        return {case.key for case in whole}

    async def _confirm(self, node: Node, cases: Sequence[_Case]) -> None:
        await self._confirm_keys(node, {case.key: case.row for case in cases})

    async def _confirm_keys(self, node: Node, rows: dict[bytes, Copies]) -> None:
        """Take the mark from these copies, and ask the node for them."""
        for key, row in rows.items():
            await self._commits.run(partial(_unmark, key, row.root, node.name))
            await self._copier.has(key, row, node.name, 1)


def _rows(keys: Iterable[bytes], tx: Writing) -> dict[bytes, Copies]:
    rows = ((key, copies_of(tx, key)) for key in keys)
    return {key: row for key, row in rows if row is not None}


def _unmark(key: bytes, root: RootId, name: str, tx: Writing) -> None:
    row = copies_of(tx, key)
    if row is not None and row.root == root and name in row.damaged:
        set_copies(tx, key, without_damage(row, name))


def _both(name: str, key: bytes) -> bytes:
    return name.encode() + b"\0" + key
