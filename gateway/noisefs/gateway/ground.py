"""What a store stands on before there is an index: this process among others, the keys, the packs, the snapshots."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from noisefs.adapters.outbound.localfiles.files import LocalFiles
from noisefs.adapters.outbound.localhead.head_file import HeadFile, read_head_bytes
from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.adapters.outbound.system.presence import FilePresence
from noisefs.adapters.outbound.system.threads import ThreadWorkers
from noisefs.core.domain.caching.fixed.s3fifo import S3Fifo
from noisefs.core.domain.ids import ID_BYTES, InstanceId
from noisefs.core.domain.sealing.head import Head, decode_head, read_passphrase
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.ports.events import EventSink
from noisefs.core.ports.index import Index
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.services.caching.entry import PolicyOf
from noisefs.core.services.caching.listing import SealedList
from noisefs.core.services.caching.warm import WarmTier
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.store import PackNews, Store, StoreSettings
from noisefs.gateway import rootkey
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder
from noisefs.gateway.hooks import event_settings

BALLAST_SHARE: Final = 2
"""The ballast is this part of the reserve; the rest is what packs leave free. It has to hold a pack at the default
sizes: on a disk that somebody else filled, cleaning moves what lives to a new one."""

READS_AT_ONCE: Final = 32
"""Windows of all readers that wait for nodes at a time; each has a thread that waits with it."""

READS_FOR_PEERS: Final = 16
"""The same for other processes of the store."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A data folder without its index. ``packs``: those on the disk."""

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

    def store(
        self,
        index: Index,
        *,
        packs: PackStore | None = None,
        commits: CommitQueue | None = None,
        news: PackNews | None = None,
        warm: WarmTier | None = None,
        kept: SealedList | None = None,
        policy_of: PolicyOf = S3Fifo,
        sinks: Mapping[str, EventSink] = MappingProxyType({}),
    ) -> Store:
        """The services over an index. ``packs``: those of a network too; ``policy_of``: of the tiers; the others: as
        :class:`Store`.
        """
        return Store(
            index=index,
            packs=self.packs if packs is None else packs,
            clock=self.clock,
            entropy=self.entropy,
            workers=self.workers,
            telemetry=self.telemetry,
            presence=self.presence,
            keys=self.keys,
            geometry=self.head.geometry,
            settings=replace(store_settings(self.config), policy_of=policy_of),
            commits=commits,
            news=news,
            warm=warm,
            kept=kept,
            sinks=sinks,
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
        root_key = _root_key(folder, config, disk, ask)
        head_file = HeadFile(
            disk, str(folder.head), str(folder.head_lock), root_key, entropy, clock, presence.instance_id
        )
        head = head_file.read()
        workers = ThreadWorkers(
            network_threads=READS_AT_ONCE if config.ipfs.nodes else 1,
            peer_threads=READS_FOR_PEERS if config.ipfs.nodes and config.workers > 1 else 1,
        )
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


def read_head(folder: Folder, config: Config) -> Head:
    """The head of a store as it is now, whoever has the store.

    Raises:
        WrongRootKey, HeadDamaged, NewerFormat, StorageFailed: It cannot be opened.
    """
    disk = LocalDisk()
    return decode_head(read_head_bytes(disk, str(folder.head)), _root_key(folder, config, disk, None))


def _root_key(folder: Folder, config: Config, disk: LocalDisk, ask: rootkey.Ask | None) -> bytes:
    return rootkey.fetch(config.root_key, folder, read_passphrase(read_head_bytes(disk, str(folder.head))), ask)


def store_settings(config: Config) -> StoreSettings:
    """What the configuration says about the store, for one of its processes: they share the memory."""

    def share(total_bytes: int) -> int:
        return -(-total_bytes // config.workers)

    return StoreSettings(
        hot_bytes=share(config.hot.max_bytes),
        write_buffer_bytes=share(config.store.write_buffer_bytes),
        read_buffer_bytes=share(config.store.read_buffer_bytes),
        inline_max_bytes=config.store.inline_max_bytes,
        prefetch_waste=config.cache.prefetch_waste,
        durability=config.store.durability,
        several_processes=config.workers > 1,
        lifecycle_day_s=config.s3.lifecycle_day_s,
        limits=NamespaceLimits(
            max_buckets=config.store.max_buckets,
            max_object_bytes=config.store.max_object_bytes,
            max_put_bytes=config.s3.max_put_bytes,
            min_part_bytes=config.s3.min_part_bytes,
            upload_expiry_s=config.s3.upload_expiry_s,
        ),
        events=event_settings(config),
    )
