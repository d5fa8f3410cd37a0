"""Making the index anew from a snapshot, the log behind it, and the manifests of the packs.

Promise: a rebuild that is cut off changes nothing and is simply begun again. The old index holds keys of objects that
were deleted since: once the new one was opened where it belongs and checked, and nothing is lost, the old one is
overwritten and removed. Where something is lost, where the state of an older snapshot was asked for, or where somebody
wants it, it stays beside the new one under another name, until a person removes it.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from noisefs.adapters.outbound.localhead.head_file import HeadSnapshotKeys
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.errors import StorageFailed
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Lane
from noisefs.core.services.maintenance.reconcile import Reconciler, ReconcileReport
from noisefs.core.services.snapshots.restoring import RestoreReport, restore
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder
from noisefs.gateway.ground import Ground, open_ground

OVERWRITE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild brought back, and where the old index is, if it was kept."""

    restored: RestoreReport
    reconciled: ReconcileReport
    old_index: Path | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing is lost, as far as anybody can tell."""
        lost = self.restored.lost or self.restored.unusable
        return not (lost or self.reconciled.objects_lost or self.reconciled.packs_unreadable)


async def rebuild(
    folder: Folder, config: Config, telemetry: Telemetry, upto: str | None = None, *, keep_old: bool = False
) -> Rebuilt:
    """Make the index anew, in a store that nobody uses.

    Args:
        folder: The store's.
        config: How it works.
        telemetry: Who counts.
        upto: Name of the snapshot whose state is wanted; ``None``: the newest, and the log behind it.
        keep_old: Keep the old index whatever comes out.

    Raises:
        StoreBusy: A server or command uses the store: stop it first.
        SnapshotNotFound, SnapshotDamaged: There is nothing to go back to.
    """
    async with open_ground(folder, config, telemetry) as ground:
        return await ground.workers.run(Lane.BACKGROUND, _rebuild, ground, upto, keep_old)


def _rebuild(ground: Ground, upto: str | None, keep_old: bool) -> Rebuilt:
    present = ground.folder.index.parent
    fresh = present.with_name("index.new")
    shutil.rmtree(fresh, ignore_errors=True)
    ground.disk.make_folder(str(fresh))
    index = SqliteIndex.open(fresh / ground.folder.index.name, ground.keys.index, create=True)
    try:
        snapshot_keys = HeadSnapshotKeys(ground.head_file).list()
        restored = restore(index, ground.snapshots, ground.logs, ground.head.store_id, snapshot_keys, upto)
        store = ground.store(index)
        reconciled = Reconciler(
            index, ground.packs, store.manifests, store.cells, ground.keys, ground.head.geometry
        ).run()
        index.checkpoint()
    finally:
        index.close()
    # A new life of the store: whoever meets both knows which is the younger.
    epoch = ground.head_file.begin_epoch().epoch.counter
    old = _swap(ground, present, fresh, epoch)
    _check(ground)
    rebuilt = Rebuilt(restored, reconciled)
    if old is None or (rebuilt.whole and upto is None and not keep_old):
        if old is not None:
            _overwrite(old)
            shutil.rmtree(old)
            ground.disk.sync_folder(str(old.parent))
        return rebuilt
    return Rebuilt(restored, reconciled, old)


def _check(ground: Ground) -> None:
    """Open the new index where it belongs, and read all of it once."""
    index = SqliteIndex.open(ground.folder.index, ground.keys.index, create=False)
    try:
        index.verify()
    finally:
        index.close()


def _overwrite(folder: Path) -> None:
    """Put zeros where the files of a folder have their bytes."""
    for path in folder.iterdir():
        with path.open("r+b") as file:
            left = path.stat().st_size
            while left:
                left -= file.write(bytes(min(left, OVERWRITE_BYTES)))
            file.flush()
            os.fsync(file.fileno())


def _swap(ground: Ground, present: Path, fresh: Path, epoch: int) -> Path | None:
    old = present.with_name(f"index.old-{epoch}")
    try:
        if present.exists():
            present.rename(old)
        fresh.rename(present)
    except OSError as exc:
        raise StorageFailed(f"{str(fresh)!r} cannot take the place of {str(present)!r}: {exc.strerror}") from exc
    ground.disk.sync_folder(str(present.parent))
    return old if old.exists() else None
