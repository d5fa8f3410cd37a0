"""Where adapters meet core: a data folder becomes a running store."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.adapters.inbound.admin.operations.operation import Administered
from noisefs.adapters.outbound.localfiles.files import LocalFiles
from noisefs.adapters.outbound.localhead.head_file import HeadFile, HeadSnapshotKeys, read_head_bytes
from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.adapters.outbound.system.presence import FilePresence
from noisefs.adapters.outbound.system.threads import ThreadWorkers
from noisefs.core.domain.head import Head, read_passphrase
from noisefs.core.domain.ids import ID_BYTES, InstanceId
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.ports.index import Index
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.services.jobs import Job, Jobs
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.snapshots.service import Snapshots, SnapshotSettings
from noisefs.core.services.store import Store, StoreSettings
from noisefs.gateway import rootkey
from noisefs.gateway.ballast import Ballast
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder

log = logging.getLogger(__name__)

BALLAST_SHARE: Final = 2
"""The ballast is this part of the reserve; the rest is what packs leave free. It has to hold a pack at the default
sizes: on a disk that somebody else filled, cleaning moves what lives to a new one."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What stands before there is an index: this process among others, the keys, the packs, the snapshots."""

    folder: Folder
    config: Config
    disk: LocalDisk
    clock: SystemClock
    entropy: SystemEntropy
    presence: FilePresence
    head_file: HeadFile
    head: Head
    keys: StoreKeys
    workers: ThreadWorkers
    packs: LocalPackStore
    snapshots: LocalFiles
    logs: LocalFiles
    telemetry: Telemetry

    def store(self, index: Index) -> Store:
        """The services over an index."""
        return Store(
            index=index,
            packs=self.packs,
            clock=self.clock,
            entropy=self.entropy,
            workers=self.workers,
            telemetry=self.telemetry,
            presence=self.presence,
            keys=self.keys,
            geometry=self.head.geometry,
            settings=store_settings(self.config),
        )


@asynccontextmanager
async def open_ground(
    folder: Folder, config: Config, telemetry: Telemetry, *, own: bool = True, ask: rootkey.Ask | None = None
) -> AsyncIterator[Ground]:
    """Everything of a data folder but its index.

    Args:
        folder: Where it is.
        config: How it works.
        telemetry: Who counts.
        own: Take the store for this process; a worker leaves that to the process that started it.
        ask: How to ask for a passphrase.

    Raises:
        StoreBusy: Another server or command has the store.
        WrongRootKey, HeadDamaged, NewerFormat, ReadOnlyStore, StorageFailed: It cannot be opened.
    """
    async with AsyncExitStack() as stack:
        disk, clock, entropy = LocalDisk(), SystemClock(), SystemEntropy()
        presence = FilePresence(disk, str(folder.locks), InstanceId(entropy.secret(ID_BYTES)))
        stack.callback(presence.close)
        if own:
            presence.lock_store()
        raw = read_head_bytes(disk, str(folder.head))
        root_key = rootkey.fetch(config.root_key, folder, read_passphrase(raw), ask)
        head_file = HeadFile(
            disk, str(folder.head), str(folder.head_lock), root_key, entropy, clock, presence.instance_id
        )
        head = head_file.read()
        workers = ThreadWorkers()
        stack.callback(workers.close)
        packs = LocalPackStore(
            disk,
            str(folder.packs),
            head.geometry.block_bytes,
            reserve_bytes=config.store.reserve_bytes - config.store.reserve_bytes // BALLAST_SHARE,
            sync=config.store.sync,
        )
        stack.callback(packs.close)
        yield Ground(
            folder=folder,
            config=config,
            disk=disk,
            clock=clock,
            entropy=entropy,
            presence=presence,
            head_file=head_file,
            head=head,
            keys=StoreKeys(head.store_id, head.keyring.store_key),
            workers=workers,
            packs=packs,
            snapshots=LocalFiles(folder.snapshots),
            logs=LocalFiles(folder.logs),
            telemetry=telemetry,
        )


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
        create_index: Make an empty index: only for a store that is being made.
        ask: How to ask for a passphrase.

    Raises:
        StoreNotFound: There is no index.
        IndexDamaged: It is damaged.
        StoreBusy, WrongRootKey, HeadDamaged, NewerFormat, ReadOnlyStore, StorageFailed: As :func:`open_ground`.
    """
    async with open_ground(folder, config, telemetry, own=own, ask=ask) as ground, AsyncExitStack() as stack:
        index = SqliteIndex.open(folder.index, ground.keys.index, create=create_index, sync=config.store.sync)
        stack.callback(index.close)
        store = ground.store(index)
        held = _ballast(ground)
        store.commits.relieve_with(held.relieve)
        if ballast:
            await held.start()
            stack.push_async_callback(held.stop)
        snapshots = _snapshots(ground, index, store)
        await snapshots.start()  # before the first commit, and closed after the last one
        stack.push_async_callback(snapshots.close)
        stack.push_async_callback(store.close)
        report = await store.start(background=background)
        log.info("store.opened", extra={"store": ground.head.store_id.hex(), "recovery": str(report)})
        if background:
            jobs = Jobs(clock=ground.clock, workers=ground.workers, telemetry=telemetry, presence=ground.presence)
            jobs.start([Job("snapshot", config.snapshots.every_s, partial(_take_snapshot, snapshots))])
            stack.push_async_callback(jobs.stop)
        yield Administered(store, snapshots)


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


def store_settings(config: Config) -> StoreSettings:
    """What the configuration says about the store."""
    return StoreSettings(
        hot_bytes=config.hot.max_bytes,
        write_buffer_bytes=config.store.write_buffer_bytes,
        read_buffer_bytes=config.store.read_buffer_bytes,
        inline_max_bytes=config.store.inline_max_bytes,
        several_processes=config.workers > 1,
        limits=NamespaceLimits(
            max_buckets=config.store.max_buckets,
            max_object_bytes=config.store.max_object_bytes,
            max_put_bytes=config.s3.max_put_bytes,
            min_part_bytes=config.s3.min_part_bytes,
            upload_expiry_s=config.s3.upload_expiry_s,
        ),
    )
