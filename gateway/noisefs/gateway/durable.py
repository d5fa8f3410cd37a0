"""What writes of the classes above ``local`` wait for, over the nodes of the configuration."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.adapters.outbound.localhead.head_file import HeadSnapshotKeys
from noisefs.core.ports.index import Index
from noisefs.core.ports.workers import Lane
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.jobs import Job
from noisefs.core.services.network.confirming.blocks import Confirmer
from noisefs.core.services.network.confirming.durable import Durable
from noisefs.core.services.network.confirming.footing import Footing, find_footing, placed
from noisefs.core.services.network.confirming.log import NetworkLog
from noisefs.core.services.network.confirming.means import ConfirmingSettings, Means
from noisefs.core.services.network.heads.shipping import SnapshotShipping
from noisefs.core.services.network.service import Network
from noisefs.core.services.store import Store
from noisefs.gateway.ground import Ground

TIDY_EVERY_S: Final = 30.0
KEEP_EVERY_S: Final = 10.0
"""Nodes that are lost are noticed so late, by what was confirmed and is in no sealed pack or snapshot yet."""


def confirmer_over(ground: Ground, network: Network, index: Index, commits: CommitQueue) -> Confirmer:
    """Puts blocks of open packs on the network's nodes."""
    return Confirmer(_means(ground, network, index, commits), ground.packs)


def _means(ground: Ground, network: Network, index: Index, commits: CommitQueue) -> Means:
    return Means(
        nodes=network.nodes,
        index=index,
        commits=commits,
        workers=ground.workers,
        clock=ground.clock,
        entropy=ground.entropy,
        telemetry=ground.telemetry,
        keys=ground.keys,
        geometry=ground.head.geometry,
        sealer=network.roots.sealer,
        limiter=network.limiter,
        epoch=lambda: ground.head.epoch.counter,
        settings=ConfirmingSettings(patience_s=ground.config.ipfs.confirm_timeout_s),
    )


@dataclass(frozen=True, slots=True)
class Classes:
    """The durability classes of a running store."""

    confirmer: Confirmer
    log: NetworkLog
    durable: Durable

    def jobs(self) -> list[Job]:
        """What runs beside the store's own jobs."""
        return [
            Job("log", TIDY_EVERY_S, self.log.tidy, leader_only=False, group="log"),
            Job("kept", KEEP_EVERY_S, self.durable.keep, leader_only=False, light=True),  # may be broken off
        ]

    async def close(self) -> None:
        """Break off what is under way. No write may be under way any more."""
        await self.confirmer.close()
        await self.log.close()


def classes_over(
    ground: Ground, network: Network, confirmer: Confirmer, store: Store, shipping: SnapshotShipping
) -> Classes:
    """Let the store's writes wait for these nodes. Call it before the store starts."""
    log = NetworkLog(
        _means(ground, network, store.index, store.commits),
        footing=partial(_footing, ground, network, store.index),
        renew=shipping.run,
    )
    durable = Durable(
        nodes=network.nodes,
        confirmer=confirmer,
        log=log,
        index=store.index,
        workers=ground.workers,
        clock=ground.clock,
        copies=ground.config.ipfs.copies,
        patience_s=ground.config.ipfs.confirm_timeout_s,
    )
    store.confirm_with(durable)
    return Classes(confirmer, log, durable)


async def restorable(ground: Ground, network: Network, index: Index) -> int:
    """The commit that a restore from these nodes reaches by its snapshot alone, some of them lost; 0: there is none."""
    copies = min(ground.config.ipfs.copies, len(ground.config.ipfs.nodes))
    footing = await _footing(ground, network, index, copies)
    return 0 if footing is None else footing.number


async def _footing(ground: Ground, network: Network, index: Index, copies: int) -> Footing | None:
    keys = HeadSnapshotKeys(ground.head_file)
    heads, files = await ground.workers.run(Lane.DISK, index.read, placed)
    return find_footing(
        heads,
        files,
        nodes=network.nodes,
        keys=await ground.workers.run(Lane.DISK, keys.list),
        epoch=ground.head.epoch.counter,
        copies=copies,
    )
