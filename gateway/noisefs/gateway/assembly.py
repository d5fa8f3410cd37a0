"""Where adapters meet core: a data folder becomes a running store."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from functools import partial

from noisefs.adapters.inbound.admin.operations.operation import Administered
from noisefs.adapters.outbound.localhead.head_file import HeadSnapshotKeys
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.ports.events import EventSink
from noisefs.core.ports.index import Index
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.jobs import Job, Jobs
from noisefs.core.services.network.heads.shipping import SnapshotShipping
from noisefs.core.services.snapshots.service import Snapshots, SnapshotSettings
from noisefs.core.services.store import Store
from noisefs.gateway import rootkey
from noisefs.gateway.ballast import Ballast
from noisefs.gateway.caching import kept_of, learning_over, others_of, policy_of, tidy, warm_of
from noisefs.gateway.config.schema import Config
from noisefs.gateway.config.show import shown
from noisefs.gateway.departing import depart, shipping_over
from noisefs.gateway.durable import classes_over
from noisefs.gateway.folder import Folder
from noisefs.gateway.ground import BALLAST_SHARE, Ground, open_ground
from noisefs.gateway.hooks import sinks_of
from noisefs.gateway.networking import Networked, open_network

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_store(
    folder: Folder,
    config: Config,
    telemetry: Telemetry,
    *,
    own: bool = True,
    ballast: bool = True,
    background: bool = True,
    create_index: bool = False,
    worker: int = 0,
    ask: rootkey.Ask | None = None,
) -> AsyncIterator[Administered]:
    """The store in a data folder, recovered and running; closed, and all that was opened for it, at the end.

    Args:
        folder: Where it is.
        config: How it works.
        telemetry: Who counts.
        own: As for :func:`open_ground`.
        ballast: Tend the ballast: one process of a store does.
        background: Run the background jobs.
        worker: Which process of several that serve this is.
        create_index: Make an empty index: only for a store that is being made.
        ask: How to ask for a passphrase.

    Raises:
        StoreNotFound: There is no index.
        IndexDamaged: It is damaged.
        ConfigError: A node is configured wrongly, or is public and may not be.
        StoreBusy, WrongRootKey, HeadDamaged, NewerFormat, ReadOnlyStore, StorageFailed: As :func:`open_ground`.
    """
    async with open_ground(folder, config, telemetry, own=own, ask=ask) as ground, AsyncExitStack() as stack:
        index = SqliteIndex.open(folder.index, ground.keys.index, create=create_index, sync=config.store.sync)
        stack.callback(index.close)
        commits = CommitQueue(index, ground.workers, telemetry)
        networked = await stack.enter_async_context(open_network(ground, index, commits))
        sinks = await stack.enter_async_context(sinks_of(config, ground.clock))
        store = _store(ground, index, commits, networked, sinks, worker=worker if background else None)
        if background and store.caching is not None and config.workers > 1:
            store.caching.tiers.others = await stack.enter_async_context(others_of(ground, worker))
        if background and store.caching is not None:
            store.caching.learning = learning_over(ground, store, worker)
        held = _ballast(ground)
        store.commits.relieve_with(held.relieve)
        if ballast:
            await held.start()
            stack.push_async_callback(held.stop)
        snapshots = _snapshots(ground, index, store)
        await snapshots.start()  # before the first commit, and closed after the last one
        stack.push_async_callback(snapshots.close)
        stack.push_async_callback(store.close)
        shipping: SnapshotShipping | None = None
        if networked is not None:
            evictor = networked.evictor(ground, store)
            stack.push_async_callback(networked.end, evictor)
            shipping = shipping_over(ground, networked, store, snapshots)
            classes = classes_over(ground, networked.network, networked.confirmer, store, shipping)
            stack.push_async_callback(classes.close)
            if background:
                stack.push_async_callback(depart, ground, store, shipping)
        report = await store.start(background=background)
        log.info("store.opened", extra={"store": ground.head.store_id.hex(), "recovery": asdict(report)})
        if background:
            jobs = Jobs(clock=ground.clock, workers=ground.workers, telemetry=telemetry, presence=ground.presence)
            stack.push_async_callback(jobs.stop)
            if networked is None or shipping is None:
                running = [Job("snapshot", config.snapshots.pause_s(nodes=False), partial(_take_snapshot, snapshots))]
            else:
                running = [
                    Job("snapshot", config.snapshots.pause_s(nodes=True), shipping.run, group="snapshots"),
                    *networked.jobs(store, evictor),
                    *classes.jobs(),
                ]
                stack.callback(networked.network.interrupt)
            jobs.start(running)
        network = None if networked is None else networked.network
        yield Administered(store, snapshots, network, shipping, serving=background, settings=shown(config))


def _store(
    ground: Ground,
    index: Index,
    commits: CommitQueue,
    networked: Networked | None,
    sinks: Mapping[str, EventSink],
    *,
    worker: int | None,
) -> Store:
    """``worker``: which of several processes this is, where it serves."""
    policy = policy_of(ground.config, ground.telemetry, "memory")
    if networked is None:
        return ground.store(index, commits=commits, policy_of=policy, sinks=sinks)
    if worker == 0:
        tidy(ground)
    return ground.store(
        index,
        packs=networked.packs,
        commits=commits,
        news=networked.news(),
        warm=None if worker is None else warm_of(ground, worker),
        kept=None if worker is None else kept_of(ground, worker),
        policy_of=policy,
        sinks=sinks,
    )


async def _take_snapshot(snapshots: Snapshots) -> None:
    await snapshots.create()
    await snapshots.expire()


def _snapshots(ground: Ground, index: Index, store: Store) -> Snapshots:
    config = ground.config.snapshots
    return Snapshots(
        index=index,
        commits=store.commits,
        snapshots=ground.snapshots,
        logs=ground.logs,
        keys=HeadSnapshotKeys(ground.head_file),
        store_id=ground.head.store_id,
        clock=ground.clock,
        entropy=ground.entropy,
        workers=ground.workers,
        settings=SnapshotSettings(set_age_s=config.set_age_s, keep_sets=config.keep_sets),
    )


def _ballast(ground: Ground) -> Ballast:
    size = ground.config.store.reserve_bytes // BALLAST_SHARE
    return Ballast(ground.disk, str(ground.folder.ballast), size, ground.workers, ground.clock)
