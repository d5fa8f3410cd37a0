"""Making a store: a folder with a head, keys, an empty index and the first user.

Promise: until the very end the folder is marked as unfinished; an attempt that was cut off is begun anew.
"""

from dataclasses import dataclass
from typing import Final

from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import ID_BYTES, StoreId
from noisefs.core.domain.sealing.head import HEAD_SALT_BYTES, Epoch, Head, encode_head
from noisefs.core.domain.sealing.keyring import Keyring
from noisefs.core.domain.sealing.keys import KEY_BYTES
from noisefs.core.errors import ForeignDirectory
from noisefs.core.ports.disk import atomic_write
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.services.accounts import Credential
from noisefs.gateway import rootkey
from noisefs.gateway.assembly import open_store
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder, State

FIRST_USER: Final = "admin"


@dataclass(frozen=True, slots=True)
class Made:
    """A new store, and the first user's key: shown once, kept nowhere in the clear."""

    store_id: StoreId
    credential: Credential


async def make_store(folder: Folder, config: Config, telemetry: Telemetry) -> Made:
    """Make a store in an absent or empty folder.

    Raises:
        ForeignDirectory: There is a store already, or something else.
        StoreBusy: Another process is making one.
        ReadOnlyStore, StorageFailed, DiskFull: It cannot be made.
    """
    with folder.made_alone():
        return await _make(folder, config, telemetry)


async def _make(folder: Folder, config: Config, telemetry: Telemetry) -> Made:
    if folder.state() is State.STORE:
        raise ForeignDirectory(f"there is a store in {str(folder.path)!r} already")
    if folder.holds_half_a_restore:
        raise ForeignDirectory(f"a restore into {str(folder.path)!r} was cut off: run it again, or name another folder")
    disk, entropy = LocalDisk(), SystemEntropy()
    geometry = Geometry(config.store.segment_bytes, config.store.strategy)
    folder.begin(disk)
    root_key, passphrase = rootkey.make(config.root_key, folder, disk, entropy)
    keyring = Keyring(StoreId(entropy.secret(ID_BYTES)), entropy.secret(KEY_BYTES))
    head = Head(geometry, keyring, Epoch(1, entropy.secret(ID_BYTES)), sequence=1, passphrase=passphrase)
    atomic_write(disk, str(folder.head), encode_head(head, root_key, salt=entropy.secret(HEAD_SALT_BYTES)))
    secret = config.admin_secret_key
    async with open_store(folder, config, telemetry, background=False, create_index=True) as made:
        await made.store.accounts.add_user(FIRST_USER, admin=True)
        credential = await made.store.accounts.add_key(
            FIRST_USER,
            access_key_id=config.admin_access_key,
            secret=None if secret is None else secret.get_secret_value(),
        )
    folder.finish(disk)
    return Made(head.store_id, credential)
