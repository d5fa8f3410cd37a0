"""What confirming works with, and how something is sent while a write waits for it.

Promise: no node holds up a write for longer than half of the operator's patience, and what its bytes take at the
slowest; so there is time for another node in its place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId
from noisefs.core.domain.nodes.root import NONCE_BYTES, RootMeta, RootSealer
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index
from noisefs.core.ports.nodes import Car, Node
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.nodes.within import within
from noisefs.core.services.network.placing.cars import Limiter

SLOWEST_BYTES_PER_S: Final = 1 << 20
"""A node that takes less for longer than the operator's patience is no help to a waiting writer."""

LOOK_AGAIN_S: Final = 0.25
"""While no node can be sent to, whether one can again is looked at so often."""


@dataclass(frozen=True, slots=True)
class ConfirmingSettings:
    """What an operator may choose.

    Attributes:
        patience_s: A write waits so long for nodes that answer before it fails.
        gather_s: Imports of one pack into one node begin at least so far apart; those who come meanwhile share one.
    """

    patience_s: float = 10.0
    gather_s: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What blocks and log records are confirmed with. Belongs to one event loop.

    ``limiter`` bounds what goes out altogether; ``epoch`` is the store's present one.
    """

    nodes: Nodes
    index: Index
    commits: CommitQueue
    workers: Workers
    clock: Clock
    entropy: Entropy
    telemetry: Telemetry
    keys: StoreKeys
    geometry: Geometry
    sealer: RootSealer
    limiter: Limiter
    epoch: Callable[[], int]
    settings: ConfirmingSettings

    def seal(self, links: tuple[BlockId, ...], meta: RootMeta) -> bytes:
        """A root over these blocks."""
        return self.sealer.seal(links, meta, nonce=self.entropy.secret(NONCE_BYTES))

    async def gather(self, begun_s: float) -> float:
        """Wait until an import may begin, where the last one began then; when this one begins."""
        wait_s = begun_s + self.settings.gather_s - self.clock.monotonic_s()
        if wait_s > 0:
            await self.clock.sleep(wait_s)
        return self.clock.monotonic_s()

    async def send(self, node: Node, car: Car, copies: int) -> int:
        """Import a stream into a node; how many copies it confirmed.

        Raises:
            LinksMissing: As :meth:`~noisefs.core.ports.nodes.Node.import_car`.
            NodeUnavailable: It failed, or took too long.
        """
        patience_s = self.settings.patience_s / 2 + car.size_bytes / SLOWEST_BYTES_PER_S
        try:
            confirmed = await within(self.clock, patience_s, node.import_car(car, copies=copies))
        except TimeoutError as exc:
            raise NodeUnavailable(node.name, "importing for a write", "no answer in time") from exc
        self.nodes.worked(node.name, size_bytes=car.size_bytes, blocks=car.blocks)
        self.telemetry.count(Counter.NODE_SENT, car.size_bytes, (node.name,))
        return confirmed
