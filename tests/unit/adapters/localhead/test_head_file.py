"""The head's file changes whole, and no change is lost."""

import threading
from pathlib import Path

import msgspec
import pytest

from noisefs.adapters.outbound.localhead.head_file import HeadFile, HeadSnapshotKeys, read_head_bytes
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import InstanceId, StoreId
from noisefs.core.domain.sealing.head import Epoch, Head, encode_head
from noisefs.core.domain.sealing.keyring import Keyring, SnapshotKey
from noisefs.core.errors import DiskFull, HeadDamaged, WrongRootKey
from noisefs.core.ports.disk import atomic_write

ROOT_KEY = b"r" * 32
HEAD = Head(Geometry(), Keyring(StoreId(bytes(16)), bytes(32)), Epoch(1, bytes(16)), sequence=7)


def open_head(folder: Path, root_key: bytes = ROOT_KEY, writer: int = 1) -> HeadFile:
    """The head in a folder, as one process has it."""
    path, lock = str(folder / "head"), str(folder / "head.lock")
    writes = InstanceId(bytes([writer]) * 16)
    return HeadFile(LocalDisk(), path, lock, root_key, SeededEntropy(writer), SystemClock(), writes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a head in it."""
    atomic_write(LocalDisk(), str(tmp_path / "head"), encode_head(HEAD, ROOT_KEY, salt=bytes(32)))
    return tmp_path


def test_a_change_has_the_next_number_and_its_writer(folder: Path) -> None:
    """So that the younger of two heads is known."""
    changed = open_head(folder).change(lambda head: head)
    assert changed.sequence == 8
    assert changed.writer == b"\x01" * 16
    assert open_head(folder, writer=2).read() == changed


def test_a_new_epoch_has_a_higher_counter_and_other_random_bits(folder: Path) -> None:
    """Two restores of one snapshot can be told apart."""
    epoch = open_head(folder).begin_epoch().epoch
    assert epoch.counter == 2
    assert epoch.random != HEAD.epoch.random


def test_no_change_of_many_writers_is_lost(folder: Path) -> None:
    """Each reads the record anew under the lock."""

    def add(writer: int) -> None:
        keys = HeadSnapshotKeys(open_head(folder, writer=writer))
        for number in range(5):
            keys.add(SnapshotKey(bytes([writer, number]) + bytes(14), bytes(32), writer * 100 + number))

    threads = [threading.Thread(target=add, args=(writer,)) for writer in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head = open_head(folder).read()
    assert len(head.keyring.snapshot_keys) == 20
    assert head.sequence == HEAD.sequence + 20


def test_a_failed_change_leaves_the_old_head(folder: Path) -> None:
    """Nothing half-written is ever there."""

    def fail(_: Head) -> Head:
        raise DiskFull("no space")

    with pytest.raises(DiskFull):
        open_head(folder).change(fail)
    assert open_head(folder).read() == HEAD
    assert open_head(folder).change(msgspec.structs.replace).sequence == 8


def test_another_root_key_and_a_missing_file_are_told_apart(folder: Path) -> None:
    """One is the operator's key, the other is a backup to put back."""
    with pytest.raises(WrongRootKey):
        open_head(folder, root_key=b"x" * 32).read()
    with pytest.raises(HeadDamaged, match="missing"):
        read_head_bytes(LocalDisk(), str(folder / "absent"))
