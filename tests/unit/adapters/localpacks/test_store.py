"""What is particular to packs in files."""

import random
from pathlib import Path

import pytest

from noisefs.adapters.outbound.localpacks import store as store_module
from noisefs.adapters.outbound.localpacks.openpack import FLUSH_BYTES
from noisefs.adapters.outbound.localpacks.reserve import Reserve
from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.core.domain.ids import PackId
from noisefs.core.errors import BlockUnavailable, DiskFull
from noisefs.core.ports.disk import DIRECT_ALIGNMENT
from tests.support.simulated_disk import SimulatedDisk

ID = PackId(bytes(range(16)))
BLOCK = 131_088
"""The default block: not a multiple of a page."""


def test_random_appends_of_real_blocks_read_back_at_every_moment(tmp_path: Path) -> None:
    """Reserves of up to 64 blocks, partial advances, syncs and reads, against a list."""
    chance = random.Random(1)
    store = LocalPackStore(LocalDisk(), str(tmp_path), BLOCK, 200)
    pack, model = store.create(ID), list[bytes]()
    while pack.blocks < 200:
        count = min(chance.randint(1, 64), 200 - pack.blocks)
        place = pack.reserve(count)
        fresh = [chance.randbytes(BLOCK) for _ in range(chance.randint(1, count))]
        place[: len(fresh) * BLOCK] = b"".join(fresh)
        pack.advance(len(fresh))
        model += fresh
        if chance.random() < 0.3:
            assert pack.sync() == len(model)
        start = chance.randrange(len(model))
        end = min(len(model), start + chance.randint(1, 8))
        data = bytearray((end - start) * BLOCK - 5)
        store.read(ID, start, [memoryview(data)[:100], memoryview(data)[100:]], offset=5)
        assert data == b"".join(model[start:end])[5:]
        for position in (0, start, len(model) - 1):
            assert pack.block(position) == model[position]
    pack.seal()
    assert (tmp_path / f"{ID.hex()}.pack").read_bytes() == b"".join(model)
    store.close()


def test_whole_pages_are_written_early_without_a_sync() -> None:
    disk = SimulatedDisk()
    store = LocalPackStore(disk, "/packs", BLOCK, 64)
    pack = store.create(ID)
    blocks = FLUSH_BYTES // BLOCK + 1
    pack.reserve(blocks)[:] = bytes([7]) * (blocks * BLOCK)
    pack.advance(blocks)
    assert disk.labels["write:open"] == 1
    assert disk.labels["sync:open"] == 0
    whole = blocks * BLOCK // DIRECT_ALIGNMENT * DIRECT_ALIGNMENT
    assert disk.snapshot()[f"/packs/{ID.hex()}.open"][:whole].count(7) == whole
    store.close()


def test_a_sync_of_nothing_new_does_not_touch_the_disk() -> None:
    disk = SimulatedDisk()
    store = LocalPackStore(disk, "/packs", BLOCK, 64)
    pack = store.create(ID)
    pack.reserve(1)
    pack.advance(1)
    pack.sync()
    before = disk.steps
    pack.sync()
    assert disk.steps == before
    store.close()


def test_without_syncs_nothing_is_ever_synced() -> None:
    disk = SimulatedDisk()
    store = LocalPackStore(disk, "/packs", BLOCK, 64, sync="os")
    pack = store.create(ID)
    pack.reserve(1)
    pack.advance(1)
    pack.sync()
    pack.seal()
    store.drop(ID)
    store.close()
    assert [label for label in disk.labels if "sync" in label] == []


def test_a_file_that_a_dead_process_was_making_is_reused() -> None:
    disk = SimulatedDisk()
    store = LocalPackStore(disk, "/packs", BLOCK, 64)
    disk.create("/packs/spare-0.new")
    disk.crash(gently=True)
    store = LocalPackStore(disk, "/packs", BLOCK, 64)
    store.create(ID).abandon()
    assert disk.list_folder("/packs") == [f"{ID.hex()}.open"]


