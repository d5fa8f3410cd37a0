"""The head's file, for whoever puts heads on nodes."""

from pathlib import Path

import pytest

from noisefs.adapters.outbound.localhead.head_file import HeadFile, HeadSnapshotKeys
from noisefs.adapters.outbound.localhead.keeper import LocalHeadKeeper
from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import InstanceId, StoreId
from noisefs.core.domain.sealing.head import HEAD_SALT_BYTES, Epoch, Head, SnapshotPointer, encode_head, head_name
from noisefs.core.domain.sealing.keyring import Keyring, SnapshotKey
from noisefs.core.errors import WrongRootKey

KEY = b"r" * 32
POINTER = SnapshotPointer(b"name", b"k" * 16, 7, 8, location=b"root")


@pytest.fixture
def keeper(tmp_path: Path) -> LocalHeadKeeper:
    """Of a new store."""
    entropy = SeededEntropy(1)
    head = Head(Geometry(), Keyring(StoreId(b"s" * 16), b"k" * 32), Epoch(1, b"e" * 16), sequence=4)
    (tmp_path / "head").write_bytes(encode_head(head, KEY, salt=entropy.secret(HEAD_SALT_BYTES)))
    paths = str(tmp_path / "head"), str(tmp_path / "lock")
    return LocalHeadKeeper(HeadFile(LocalDisk(), *paths, KEY, entropy, ManualClock(), InstanceId(b"w" * 16)))


def test_a_head_that_points_elsewhere_is_a_new_one(keeper: LocalHeadKeeper) -> None:
    """With the next number, by this instance; its bytes are those of the file."""
    before = keeper.read()
    sealed = keeper.point(POINTER)
    assert (sealed.head.snapshot, sealed.head.sequence, sealed.head.writer) == (POINTER, 5, b"w" * 16)
    assert keeper.open(sealed.raw) == sealed.head
    assert keeper.read() == sealed
    assert head_name(before.head) < head_name(sealed.head)


def test_a_change_by_another_process_is_kept(keeper: LocalHeadKeeper) -> None:
    """A snapshot key that was added meanwhile."""
    HeadSnapshotKeys(keeper.file).add(SnapshotKey(b"k" * 16, b"x" * 32, 1))
    sealed = keeper.point(POINTER)
    assert len(sealed.head.keyring.snapshot_keys) == 1


def test_a_head_of_another_root_key_does_not_open(keeper: LocalHeadKeeper) -> None:
    """Whatever it claims."""
    raw = encode_head(keeper.read().head, b"o" * 32, salt=b"s" * HEAD_SALT_BYTES)
    with pytest.raises(WrongRootKey):
        keeper.open(raw)
