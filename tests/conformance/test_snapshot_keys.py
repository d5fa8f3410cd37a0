"""Every adapter of the port ``SnapshotKeys`` keeps its promises."""

from collections.abc import Callable
from pathlib import Path

import pytest

from noisefs.adapters.outbound.localhead.head_file import HeadFile, HeadSnapshotKeys
from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.memory.snapshot_keys import MemorySnapshotKeys
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import InstanceId, StoreId
from noisefs.core.domain.sealing.head import Epoch, Head, encode_head
from noisefs.core.domain.sealing.keyring import Keyring, SnapshotKey
from noisefs.core.ports.disk import atomic_write
from noisefs.core.ports.snapshot_keys import SnapshotKeys

ROOT_KEY = bytes(32)


def head_file(folder: Path, *, fresh: bool = False) -> HeadFile:
    """The head in a folder."""
    disk, path = LocalDisk(), str(folder / "head")
    if fresh:
        head = Head(Geometry(), Keyring(StoreId(bytes(16)), bytes(32)), Epoch(1, bytes(16)), sequence=1)
        atomic_write(disk, path, encode_head(head, ROOT_KEY, salt=bytes(32)))
    lock = str(folder / "head.lock")
    return HeadFile(disk, path, lock, ROOT_KEY, SeededEntropy(1), ManualClock(), InstanceId(b"w" * 16))


@pytest.fixture(params=["memory", "head"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SnapshotKeys]:
    """Opens the same keys, again and again."""
    if request.param == "memory":
        keys = MemorySnapshotKeys()
        return lambda: keys
    head_file(tmp_path, fresh=True)
    return lambda: HeadSnapshotKeys(head_file(tmp_path))


def key(number: int) -> SnapshotKey:
    """A key that is younger the higher its number."""
    return SnapshotKey(bytes([number]) * 16, bytes([number]) * 32, number * 1000)


def test_keys_are_kept_in_the_order_in_which_they_came(make: Callable[[], SnapshotKeys]) -> None:
    """Whatever the clock said, and also for whoever opens them anew."""
    assert make().list() == []
    for number in (2, 1, 3):
        make().add(key(number))
    assert make().list() == [key(2), key(1), key(3)]


def test_a_removed_key_is_gone_and_removing_again_does_nothing(make: Callable[[], SnapshotKeys]) -> None:
    """What it sealed cannot be opened any more."""
    make().add(key(1))
    make().add(key(2))
    make().remove(key(1).key_id)
    make().remove(key(1).key_id)
    assert make().list() == [key(2)]