def test_a_file_that_another_process_is_making_is_left_to_it() -> None:
    disk = SimulatedDisk()
    store = LocalPackStore(disk, "/packs", BLOCK, 64)
    theirs = disk.create("/packs/spare-0.new")
    assert theirs.try_lock()
    store.create(ID).abandon()
    assert sorted(disk.list_folder("/packs")) == [f"{ID.hex()}.open", "spare-0.new"]
    theirs.close()


def test_a_short_file_names_the_first_block_it_lacks() -> None:
    disk = SimulatedDisk()
    store = LocalPackStore(disk, "/packs", BLOCK, 64)
    pack = store.create(ID)
    pack.reserve(5)
    pack.advance(5)
    pack.seal()
    file = disk.open(f"/packs/{ID.hex()}.pack", write=True)
    file.truncate(3 * BLOCK + 10)
    file.close()
    with pytest.raises(BlockUnavailable) as caught:
        store.read(ID, 1, [memoryview(bytearray(4 * BLOCK))])
    assert caught.value.position == 3
    store.close()


def test_a_read_error_is_an_unavailable_block() -> None:
    disk = SimulatedDisk()
    store = LocalPackStore(disk, "/packs", BLOCK, 64)
    pack = store.create(ID)
    pack.reserve(1)
    pack.advance(1)
    pack.seal()
    disk.fail_next("read", "pack")
    with pytest.raises(BlockUnavailable):
        store.read(ID, 0, [memoryview(bytearray(10))])
    store.read(ID, 0, [memoryview(bytearray(10))])
    store.close()


def test_many_packs_are_read_through_a_bounded_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "OPEN_FILES", 3)
    store = LocalPackStore(LocalDisk(), str(tmp_path), 16, 4)
    ids = [PackId(bytes([n]) * 16) for n in range(20)]
    for pack_id in ids:
        pack = store.create(pack_id)
        pack.reserve(1)[:] = pack_id
        pack.advance(1)
        pack.seal()
    for pack_id in ids * 2:
        data = bytearray(16)
        store.read(pack_id, 0, [memoryview(data)])
        assert bytes(data) == pack_id
    assert len(list(Path("/proc/self/fd").iterdir())) < 100
    store.close()


def test_other_files_in_the_folder_are_not_packs(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "abc.pack").write_text("short id")
    store = LocalPackStore(LocalDisk(), str(tmp_path), BLOCK)
    assert store.list() == []
    store.close()


# ---------------------------------------------------------------- the ballast


def test_a_ballast_holds_room_until_it_is_let_go() -> None:
    disk = SimulatedDisk(capacity_bytes=100_000)
    disk.make_folder("/data")
    reserve = Reserve(disk, "/data/ballast", 30_000)
    assert reserve.held_bytes() == 0
    assert reserve.ensure()
    assert reserve.ensure()
    assert reserve.held_bytes() == 30_000
    assert disk.free("/data").bytes == 70_000
    assert reserve.release() == 30_000
    assert reserve.release() == 0
    assert disk.free("/data").bytes == 100_000


def test_a_ballast_is_not_taken_where_it_would_fill_the_disk() -> None:
    disk = SimulatedDisk(capacity_bytes=50_000)
    disk.make_folder("/data")
    assert not Reserve(disk, "/data/ballast", 30_000).ensure()
    assert disk.list_folder("/data") == []


def test_a_ballast_that_does_not_fit_after_all_leaves_nothing_behind() -> None:
    disk = SimulatedDisk()
    disk.make_folder("/data")
    reserve = Reserve(disk, "/data/ballast", 30_000)
    disk.fail_next("allocate", "ballast", DiskFull("no space"))
    assert not reserve.ensure()
    assert disk.list_folder("/data") == []


def test_a_ballast_cut_short_by_a_crash_is_made_whole() -> None:
    disk = SimulatedDisk()
    disk.make_folder("/data")
    disk.create("/data/ballast").close()
    reserve = Reserve(disk, "/data/ballast", 30_000)
    assert reserve.ensure()
    assert reserve.held_bytes() == 30_000
