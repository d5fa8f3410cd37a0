"""The disk cache: what goes in comes out, or nothing; within its budget; after a restart too; and never in the way."""

import pytest

from noisefs.core.errors import DiskFull, ReadOnlyStore, StorageFailed
from noisefs.core.ports.telemetry import Counter
from noisefs.core.services.caching.entry import Why
from noisefs.core.services.caching.warm import REST_S, SAVE_EVERY_S
from tests.support.disk_cache import MIB, PATH, WarmParts, kept_of, key_of
from tests.support.simulated_disk import SimulatedDisk


def test_what_was_offered_is_given_before_and_after_it_is_written() -> None:
    parts = WarmParts()
    warm = parts.open()
    kept = kept_of(1, 131_088)
    warm.offer(key_of(1), kept)
    assert warm.get(key_of(1)) is kept
    warm.work()
    found = warm.get(key_of(1))
    assert found is not None
    assert (bytes(found.sealed), found.generation, found.cold) == (kept.sealed, 1, True)
    assert warm.get(key_of(2)) is None


def test_nothing_of_what_it_keeps_can_be_seen_on_the_disk() -> None:
    """Neither the bytes, nor whose they are, nor where a record ends: the file is noise without a repetition."""
    parts = WarmParts()
    warm = parts.open()
    for number in range(4):
        warm.offer(key_of(number), kept_of(number, 5000 + number)._replace(sealed=bytes(5000 + number)))
    warm.close()
    for path, data in parts.disk.snapshot().items():
        assert bytes(key_of(1)[0]) not in bytes(data)
        assert bytes(16) not in data, path
    data = parts.disk.snapshot()[PATH]
    blocks = [data[at : at + 16] for at in range(0, len(data), 16)]
    assert len(set(blocks)) == len(blocks)


def test_a_restart_finds_everything_again() -> None:
    parts = WarmParts(max_bytes=4 * MIB)
    warm = parts.open()
    for number in range(20):
        warm.offer(key_of(number), kept_of(number, 3000 * (number + 1)))
    warm.close()
    again = parts.open()
    for number in range(20):
        found = again.get(key_of(number))
        assert found is not None
        assert bytes(found.sealed) == kept_of(number, 3000 * (number + 1)).sealed
    again.offer(key_of(30), kept_of(30, 9000))
    again.close()
    third = parts.open()  # of three lives' keys
    assert third.get(key_of(3)) is not None
    assert third.get(key_of(30)) is not None


def test_a_kill_forgets_what_was_written_since_the_last_list() -> None:
    parts = WarmParts(max_bytes=4 * MIB)
    warm = parts.open()
    warm.offer(key_of(1), kept_of(1, 9000))
    warm.work()
    parts.clock.advance(SAVE_EVERY_S)
    warm.offer(key_of(2), kept_of(2, 9000))
    warm.work()
    warm.offer(key_of(3), kept_of(3, 9000))
    warm.work()
    parts.disk.crash(gently=True)
    again = parts.open()
    assert again.get(key_of(1)) is not None
    assert again.get(key_of(2)) is not None
    assert again.get(key_of(3)) is None


def test_a_changed_budget_keeps_what_still_fits() -> None:
    parts = WarmParts(max_bytes=4 * MIB)
    warm = parts.open()
    for number in range(60):
        warm.offer(key_of(number), kept_of(number, 40_000))
    warm.close()
    parts.max_bytes = MIB
    smaller = parts.open()
    assert 5 < smaller.state().entries < 30
    smaller.work()
    assert parts.disk.file_size(PATH) <= MIB


def test_a_damaged_record_is_a_miss_and_forgotten() -> None:
    parts = WarmParts()
    warm = parts.open()
    warm.offer(key_of(1), kept_of(1, 9000))
    warm.work()
    parts.disk.damage(PATH, 4000, b"xyz")
    assert warm.get(key_of(1)) is None
    assert not warm.holds(key_of(1))
    assert parts.telemetry.counted(Counter.INTEGRITY_ERRORS, ("cache",)) == 1
    assert warm.state().bytes == 0


def test_what_an_earlier_life_did_not_write_whole_is_no_damage() -> None:
    """A kill or a power loss leaves records in the list that were written over, or never came onto the disk."""
    parts = WarmParts()
    warm = parts.open()
    warm.offer(key_of(1), kept_of(1, 9000))
    warm.close()
    parts.disk.damage(PATH, 100, b"\x5a\xa5")
    again = parts.open()
    assert again.get(key_of(1)) is None
    assert not again.holds(key_of(1))
    assert parts.telemetry.counted(Counter.INTEGRITY_ERRORS, ("cache",)) == 0


