"""The life of packs, with the power cut at every single step of it."""

import pytest

from noisefs.adapters.outbound.localpacks.store import LocalPackStore
from noisefs.core.domain.ids import PackId
from noisefs.core.errors import NoisefsError, PackNotFound
from tests.support.pack_stores import BLOCK, PACK_BLOCKS, append, patterns, read
from tests.support.simulated_disk import SimulatedCrash, SimulatedDisk

FIRST, SECOND = PackId(b"a" * 16), PackId(b"b" * 16)


def _store(disk: SimulatedDisk) -> LocalPackStore:
    return LocalPackStore(disk, "/packs", BLOCK, PACK_BLOCKS)


class _Acknowledged:
    """What the store has promised so far."""

    def __init__(self) -> None:
        self.durable: dict[PackId, int] = {}
        self.sealed: set[PackId] = set()
        self.dropping: set[PackId] = set()
        self.dropped: set[PackId] = set()


def _live(disk: SimulatedDisk, told: _Acknowledged) -> None:
    """A writer's life: two packs, early writes, several syncs, a seal, a drop."""
    store = _store(disk)
    pack = store.create(FIRST)
    for count in (1, 5, 9):
        append(pack, count)
        told.durable[FIRST] = pack.sync()
    append(pack, 2)
    pack.seal()
    told.durable[FIRST], told.sealed = 17, {FIRST}
    pack = store.create(SECOND)
    append(pack, 3)
    told.durable[SECOND] = pack.sync()
    told.dropping.add(FIRST)
    store.drop(FIRST)
    told.dropped.add(FIRST)
    append(pack, 3)
    told.durable[SECOND] = pack.sync()
    store.close()


def _same(found: object, wanted: object) -> None:
    """A plain comparison: pytest would draw a difference of megabytes, for minutes."""
    if found != wanted:
        raise AssertionError("other bytes than were written")


def _check(disk: SimulatedDisk, told: _Acknowledged) -> None:
    """Every promise holds after the restart, and recovery can close every open pack."""
    store = _store(disk)
    found = {pack.pack_id: pack for pack in store.list()}
    for pack_id in told.dropped:
        assert pack_id not in found
    for pack_id, blocks in told.durable.items():
        if pack_id in told.dropping:
            continue
        assert found[pack_id].blocks >= blocks
        _same(read(store, pack_id, 0, blocks), patterns(pack_id, 0, blocks))
        if pack_id in told.sealed:
            assert found[pack_id].sealed
            assert found[pack_id].blocks == blocks
    for pack_id, pack in found.items():
        if pack.sealed:
            continue
        kept = told.durable.get(pack_id, 0)
        adopted = store.adopt(pack_id)
        assert adopted is not None
        store.truncate(adopted, kept)
        append(adopted, 1)
        adopted.seal()
        _same(read(store, pack_id, 0, kept + 1), patterns(pack_id, 0, kept + 1))
    store.create(PackId(b"c" * 16)).abandon()
    store.close()


def _steps() -> int:
    disk = SimulatedDisk()
    _live(disk, _Acknowledged())
    return disk.steps


STEPS = _steps()


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_nothing_acknowledged_is_lost_at_any_step(step: int) -> None:
    for seed in range(12):
        disk, told = SimulatedDisk(seed), _Acknowledged()
        disk.crash_at = step
        with pytest.raises(SimulatedCrash):
            _live(disk, told)
        disk.crash(gently=seed % 4 == 3)
        _check(disk, told)


@pytest.mark.parametrize("operation", ["sync:open", "sync_folder:packs"])
def test_a_missing_sync_is_found(operation: str) -> None:
    """The crash model is strong enough: without one of the syncs, some crash loses what was acknowledged."""
    lost = 0
    for step in range(1, STEPS + 1):
        for seed in range(6):
            disk, told = SimulatedDisk(seed), _Acknowledged()
            disk.crash_at = step
            disk.ignore_syncs = lambda label: label == operation
            with pytest.raises(SimulatedCrash):
                _live(disk, told)
            disk.crash()
            try:
                _check(disk, told)
            except (AssertionError, KeyError, PackNotFound):
                lost += 1
    assert lost > 0


@pytest.mark.parametrize("operation", ["write", "sync", "truncate", "rename", "sync_folder"])
def test_after_any_failure_of_the_disk_what_was_synced_is_there(operation: str) -> None:
    for kind in ("open", "pack", "packs"):
        disk, told = SimulatedDisk(3), _Acknowledged()
        store = _store(disk)
        pack = store.create(FIRST)
        append(pack, 4)
        told.durable[FIRST] = pack.sync()
        append(pack, 2)
        disk.fail_next(operation, kind)
        try:
            pack.seal()
        except NoisefsError:
            pack.abandon()
        assert read(store, FIRST, 0, 4) == patterns(FIRST, 0, 4)
        disk.crash()
        told.durable[FIRST] = 4
        assert read(_store(disk), FIRST, 0, 4) == patterns(FIRST, 0, 4)
