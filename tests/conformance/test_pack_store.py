"""Every pack store keeps the promises of the port, also when its process or its disk fails."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from noisefs.core.domain.ids import PackId
from noisefs.core.errors import BlockUnavailable, DiskFull, PackNotFound, PackPoisoned
from noisefs.core.ports.packs import StoredPack
from tests.support.pack_stores import (
    BLOCK,
    PACK_BLOCKS,
    RESERVE,
    LocalCase,
    MemoryCase,
    PackStoreCase,
    SimulatedCase,
    append,
    pattern,
    patterns,
    read,
)

ID = PackId(bytes(range(16)))
OTHER = PackId(bytes(range(100, 116)))


def _case(name: str, folder: Path) -> PackStoreCase:
    match name:
        case "memory":
            return MemoryCase()
        case "simulated":
            return SimulatedCase()
        case "local":
            return LocalCase(folder, direct=None)
        case "local-buffered":
            return LocalCase(folder, direct=False)
        case _:
            return LocalCase(folder, direct=None, sync_os=True)


@pytest.fixture(params=["memory", "simulated", "local", "local-buffered", "local-os"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PackStoreCase]:
    """Every adapter."""
    case = _case(request.param, tmp_path)
    yield case
    case.store.close()


@pytest.fixture(params=["memory", "simulated"])
def breakable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PackStoreCase]:
    """Adapters whose disk can be broken."""
    case = _case(request.param, tmp_path)
    yield case
    case.store.close()


# ---------------------------------------------------------------- writing and reading


def test_appended_blocks_are_readable_before_any_sync(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 3)
    append(pack, 1)
    assert pack.blocks == 4
    assert read(case.store, ID, 0, 4) == patterns(ID, 0, 4)
    assert bytes(pack.block(3)) == pattern(ID, 3)


def test_only_advanced_blocks_are_appended(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    place = pack.reserve(5)
    place[: 2 * BLOCK] = patterns(ID, 0, 2)
    pack.advance(2)
    assert pack.blocks == 2
    append(pack, 1)
    assert read(case.store, ID, 0, 3) == patterns(ID, 0, 3)
    with pytest.raises(BlockUnavailable):
        read(case.store, ID, 2, 2)


def test_a_sync_says_how_many_blocks_are_durable(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    assert pack.sync() == 0
    append(pack, 5)
    assert pack.sync() == 5
    assert pack.sync() == 5
    append(pack, 2)
    assert pack.sync() == 7


def test_a_sync_leaves_a_reserved_place_valid(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 3)
    place = pack.reserve(2)
    place[:BLOCK] = pattern(ID, 3)
    pack.sync()
    place[BLOCK : 2 * BLOCK] = pattern(ID, 4)
    pack.advance(2)
    pack.sync()
    assert read(case.store, ID, 0, 5) == patterns(ID, 0, 5)


def test_a_sealed_pack_has_all_its_blocks_and_nothing_else(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 7)
    pack.sync()
    append(pack, 2)
    pack.seal()
    assert case.store.list() == [StoredPack(ID, 9, True, 9 * BLOCK)]
    assert read(case.store, ID, 0, 9) == patterns(ID, 0, 9)
    with pytest.raises(BlockUnavailable):
        read(case.store, ID, 9)


def test_a_full_pack_takes_the_largest_reserve(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, PACK_BLOCKS)
    pack.seal()
    assert read(case.store, ID, 0, PACK_BLOCKS) == patterns(ID, 0, PACK_BLOCKS)


def test_a_read_fills_several_buffers_from_the_middle_of_a_block(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 6)
    pack.sync()
    append(pack, 6)
    data = memoryview(bytearray(5 * BLOCK))
    case.store.read(ID, 4, [data[:10], data[10:BLOCK], data[BLOCK:]], offset=17)
    assert bytes(data) == patterns(ID, 4, 6)[17 : 17 + 5 * BLOCK]


def test_every_block_of_an_open_pack_can_be_looked_at(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    for _ in range(PACK_BLOCKS // 4):
        append(pack, 4)
    assert [bytes(pack.block(k)) for k in range(PACK_BLOCKS)] == [pattern(ID, k) for k in range(PACK_BLOCKS)]
    with pytest.raises(IndexError):
        pack.block(PACK_BLOCKS)


def test_an_unknown_pack_is_not_found(case: PackStoreCase) -> None:
    with pytest.raises(PackNotFound):
        read(case.store, ID, 0)
    with pytest.raises(PackNotFound):
        case.store.adopt(ID)


def test_a_dropped_pack_is_gone_and_dropping_it_again_does_nothing(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 2)
    pack.seal()
    read(case.store, ID, 0)
    case.store.drop(ID)
    case.store.drop(ID)
    assert case.store.list() == []
    with pytest.raises(PackNotFound):
        read(case.store, ID, 0)


def test_readers_see_whole_blocks_while_the_writer_writes(case: PackStoreCase) -> None:
    """Two threads read everything appended so far, again and again, while blocks are added, synced and sealed."""
    pack = case.store.create(ID)
    append(pack, 1)
    appended, wrong, done = [1], [], threading.Event()

    def look() -> None:
        while not done.is_set():
            count = appended[0]
            if read(case.store, ID, 0, count) != patterns(ID, 0, count):
                wrong.append(count)

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    while pack.blocks < PACK_BLOCKS:
        append(pack, 3)
        appended[0] = pack.blocks
        pack.sync()
    pack.seal()
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []


# ---------------------------------------------------------------- crashes


def test_synced_blocks_survive_a_crash(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 5)
    pack.sync()
    append(pack, 1)
    case.crash()
    adopted = case.store.adopt(ID)
    assert adopted is not None
    assert adopted.blocks >= 5
    assert read(case.store, ID, 0, 5) == patterns(ID, 0, 5)


def test_a_sealed_pack_survives_a_crash(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 5)
    pack.seal()
    case.crash()
    assert case.store.list() == [StoredPack(ID, 5, True, 5 * BLOCK)]
    assert read(case.store, ID, 0, 5) == patterns(ID, 0, 5)
    with pytest.raises(PackNotFound):
        case.store.adopt(ID)


def test_a_dropped_pack_stays_dropped_after_a_crash(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 2)
    pack.seal()
    case.store.drop(ID)
    case.crash()
    assert case.store.list() == []


def test_a_live_writers_pack_is_not_adopted(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 1)
    assert case.store.adopt(ID) is None
    pack.abandon()
    adopted = case.store.adopt(ID)
    assert adopted is not None
    assert case.store.adopt(ID) is None


def test_an_adopted_pack_is_cut_and_closed_with_what_recovery_appends(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 6)
    pack.sync()
    append(pack, 3)
    case.crash()
    adopted = case.store.adopt(ID)
    assert adopted is not None
    case.store.truncate(adopted, 5)
    assert adopted.blocks == 5
    assert [bytes(adopted.block(k)) for k in range(5)] == [pattern(ID, k) for k in range(5)]
    place = adopted.reserve(1)
    place[:] = pattern(OTHER, 5)
    adopted.advance(1)
    assert read(case.store, ID, 0, 6) == patterns(ID, 0, 5) + pattern(OTHER, 5)
    adopted.seal()
    case.crash()
    assert case.store.list() == [StoredPack(ID, 6, True, 6 * BLOCK)]
    assert read(case.store, ID, 0, 6) == patterns(ID, 0, 5) + pattern(OTHER, 5)


def test_a_pack_cut_to_nothing_can_be_filled_again(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 6)
    pack.abandon()
    adopted = case.store.adopt(ID)
    assert adopted is not None
    case.store.truncate(adopted, 0)
    append(adopted, 2)
    adopted.seal()
    assert read(case.store, ID, 0, 2) == patterns(ID, 0, 2)


def test_closing_the_store_leaves_open_packs_to_recovery(case: PackStoreCase) -> None:
    pack = case.store.create(ID)
    append(pack, 2)
    pack.sync()
    case.store.close()
    case.crash()
    assert [(found.pack_id, found.sealed) for found in case.store.list()] == [(ID, False)]
    assert case.store.adopt(ID) is not None


def test_an_ended_pack_takes_no_more(case: PackStoreCase) -> None:
    sealed, abandoned = case.store.create(ID), case.store.create(OTHER)
    append(sealed, 1)
    sealed.seal()
    abandoned.abandon()
    for pack in (sealed, abandoned):
        with pytest.raises(ValueError, match="no longer open"):
            pack.reserve(1)


# ---------------------------------------------------------------- a broken disk


def test_a_failed_sync_poisons_the_pack_for_ever(breakable: PackStoreCase) -> None:
    pack = breakable.store.create(ID)
    append(pack, 2)
    pack.sync()
    append(pack, 1)
    breakable.fail_sync()
    for attempt in (pack.sync, pack.sync, pack.seal, lambda: pack.reserve(1), lambda: pack.advance(0)):
        with pytest.raises(PackPoisoned):
            attempt()
    assert read(breakable.store, ID, 0, 2) == patterns(ID, 0, 2)
    pack.abandon()
    assert read(breakable.store, ID, 0, 2) == patterns(ID, 0, 2)


def test_blocks_synced_before_a_failed_sync_survive_a_crash(breakable: PackStoreCase) -> None:
    pack = breakable.store.create(ID)
    append(pack, 2)
    pack.sync()
    append(pack, 2)
    breakable.fail_sync()
    with pytest.raises(PackPoisoned):
        pack.sync()
    breakable.crash()
    assert read(breakable.store, ID, 0, 2) == patterns(ID, 0, 2)


def test_a_full_disk_refuses_a_pack_and_leaves_no_trace(breakable: PackStoreCase) -> None:
    breakable.fill(PACK_BLOCKS * BLOCK + RESERVE - 1)
    with pytest.raises(DiskFull):
        breakable.store.create(ID)
    assert breakable.store.list() == []
    breakable.fill(PACK_BLOCKS * BLOCK + RESERVE)
    assert breakable.store.free_bytes() == PACK_BLOCKS * BLOCK
    append(breakable.store.create(ID), 1)
    assert breakable.store.free_bytes() == 0


def test_dropping_a_pack_gives_its_room_back(breakable: PackStoreCase) -> None:
    before = breakable.store.free_bytes()
    pack = breakable.store.create(ID)
    append(pack, 3)
    pack.seal()
    assert breakable.store.free_bytes() == before - 3 * BLOCK
    breakable.store.drop(ID)
    assert breakable.store.free_bytes() == before


def test_what_is_read_at_once_is_what_a_read_finds_or_nothing(case: PackStoreCase) -> None:
    """Whether a store has a cache or not, and whatever is wrong."""
    store = case.store
    pack = store.create(ID)
    append(pack, 3)
    for synced in (False, True):
        if synced:
            pack.sync()
            read(store, ID, 0, 3)  # whoever waits may leave it in a cache
        into = bytearray(2 * BLOCK - 16)
        if store.read_at_once(ID, 1, [memoryview(into)[:8], memoryview(into)[8:]], offset=8):
            assert bytes(into) == patterns(ID, 1, 2)[8:-8]
    assert not store.read_at_once(ID, 2, [memoryview(bytearray(2 * BLOCK))])
    assert not store.read_at_once(OTHER, 0, [memoryview(bytearray(BLOCK))])
    pack.abandon()
