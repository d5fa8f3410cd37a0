"""Where adapters meet core: a data folder becomes a running store."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.adapters.outbound.system.presence import FilePresence
from noisefs.adapters.outbound.system.threads import ThreadWorkers
from noisefs.core.domain.head import Head, decode_head, read_passphrase
from noisefs.core.domain.ids import ID_BYTES, InstanceId
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.errors import FileMissing, HeadDamaged
from noisefs.core.ports.disk import Disk, read_whole
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.store import Store, StoreSettings
from noisefs.gateway import rootkey
from noisefs.gateway.ballast import Ballast
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder

log = logging.getLogger(__name__)

BALLAST_SHARE: Final = 4
"""The ballast is this part of the reserve; the rest is simply left free."""


@asynccontextmanager
async def open_store(
    folder: Folder,
    config: Config,
    telemetry: Telemetry,
    *,
    own: bool = True,
    background: bool = True,
    create_index: bool = False,
    ask: rootkey.Ask | None = None,
) -> AsyncIterator[Store]:
    """The store in a data folder, recovered and running; closed, and all that was opened for it, at the end.

    Args:
        folder: Where it is.
        config: How it works.
        telemetry: Who counts.
        own: Take the store for this process; a worker leaves that to the process that started it.
        background: Run the background jobs.
        create_index: Make an empty index: only for a store that is being made.
        ask: How to ask for a passphrase.

    Raises:
        StoreBusy: Another server or command has the store.
        WrongRootKey, HeadDamaged, NewerFormat, IndexDamaged, ReadOnlyStore, StorageFailed: It cannot be opened.
    """
    disk, clock, entropy = LocalDisk(), SystemClock(), SystemEntropy()
    presence = FilePresence(disk, str(folder.locks), InstanceId(entropy.secret(ID_BYTES)))
    try:
        if own:
            presence.lock_store()
        head = read_head(folder, config, disk, ask)
        keys = StoreKeys(head.store_id, head.keyring.store_key)
        workers = ThreadWorkers()
        try:
            index = SqliteIndex.open(folder.index, keys.index, create=create_index, sync=config.store.sync)
            try:
                packs = LocalPackStore(
                    disk,
                    str(folder.packs),
                    head.geometry.block_bytes,
                    reserve_bytes=config.store.reserve_bytes,
                    sync=config.store.sync,
                )
                try:
                    store = Store(
                        index=index,
                        packs=packs,
                        clock=clock,
                        entropy=entropy,
                        workers=workers,
                        telemetry=telemetry,
                        presence=presence,
                        keys=keys,
                        geometry=head.geometry,
                        settings=store_settings(config),
                    )
                    ballast_bytes = config.store.reserve_bytes // BALLAST_SHARE
                    ballast = Ballast(disk, str(folder.ballast), ballast_bytes, workers, clock)
                    if own:
                        await ballast.start()
                    report = await store.start(background=background)
                    log.info("store.opened", extra={"store": head.store_id.hex(), "recovery": str(report)})
                    try:
                        yield store
                    finally:
                        await ballast.stop()
                        await store.close()
                finally:
                    packs.close()
            finally:
                index.close()
        finally:
            workers.close()
    finally:
        presence.close()


def read_head(folder: Folder, config: Config, disk: Disk, ask: rootkey.Ask | None = None) -> Head:
    """The store's head, opened with its root key.

    Raises:
        WrongRootKey, HeadDamaged, NewerFormat.
    """
    try:
        raw = read_whole(disk, str(folder.head))
    except FileMissing as exc:
        raise HeadDamaged(f"the head {str(folder.head)!r} is missing: put it back from a backup of this store") from exc
    return decode_head(raw, rootkey.fetch(config.root_key, folder, read_passphrase(raw), ask))


def store_settings(config: Config) -> StoreSettings:
    """What the configuration says about the store."""
    return StoreSettings(
        hot_bytes=config.store.hot_bytes,
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
