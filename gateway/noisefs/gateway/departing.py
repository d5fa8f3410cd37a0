"""Snapshots of a store with nodes: how they get there while it is served, on demand, and when the server ends."""

import asyncio
import logging
from functools import partial
from typing import Final

from noisefs.core.errors import NoisefsError
from noisefs.core.ports.workers import Lane
from noisefs.core.services.network.heads.files import NodeFiles
from noisefs.core.services.network.heads.shipping import SnapshotShipping
from noisefs.core.services.network.service import Network
from noisefs.core.services.snapshots.service import Snapshots
from noisefs.core.services.store import Store
from noisefs.gateway.ground import Ground
from noisefs.gateway.networking import Networked

log = logging.getLogger(__name__)

DEPARTURE_S: Final = 30.0
"""What the last upload may take when a server ends; what is left goes at the next start."""


def shipping_over(ground: Ground, networked: Networked, store: Store, snapshots: Snapshots) -> SnapshotShipping:
    """What brings the store's snapshots onto its nodes."""
    files = NodeFiles(
        snapshots=ground.snapshots,
        nodes=networked.network.nodes,
        index=store.index,
        commits=store.commits,
        workers=ground.workers,
        clock=ground.clock,
        telemetry=ground.telemetry,
        keys=ground.keys,
        geometry=ground.head.geometry,
        copies=networked.ipfs.copies,
    )
    networked.network.remake_with(files.remake)
    bring = partial(flush, store, networked.network)
    return SnapshotShipping(snapshots, files, networked.heads, bring, ground.telemetry)


async def flush(store: Store, network: Network, *, patient: bool) -> None:
    """Close packs that are open, and upload what nodes lack: a step, or as long as they take something."""
    if patient:
        await network.nodes.look()  # one may have come back since it was last asked
    await store.seal()
    while True:
        await network.census.look(fresh=True)
        done = await network.uploads.run()
        if not (patient and done.waiting and done.confirmed):
            return


async def depart(ground: Ground, store: Store, shipping: SnapshotShipping) -> None:
    """Before a server ends: all it has, and a snapshot of it, on nodes, if that can be done soon."""
    try:
        await store.settle()
        if await ground.workers.run(Lane.BACKGROUND, ground.presence.lead):
            async with asyncio.timeout(DEPARTURE_S):
                _info, shipped = await shipping.create()
            log.info("snapshot.departed", extra={"on_nodes": shipped})
    except (TimeoutError, NoisefsError) as exc:
        log.warning("snapshot.not_departed", extra={"cause": str(exc) or "nodes take too long"})
