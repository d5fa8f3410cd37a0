"""The network of one store: packs go onto nodes, stay there in as many copies as they shall have, and go from there.

Nothing here is on the path of a request but :attr:`Network.nodes` and :attr:`Network.roots`, which reads use.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.buckets.durability import MOST_COPIES
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.nodes.root import RootSealer
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.domain.windows import Window
from noisefs.core.errors import InvalidArgument
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.files import FileStore
from noisefs.core.ports.index import Index
from noisefs.core.ports.nodes import Node, NodeState
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.jobs import Job
from noisefs.core.services.network.nodes.patience import Patience
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.ahead import Ahead, NothingAhead
from noisefs.core.services.network.placing.cars import Limiter
from noisefs.core.services.network.placing.census import Census, Found
from noisefs.core.services.network.placing.copying import Copier
from noisefs.core.services.network.placing.health import Health
from noisefs.core.services.network.placing.repair import Repair
from noisefs.core.services.network.placing.roots import RootFiles
from noisefs.core.services.network.placing.sources import Remake
from noisefs.core.services.network.placing.uploads import Uploads
from noisefs.core.services.network.placing.wholeness import Wholeness
from noisefs.core.services.network.releasing.collecting import Collecting
from noisefs.core.services.network.releasing.strays import Strays
from noisefs.core.services.network.releasing.unpins import Unpins

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """What an operator may choose.

    Attributes:
        copies: Of each pack in buckets of class ``local`` and ``ipfs``.
        draining: Names of nodes to be emptied.
        public: Nodes that take part in the public network are used.
        min_free_bytes, min_free_inodes: What a node has to have left.
        uploads_at_once: Uploads, and repairs, under way at one time; a node is sent one thing at a time.
        upload_bytes_per_s: For all uploads together; 0: no limit.
        down_after_s: What a node that is down holds counts for so long; after that it is copied to others.
        health_every_s: Every pack and file is asked for on every node once in this time.
        verify_every_s: Every block of every copy is read from its node once in this time; 0: never.
        reconcile_every_s: Pins of nodes are compared with the index at start, and then so often.
        gc_windows: When garbage of nodes that are ours alone is collected, in UTC; none: never.
    """

    copies: int = 1
    draining: frozenset[str] = frozenset()
    public: bool = False
    min_free_bytes: int = _GIB
    min_free_inodes: int = 10_000
    uploads_at_once: int = 2
    upload_bytes_per_s: int = 0
    down_after_s: float = 900.0
    health_every_s: float = 3600.0
    verify_every_s: float = 2_592_000.0
    reconcile_every_s: float = 21600.0
    gc_windows: tuple[Window, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for field, value, least in (
            ("copies", self.copies, 1),
            ("min_free_bytes", self.min_free_bytes, 0),
            ("min_free_inodes", self.min_free_inodes, 0),
            ("uploads_at_once", self.uploads_at_once, 1),
            ("upload_bytes_per_s", self.upload_bytes_per_s, 0),
            ("down_after_s", self.down_after_s, 0),
            ("health_every_s", self.health_every_s, 1),
            ("verify_every_s", self.verify_every_s, 0),
            ("reconcile_every_s", self.reconcile_every_s, 1),
        ):
            if value < least:
                raise InvalidArgument(field, value, f"{least} or more")
        if self.copies > MOST_COPIES:
            raise InvalidArgument("copies", self.copies, f"at most {MOST_COPIES}")


LOOK_EVERY_S: Final = 5.0
"""Between two questions to every node how it is."""
UPLOAD_EVERY_S: Final = 5.0
"""Packs that were sealed by others than this process's writer are seen after so long."""
REPAIR_EVERY_S: Final = 10.0
HEALTH_EVERY_S: Final = 1.0
VERIFY_EVERY_S: Final = 1.0
DAMAGE_EVERY_S: Final = 10.0
MEND_EVERY_S: Final = 10.0
UNPIN_EVERY_S: Final = 10.0
STRAYS_EVERY_S: Final = 30.0
COLLECT_EVERY_S: Final = 60.0
TIDY_EVERY_S: Final = 21600.0


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node for an operator's table. ``state``: ``None`` before it was first asked, and where it is not configured.

    ``unpins``: roots that it has still to let go of.
    """

    name: str
    zone: str
    configured: bool
    managed: bool
    draining: bool
    ready: bool
    state: NodeState | None
    unpins: int


class Network:
    """Nodes, roots, and the jobs that keep packs on nodes. Belongs to one event loop."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        index: Index,
        packs: PackStore,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        keys: StoreKeys,
        geometry: Geometry,
        root_files: FileStore,
        settings: NetworkSettings,
        epoch: Callable[[], int] = lambda: 0,
        owns: Callable[[], Awaitable[bool]] | None = None,
        covered: Callable[[], Awaitable[int]] | None = None,
        restorable: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """Wire everything; nobody is asked before the jobs run.

        Args:
            nodes: The configured ones.
            packs: Those on this machine's disk.
            root_files: A folder of its own for the packs' roots.
            epoch: The counter of the store's present epoch.
            owns: Whether no other gateway took this store over; asked before anything is let go of or collected.
                ``None``: nobody can.
            covered: The last commit that a snapshot on nodes reaches. ``None``: there are no snapshots on nodes.
            restorable: The commit that the newest snapshot on nodes reaches; ``None`` as above.
        """
        self.settings = settings
        self._clock = clock
        self._ahead: Ahead = NothingAhead()
        self.nodes = Nodes(
            nodes,
            clock=clock,
            entropy=entropy,
            telemetry=telemetry,
            draining=settings.draining,
            public=settings.public,
            min_free_bytes=settings.min_free_bytes,
            min_free_inodes=settings.min_free_inodes,
            down_after_s=settings.down_after_s,
        )
        self.roots = RootFiles(
            files=root_files,
            index=index,
            packs=packs,
            nodes=self.nodes,
            sealer=RootSealer(keys.store_id, keys.store_key),
            workers=workers,
            clock=clock,
            entropy=entropy,
            geometry=geometry,
            epoch=epoch,
        )
        self.limiter = Limiter(clock, settings.upload_bytes_per_s)
        self.census = Census(
            index=index,
            workers=workers,
            clock=clock,
            telemetry=telemetry,
            nodes=self.nodes,
            geometry=geometry,
            copies=settings.copies,
        )
        self.copier = Copier(nodes=self.nodes, commits=commits, clock=clock, telemetry=telemetry, limiter=self.limiter)
        self.uploads = Uploads(
            index=index,
            packs=packs,
            commits=commits,
            workers=workers,
            clock=clock,
            geometry=geometry,
            nodes=self.nodes,
            roots=self.roots,
            census=self.census,
            copier=self.copier,
            patience=Patience(clock, entropy),
            at_once=settings.uploads_at_once,
            ahead=self._ahead,
        )
        alone = owns if owns is not None else _nobody_can
        whole = Wholeness(
            index=index,
            packs=packs,
            commits=commits,
            workers=workers,
            clock=clock,
            entropy=entropy,
            telemetry=telemetry,
            geometry=geometry,
            nodes=self.nodes,
            roots=self.roots,
            census=self.census,
            copier=self.copier,
            limiter=self.limiter,
            ahead=self._ahead,
            owns=alone,
            verify_every_s=settings.verify_every_s,
        )
        self._whole = whole
        self.damage, self.mending, self.verifying = whole.damage, whole.mending, whole.verifying
        self.repair = Repair(
            index=index,
            packs=packs,
            commits=commits,
            workers=workers,
            clock=clock,
            geometry=geometry,
            nodes=self.nodes,
            census=self.census,
            copier=self.copier,
            patience=Patience(clock, entropy),
            at_once=settings.uploads_at_once,
            inspector=whole.inspector,
            damage=self.damage,
            is_mended=self.mending.is_due,
        )
        self.health = Health(
            index=index,
            workers=workers,
            clock=clock,
            nodes=self.nodes,
            copier=self.copier,
            round_s=settings.health_every_s,
        )
        self.unpins = Unpins(
            index=index,
            commits=commits,
            workers=workers,
            telemetry=telemetry,
            nodes=self.nodes,
            owns=alone,
            restorable=restorable,
        )
        self.strays = Strays(
            index=index,
            commits=commits,
            workers=workers,
            clock=clock,
            nodes=self.nodes,
            roots=self.roots,
            epoch=epoch,
            owns=alone,
            covered=covered if covered is not None else _nothing,
            every_s=settings.reconcile_every_s,
        )
        self.collecting = Collecting(clock=clock, nodes=self.nodes, owns=alone, windows=settings.gc_windows)
        self._dropped: list[PackId] = []
        self._tidy_at_s = clock.monotonic_s()
        self._steps: set[asyncio.Task[object]] = set()
        self._ending = False
        self.nodes.events += (
            self.uploads.wake,
            self.repair.wake,
            self.unpins.wake,
            self.uploads.news,
            self.repair.news,
            self.mending.news,
        )

    def take_over_from(self, ahead: Ahead) -> None:
        """Let uploads begin where somebody has sent blocks before their packs were sealed."""
        self._ahead = self.uploads.ahead = self._whole.exchanger.ahead = ahead

    def remake_with(self, remake: Remake) -> None:
        """Let damaged copies of snapshot files be mended from those on this machine's disk."""
        self._whole.remake = remake

    # ------------------------------------------------------------------ what others tell

    def pack_sealed(self) -> None:
        """A pack is complete: it may go onto nodes."""
        self.uploads.wake.set()

    def pack_dropped(self, pack_id: PackId) -> None:
        """A pack is no more; its rows say so already."""
        self.roots.forget(pack_id)
        self._ahead.forget(pack_id)
        self._dropped.append(pack_id)
        self.unpins.wake.set()

    # ------------------------------------------------------------------ running

    def jobs(self) -> list[Job]:
        """What keeps packs on nodes. Each group waits for nodes of its own, and for none of the others."""
        steps = self._step
        return [
            Job("nodes", LOOK_EVERY_S, self.nodes.look, leader_only=False, wake=self.nodes.wake, light=True),
            Job("uploads", UPLOAD_EVERY_S, steps(self.uploads.run), wake=self.uploads.wake, group="uploads"),
            Job("repair", REPAIR_EVERY_S, steps(self.repair.run), wake=self.repair.wake, group="repair"),
            Job("health", HEALTH_EVERY_S, steps(self.health.run), group="health"),
            Job("verifying", VERIFY_EVERY_S, steps(self.verifying.run), group="verifying"),
            Job("damage", DAMAGE_EVERY_S, steps(self.damage.run), False, self.damage.wake, group="damage"),
            Job("mending", MEND_EVERY_S, steps(self.mending.run), wake=self.mending.wake, group="mending"),
            Job("unpins", UNPIN_EVERY_S, steps(self._let_go), wake=self.unpins.wake, group="unpins"),
            Job("strays", STRAYS_EVERY_S, steps(self.strays.run), group="strays"),
            Job("garbage", COLLECT_EVERY_S, steps(self.collecting.run), group="garbage"),
        ]

    def interrupt(self) -> None:
        """Break off what is under way, so that ending the jobs need not wait for it; it goes on at the next start."""
        self._ending = True
        for step in self._steps:
            step.cancel()

    async def close(self) -> None:
        """Release the nodes. The jobs must have ended."""
        await self.nodes.close()

    # ------------------------------------------------------------------ for operators

    async def report(self) -> list[NodeReport]:
        """Every node that is configured, or that rows still name as one that has to let go of something."""
        reports: list[NodeReport] = []
        for name in await self.unpins.names():
            node = self.nodes.get(name)
            reports.append(
                NodeReport(
                    name,
                    node.zone if node is not None else "",
                    node is not None,
                    node is not None and node.managed,
                    self.nodes.is_draining(name),
                    self.nodes.is_ready(name),
                    self.nodes.state(name),
                    await self.unpins.waiting(name),
                )
            )
        return reports

    async def check(self) -> Found:
        """Look at every node and ask for every root now; what there is to do after that."""
        await self.nodes.look()
        await self.health.check()
        return await self.census.look(fresh=True)

    async def forget_node(self, name: str) -> int:
        """Forget a node that is not configured any more; returns how many rows named it.

        Raises:
            InvalidArgument: It is configured.
        """
        if self.nodes.get(name) is not None:
            raise InvalidArgument("node", name, "one that is not in the configuration any more; drain it and remove it")
        return await self.unpins.forget_node(name)

    # ------------------------------------------------------------------ steps

    async def _let_go(self) -> None:
        while self._dropped:
            await self.roots.drop(self._dropped[-1])
            self._dropped.pop()
        now_s = self._clock.monotonic_s()
        if now_s >= self._tidy_at_s:
            await self.roots.tidy()
            self._tidy_at_s = now_s + TIDY_EVERY_S
        await self.unpins.run()

    def _step(self, work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
        """A step that :meth:`interrupt` can break off."""

        async def run() -> None:
            if self._ending:
                return
            step = asyncio.create_task(_awaited(work))
            self._steps.add(step)
            try:
                await asyncio.wait([step])
            finally:
                self._steps.discard(step)
                if not step.done():
                    step.cancel()
                    await asyncio.gather(step, return_exceptions=True)
            if not (step.cancelled() and self._ending):
                step.result()

        return run


async def _awaited(work: Callable[[], Awaitable[object]]) -> object:
    return await work()


async def _nobody_can() -> bool:
    return True


async def _nothing() -> int:
    return 0
