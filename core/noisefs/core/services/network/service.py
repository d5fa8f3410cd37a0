"""The network of one store: packs go onto nodes, stay there in as many copies as they shall have, and go from there.

Nothing here is on the path of a request but :attr:`Network.nodes` and :attr:`Network.roots`, which reads use.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from noisefs.core.domain.durability import MOST_COPIES
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.root import RootSealer
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.domain.windows import Window
from noisefs.core.errors import InvalidArgument
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.files import FileStore
from noisefs.core.ports.index import Index
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.jobs import Job
from noisefs.core.services.network.nodes import Nodes
from noisefs.core.services.network.roots import RootFiles

log = logging.getLogger(__name__)

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """What an operator may choose.

    Attributes:
        copies: Of each pack in buckets of class ``local`` and ``ipfs``.
        draining: Names of nodes to be emptied.
        public: Nodes that take part in the public network are used.
        min_free_bytes, min_free_inodes: What a node has to have left.
        uploads_at_once: Packs under way at one time; a node is sent one at a time.
        upload_bytes_per_s: For all uploads together; 0: no limit.
        down_after_s: What a node that is down holds counts for so long; after that it is copied to others.
        health_every_s: Every pack and file is asked for on every node once in this time.
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
            ("reconcile_every_s", self.reconcile_every_s, 1),
        ):
            if value < least:
                raise InvalidArgument(field, value, f"{least} or more")
        if self.copies > MOST_COPIES:
            raise InvalidArgument("copies", self.copies, f"at most {MOST_COPIES}")


LOOK_EVERY_S = 5.0
"""Between two questions to every node how it is."""


class Network:
    """Nodes, roots, and the jobs that keep packs on nodes. Belongs to one event loop.

    ``pack_sealed`` and ``pack_dropped`` are for whoever seals and drops packs; both only note it.
    """

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
    ) -> None:
        """Wire everything; nobody is asked before the jobs run, or :meth:`start`.

        Args:
            nodes: The configured ones.
            root_files: A folder of its own for the packs' roots.
            epoch: The counter of the store's present epoch.
            owns: Whether no other gateway took this store over; asked before anything is unpinned or collected.
                ``None``: nobody can.
        """
        self.settings = settings
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

    async def start(self) -> None:
        """Let every node be looked at now; does not wait for an answer."""
        self.nodes.wake.set()

    def jobs(self) -> list[Job]:
        """What keeps packs on nodes."""
        return [
            Job("nodes", LOOK_EVERY_S, self.nodes.look, leader_only=False, wake=self.nodes.wake, light=True),
        ]

    async def close(self) -> None:
        """Release the nodes. The jobs must have ended."""
        await self.nodes.close()