def test_the_list_is_saved_in_time_however_much_there_is_to_write() -> None:
    parts = WarmParts(max_bytes=4 * MIB)
    warm = parts.open()

    listed: list[bool] = []

    def slowly() -> int:
        parts.clock.advance(SAVE_EVERY_S / 4)
        listed.append(f"{PATH}.list" in parts.disk.snapshot())
        return 1 << 40

    warm._room_left = slowly
    for number in range(10):
        warm.offer(key_of(number), kept_of(number, 9000))
    warm.work()
    assert listed == [False] * 4 + [True] * 6


@pytest.mark.parametrize("at", [0, 5, 20, 60, 150])
def test_a_damaged_list_is_a_start_with_nothing(at: int) -> None:
    parts = WarmParts()
    warm = parts.open()
    for number in range(3):
        warm.offer(key_of(number), kept_of(number, 9000))
    warm.close()
    parts.disk.damage(f"{PATH}.list", at, b"\x5a\xa5")
    again = parts.open()
    assert again.get(key_of(1)) is None
    again.offer(key_of(1), kept_of(1, 9000))
    again.work()
    assert again.get(key_of(1)) is not None


def test_bodies_that_are_gone_leave_their_space() -> None:
    parts = WarmParts(max_bytes=4 * MIB)
    warm = parts.open()
    for number in range(15):
        warm.offer(key_of(number), kept_of(number, 9000))
        if number == 12:
            warm.work()
    before = warm.state().bytes
    warm.forget([key_of(1)[0], key_of(12)[0]])  # some of the second one are not written yet
    assert [warm.get(key_of(number)) for number in range(15)] == [None] * 15
    assert warm.state().bytes == 0 < before
    warm.work()
    assert warm.state().bytes == 0


def test_what_is_dropped_while_it_waits_is_not_written() -> None:
    parts = WarmParts()
    warm = parts.open()
    warm.offer(key_of(1), kept_of(1, 9000))
    warm.drop(key_of(1))
    warm.work()
    assert warm.get(key_of(1)) is None
    assert parts.telemetry.counted(Counter.CACHE_WRITES, ("written",)) == 0


@pytest.mark.parametrize("error", [DiskFull("full"), ReadOnlyStore("read-only"), StorageFailed("failing")])
def test_a_disk_that_refuses_turns_it_off_for_a_while(error: DiskFull | StorageFailed) -> None:
    parts = WarmParts()
    warm = parts.open()
    warm.offer(key_of(1), kept_of(1, 9000))
    warm.work()
    parts.disk.fail_next("write", "*", error)
    warm.offer(key_of(2), kept_of(2, 9000))
    warm.work()
    assert warm.state().enabled is False
    assert parts.used_bytes() == 0, "its space is given back"
    assert warm.get(key_of(1)) is None
    warm.offer(key_of(1), kept_of(1, 9000))
    warm.work()
    assert warm.get(key_of(1)) is None
    parts.clock.advance(REST_S)
    warm.work()
    warm.offer(key_of(1), kept_of(1, 9000))
    warm.work()
    assert warm.get(key_of(1)) is not None


def test_a_full_disk_gets_its_space_back_before_anybody_is_refused() -> None:
    parts = WarmParts()
    warm = parts.open()
    warm.offer(key_of(1), kept_of(1, 9000))
    warm.work()
    parts.room_left = 0
    warm.offer(key_of(2), kept_of(2, 9000))
    warm.work()
    assert (warm.state().enabled, parts.used_bytes()) == (False, 0)


def test_a_folder_that_cannot_be_made_is_no_error() -> None:
    class Refusing(SimulatedDisk):
        def make_folder(self, path: str) -> None:
            raise ReadOnlyStore(path)

    warm = WarmParts().open(disk=Refusing())
    warm.offer(key_of(1), kept_of(1, 10))
    warm.work()
    warm.close()
    assert warm.get(key_of(1)) is None
    assert warm.state().enabled is False


def test_a_second_process_on_the_same_file_does_without() -> None:
    parts = WarmParts()
    first, second = parts.open(), parts.open()
    assert (first.state().enabled, second.state().enabled) == (True, False)


def test_scattered_room_is_used() -> None:
    """A large record lies in the gaps that small ones leave."""
    parts = WarmParts(max_bytes=MIB)
    warm = parts.open()
    for number in range(60):
        warm.offer(key_of(number), kept_of(number, 16_000))
    warm.work()
    held = [number for number in range(60) if warm.holds(key_of(number))]
    for number in held[::2]:
        warm.drop(key_of(number))
    warm.offer(key_of(100), kept_of(100, 100_000))
    warm.work()
    found = warm.get(key_of(100))
    assert found is not None
    assert bytes(found.sealed) == kept_of(100, 100_000).sealed


def test_what_nobody_asked_for_counts_as_no_read() -> None:
    """It is offered to the policy, not counted by it."""
    parts = WarmParts()
    warm = parts.open()
    warm.offer(key_of(1), kept_of(1, 9000), why=Why.SEQUENTIAL)
    warm.work()
    assert warm.get(key_of(1)) is not None
