"""What keeps copies whole: who suspects them, who verifies them, and who mends them; made to fit each other."""

from collections.abc import Awaitable, Callable, Sequence

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, RootId
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.patience import Patience
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.placing.ahead import Ahead
from noisefs.core.services.network.placing.cars import Limiter
from noisefs.core.services.network.placing.census import Census
from noisefs.core.services.network.placing.copying import Copier
from noisefs.core.services.network.placing.damage import Damage
from noisefs.core.services.network.placing.exchanging import Exchanger
from noisefs.core.services.network.placing.inspecting import Inspector
from noisefs.core.services.network.placing.linking import Linking
from noisefs.core.services.network.placing.mending import Mending
from noisefs.core.services.network.placing.roots import RootFiles
from noisefs.core.services.network.placing.sources import Remake, Sources
from noisefs.core.services.network.placing.verifying import Verifying


class Wholeness:
    """The parts. ``remake``: of snapshot files on this disk; may be set before anything runs."""

    def __init__(
        self,
        *,
        index: Index,
        packs: PackStore,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        geometry: Geometry,
        nodes: Nodes,
        roots: RootFiles,
        census: Census,
        copier: Copier,
        limiter: Limiter,
        ahead: Ahead,
        owns: Callable[[], Awaitable[bool]],
        verify_every_s: float,
    ) -> None:
        """``packs``: on this machine's disk; ``verify_every_s``: everything is read once in this time."""
        self.remake: Remake = _nothing
        self.inspector = Inspector(
            nodes=nodes, roots=roots, workers=workers, telemetry=telemetry, geometry=geometry, remake=self._remade
        )
        self.damage = Damage(
            index=index,
            commits=commits,
            workers=workers,
            clock=clock,
            telemetry=telemetry,
            nodes=nodes,
            inspector=self.inspector,
            patience=Patience(clock, entropy),
        )
        self.verifying = Verifying(
            index=index, commits=commits, workers=workers, clock=clock, damage=self.damage, round_s=verify_every_s
        )
        self.exchanger = Exchanger(clock=clock, telemetry=telemetry, geometry=geometry, limiter=limiter, ahead=ahead)
        self.mending = Mending(
            index=index,
            commits=commits,
            workers=workers,
            clock=clock,
            telemetry=telemetry,
            geometry=geometry,
            nodes=nodes,
            census=census,
            copier=copier,
            damage=self.damage,
            inspector=self.inspector,
            linking=Linking(index=index, workers=workers, nodes=nodes, roots=roots),
            sources=Sources(
                packs=packs, workers=workers, nodes=nodes, copier=copier, geometry=geometry, remake=self._remade
            ),
            exchanger=self.exchanger,
            patience=Patience(clock, entropy),
            owns=owns,
        )

    async def _remade(
        self, name: str, root: RootId, wanted: Sequence[BlockId]
    ) -> tuple[bytes, dict[BlockId, bytes]] | None:
        return await self.remake(name, root, wanted)


async def _nothing(_name: str, _root: RootId, _wanted: Sequence[BlockId]) -> None:
    return None
