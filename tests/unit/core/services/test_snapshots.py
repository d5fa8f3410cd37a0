"""Snapshots: what they hold, when they are full, how they expire, and that nothing damaged is ever restored."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from noisefs.adapters.outbound.memory.files import MemoryFiles
from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.errors import DiskFull, Draining, SnapshotDamaged, SnapshotNotFound
from noisefs.core.ports.files import Appender, Draft
from noisefs.core.ports.index import Changed, Table, Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.snapshots.redo import RedoLog
from noisefs.core.services.snapshots.service import Snapshots
from tests.support.snapshots import STORE, Lab, everything

DAY_S = 86_400


@pytest.fixture
def lab() -> Lab:
    """An empty machine."""
    return Lab()


@pytest.fixture
async def running(lab: Lab) -> AsyncIterator[tuple[CommitQueue, Snapshots]]:
    """Services over it."""
    commits, snapshots = lab.boot()
    await snapshots.start()
    yield commits, snapshots
    await commits.close()
    await snapshots.close()


def put(key: bytes, value: bytes, table: Table = Table.OBJECTS) -> Callable[[Writing], None]:
    """A function that sets one row."""
    return lambda tx: tx.put(table, key, value)


def remove(key: bytes, table: Table = Table.OBJECTS) -> Callable[[Writing], None]:
    """A function that removes one row."""
    return lambda tx: tx.delete(table, key)


# ---------------------------------------------------------------- what they hold


async def test_a_full_snapshot_restores_every_table(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """Rows of all sizes, inline bytes and keys included."""
    commits, snapshots = running
    for number, table in enumerate(Table):
        for n in range(40):
            await commits.run(put(b"%03d" % n, bytes([number]) * (n * 97), table))
    await commits.run(put(b"large", bytes(3_000_000), Table.INLINE))
    info = await snapshots.create()
    assert info.after is None
    lab.logs = MemoryFiles()
    index, report = lab.restored()
    assert everything(index) == everything(lab.index)
    assert report.chain == (info,)
    assert report.upto == info.upto
    assert report.lost == 0


async def test_increments_add_up(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """Changed, added and removed rows, over several increments."""
    commits, snapshots = running
    for n in range(200):
        await commits.run(put(b"%03d" % n, b"first"))
    infos = [await snapshots.create()]
    for round_ in range(3):
        for n in range(round_ * 10, round_ * 10 + 20):
            await commits.run(put(b"%03d" % n, b"round %d" % round_) if n % 3 else remove(b"%03d" % n))
        infos.append(await snapshots.create())
    assert [info.after for info in infos] == [None, *(info.upto for info in infos[:-1])]
    assert len({info.key_id for info in infos}) == 1
    assert infos[1].size_bytes < infos[0].size_bytes
    lab.logs = MemoryFiles()
    index, report = lab.restored()
    assert everything(index) == everything(lab.index)
    assert report.chain == tuple(infos)


async def test_an_older_snapshot_can_be_restored_by_name(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """Its own state: no log records, no later increments. Numbers go on behind the highest one ever used."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    await snapshots.create()
    await commits.run(put(b"a", b"2"))
    wanted = await snapshots.create()
    await commits.run(put(b"a", b"3"))
    await snapshots.create()
    last = lab.index.sequence()
    await snapshots.flush()
    index, report = lab.restored(wanted.name)
    assert everything(index) == {(Table.OBJECTS, b"a"): b"2"}
    assert report.upto == wanted.upto
    assert index.sequence() >= last
    with pytest.raises(SnapshotNotFound):
        lab.restored("nothing.snapshot")


class BusyIndex(MemoryIndex):
    """Commits something whenever a snapshot looks."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 60
        self.states: dict[int, dict[tuple[Table, bytes], bytes]] = {}

    def busy(self) -> None:
        if self.left:
            self.left -= 1
            n = self.left
            self.transact([put(b"%02d" % (n % 7), b"busy %d" % n), put(b"%02d" % (n % 5), b"x", Table.RUNS)])
            self.transact([remove(b"%02d" % (n % 3))])
            self.states[self.sequence()] = everything(self)

    def changed_rows(self, after: int, limit: int) -> Changed:
        self.busy()
        return super().changed_rows(after, min(limit, 3))


async def test_a_snapshot_taken_under_writes_is_one_commits_state() -> None:
    """Exactly, however much is written meanwhile."""
    index = BusyIndex()
    lab = Lab(index=index)
    commits, snapshots = lab.boot()
    for n in range(30):
        await commits.run(put(b"%02d" % n, b"before"))
    info = await snapshots.create()
    index.left = 20
    second = await snapshots.create()
    restored, _ = lab.restored(info.name)
    assert everything(restored) == index.states[info.upto]
    restored, _ = lab.restored(second.name)
    assert everything(restored) == index.states[second.upto]
    await commits.close()
    await snapshots.close()


async def test_snapshots_of_a_real_index_restore_into_a_real_index(tmp_path: Path) -> None:
    """The adapters that a store uses."""
    lab = Lab(index=SqliteIndex.open(tmp_path / "a.db", bytes(32), create=True, sync="os"))
    commits, snapshots = lab.boot()
    await snapshots.start()
    for n in range(300):
        await commits.run(put(b"%03d" % n, bytes(n), list(Table)[n % len(Table)]))
    await snapshots.create()
    for n in range(100):
        await commits.run(remove(b"%03d" % n, list(Table)[n % len(Table)]))
    await snapshots.create()
    await commits.run(put(b"logged", b"1"))
    await commits.close()
    await snapshots.close()
    other = SqliteIndex.open(tmp_path / "b.db", bytes(32), create=True, sync="os")
    report = await snapshots.restore_into(other)
    assert everything(other) == everything(lab.index)
    assert report.lost == 0
    other.close()
    lab.index.close()


# ---------------------------------------------------------------- when


async def test_nothing_new_makes_no_snapshot(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """The newest one is answered; a full one can be forced."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    first = await snapshots.create()
    assert await snapshots.create() == first
    assert [info.name for info in await snapshots.list()] == [first.name]
    forced = await snapshots.create(full=True)
    assert forced.after is None
    assert forced.key_id != first.key_id


async def test_a_new_set_begins_daily(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """With a key of its own; ``full=False`` puts it off."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    first = await snapshots.create()
    lab.clock.advance(DAY_S - 1)
    await commits.run(put(b"a", b"2"))
    assert (await snapshots.create()).key_id == first.key_id
    lab.clock.advance(2)
    await commits.run(put(b"a", b"3"))
    assert (await snapshots.create(full=False)).key_id == first.key_id
    await commits.run(put(b"a", b"4"))
    full = await snapshots.create()
    assert full.after is None
    assert full.key_id != first.key_id


async def test_an_index_that_remembers_another_snapshot_gets_a_full_one(
    lab: Lab, running: tuple[CommitQueue, Snapshots]
) -> None:
    """After a restore, or when the newest file is gone, no increment could be complete."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    await snapshots.create()
    await commits.run(put(b"b", b"1"))
    newest = await snapshots.create()
    lab.snapshots.delete(newest.name)
    await commits.run(put(b"c", b"1"))
    assert (await snapshots.create()).after is None

    lab.index, _ = lab.restored()
    commits, snapshots = lab.boot()
    await snapshots.start()
    await commits.run(put(b"d", b"1"))
    info = await snapshots.create()
    assert info.after is None
    assert everything(lab.restored()[0]) == everything(lab.index)
    await commits.close()
    await snapshots.close()


async def test_a_snapshot_forgets_the_changes_it_holds(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """And only those."""
    commits, snapshots = running
    for n in range(20):
        await commits.run(put(b"%d" % n, b"1"))
    info = await snapshots.create()
    assert [change.sequence for change in lab.index.changes(0, 100)] == [info.upto + 1]


async def test_changes_since_the_snapshot_before_stay_known(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """Whoever brings them onto nodes may not have all of them there yet."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    before = await snapshots.create()
    await commits.run(put(b"b", b"1"))
    info = await snapshots.create()
    assert info.after == before.upto
    assert next(change.sequence for change in lab.index.changes(0, 100)) == before.upto + 1


# ---------------------------------------------------------------- failure


class FullFiles(MemoryFiles):
    """A disk without space, when told so."""

    full = False

    def draft(self) -> Draft:
        if self.full:
            raise DiskFull("full")
        return super().draft()


async def test_a_snapshot_that_fails_changes_nothing() -> None:
    """The next one is complete."""
    files = FullFiles()
    lab = Lab(snapshots=files)
    commits, snapshots = lab.boot()
    await snapshots.start()
    await commits.run(put(b"a", b"1"))
    await snapshots.create()
    await commits.run(put(b"b", b"1"))
    files.full = True
    with pytest.raises(DiskFull):
        await snapshots.create()
    files.full = False
    await commits.run(put(b"c", b"1"))
    await snapshots.create()
    lab.logs = MemoryFiles()
    assert everything(lab.restored()[0]) == everything(lab.index)
    await commits.close()
    await snapshots.close()


async def test_closing_gives_up_a_snapshot_that_is_being_written(lab: Lab) -> None:
    """Nothing of it is left, and later ones are refused."""
    commits, snapshots = lab.boot()
    await snapshots.start()
    await commits.run(put(b"a", b"1"))
    taking = asyncio.create_task(snapshots.create())
    await asyncio.sleep(0)
    await snapshots.close()
    with pytest.raises(Draining):
        await taking
    assert lab.snapshots.list() == []
    with pytest.raises(Draining):
        await snapshots.create()
    await commits.close()


async def test_what_is_damaged_is_passed_over_for_the_next_best(
    lab: Lab, running: tuple[CommitQueue, Snapshots]
) -> None:
    """And named. Where a damaged one was asked for, that is an error."""
    commits, snapshots = running
    states = []
    infos = []
    for n, full in enumerate((True, False, True, False)):
        await commits.run(put(b"a", b"%d" % n))
        infos.append(await snapshots.create(full=full))
        states.append(everything(lab.index))
    lab.logs = MemoryFiles()
    for n in (3, 2, 1):
        assert everything(lab.restored()[0]) == states[n]
        lab.snapshots.files[infos[n].name][-1] ^= 1
        index, report = lab.restored()
        assert everything(index) == states[n - 1]
        assert infos[n].name in dict(report.unusable)
        assert report.lost >= infos[n].upto - report.upto
        with pytest.raises(SnapshotDamaged):
            lab.restored(infos[n].name)
    lab.snapshots.files[infos[0].name][100] ^= 1
    with pytest.raises(SnapshotNotFound):
        lab.restored()


@pytest.mark.parametrize("harm", ["cut", "longer", "renamed", "empty"])
async def test_no_kind_of_damage_is_restored(lab: Lab, running: tuple[CommitQueue, Snapshots], harm: str) -> None:
    """A file must be the one its name says, from its first byte to its last."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    info = await snapshots.create()
    data = lab.snapshots.files[info.name]
    name = info.name
    match harm:
        case "cut":
            del data[-10:]
        case "longer":
            data += b"more"
        case "empty":
            del data[:]
        case _:
            name = f"{info.upto + 1:016x}" + info.name[16:]
            lab.snapshots.files[name] = lab.snapshots.files.pop(info.name)
    with pytest.raises(SnapshotDamaged):
        lab.restored(name)


async def test_foreign_files_in_the_folder_do_no_harm(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """They are no snapshots and no logs."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    info = await snapshots.create()
    for files in (lab.snapshots, lab.logs):
        files.files["readme.txt"] = bytearray(b"hello")
    assert [found.name for found in await snapshots.list()] == [info.name]
    await snapshots.create(full=True)
    await snapshots.expire(1)
    assert everything(lab.restored()[0]) == everything(lab.index)
    assert "readme.txt" in lab.snapshots.files


# ---------------------------------------------------------------- expiry


async def test_expiry_removes_old_sets_and_their_keys(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """Files, log records and keys; the newest sets stay and can be restored."""
    commits, snapshots = running
    sets = []
    for day in range(4):
        for hour in range(2):
            await commits.run(put(b"a", b"%d %d" % (day, hour)))
            sets.append(await snapshots.create())
            lab.clock.advance(DAY_S / 2)
    assert len({info.key_id for info in sets}) == 4
    await snapshots.expire()
    assert [info.name for info in await snapshots.list()] == [info.name for info in sets[4:]]
    kept = {key.key_id for key in lab.keys.list()}
    assert kept == {info.key_id for info in sets[4:]}
    assert all(bytes.fromhex(file.name[:32]) in kept for file in lab.logs.list())
    assert everything(lab.restored()[0]) == everything(lab.index)
    assert await snapshots.expire() == 0


async def test_sets_have_an_order_whatever_the_clock_says(lab: Lab) -> None:
    """A clock that steps back makes no old set new: neither for expiry nor for the log of the next start."""
    commits, snapshots = lab.boot()
    await snapshots.start()
    for _ in range(3):
        await commits.run(put(b"a", b"1"))
        await snapshots.create(full=True)
        lab.clock.step_wall(-3600)
    await snapshots.close()
    newest = (await snapshots.list())[-1]
    assert newest.key_id == lab.keys.list()[-1].key_id
    commits, snapshots = lab.boot()
    await snapshots.start()
    await commits.run(put(b"a", b"2"))
    await snapshots.flush()
    await snapshots.expire(1)
    assert [info.name for info in await snapshots.list()] == [newest.name]
    assert everything(lab.restored()[0]) == everything(lab.index)
    await commits.close()
    await snapshots.close()


async def test_an_expired_sets_copy_cannot_be_opened(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """Whoever kept the file has no key for it: promise 5."""
    commits, snapshots = running
    await commits.run(put(b"body", b"a wrapped key", Table.BODIES))
    old = await snapshots.create()
    copy = bytes(lab.snapshots.files[old.name])
    await commits.run(remove(b"body", Table.BODIES))
    await snapshots.create(full=True)
    assert await snapshots.expire(1) == 2  # that of the start, which only has log records, too
    lab.snapshots.files[old.name] = bytearray(copy)
    with pytest.raises(SnapshotDamaged, match="keyring"):
        lab.restored(old.name)


# ---------------------------------------------------------------- the log


async def test_log_records_bring_back_what_came_after_the_snapshot(
    lab: Lab, running: tuple[CommitQueue, Snapshots]
) -> None:
    """Up to the last flush; the rest is a crash's."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    await snapshots.create()
    await commits.run(put(b"b", b"1"))
    await commits.run(remove(b"a"))
    await snapshots.flush()
    flushed = everything(lab.index)
    await commits.run(put(b"c", b"1"))
    lab.logs = lab.logs.after_crash()
    index, report = lab.restored()
    assert everything(index) == flushed
    assert report.upto == lab.index.sequence() - 1


async def test_the_log_is_synced_every_second(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """By itself."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    await snapshots.create()
    await commits.run(put(b"b", b"1"))
    lab.clock.advance(1.1)
    for _ in range(10):
        await asyncio.sleep(0)
    lab.logs = lab.logs.after_crash()
    assert everything(lab.restored()[0]) == everything(lab.index)


async def test_a_large_commit_is_written_at_once(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """Memory of waiting records is bounded."""
    commits, _ = running
    await commits.run(put(b"a", bytes(1_500_000), Table.INLINE))
    assert sum(file.size_bytes for file in lab.logs.list()) > 1_500_000


async def test_a_snapshot_deletes_the_log_files_it_covers(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """And no other."""
    commits, snapshots = running
    for n in range(5):
        await commits.run(put(b"a", b"%d" % n))
        await snapshots.create()
    await snapshots.flush()
    assert len(lab.logs.list()) == 1  # the newest mark's own commit
    other = lab.logs.append_to("0" * 32 + "-" + "0" * 16 + "-" + "1" * 32 + ".log")
    await commits.run(put(b"a", b"last"))
    await snapshots.create()
    assert len(lab.logs.list()) == 1  # a file that somebody writes stays
    other.close()


async def test_replay_stops_at_the_first_gap(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """What is behind it is told, not applied; its numbers are not used again."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    await snapshots.create()
    await commits.run(put(b"b", b"1"))
    await snapshots.create(full=True)
    await snapshots.flush()
    second = next(info for info in await snapshots.list() if info.after is None and info.upto > 2)
    await commits.run(put(b"c", b"1"))
    await snapshots.flush()
    lab.snapshots.delete(second.name)
    index, report = lab.restored()
    assert everything(index) == {(Table.OBJECTS, b"a"): b"1"}
    assert report.lost == lab.index.sequence() - report.upto
    assert index.sequence() >= lab.index.sequence()


async def test_a_torn_end_of_the_log_is_tolerated(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """At any byte: what is whole counts."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    await snapshots.create()
    states = {}
    for n in range(3):
        await commits.run(put(b"b", b"%d" % n))
        await snapshots.flush()
        (file,) = [f for f in lab.logs.list() if f.growing]
        states[file.size_bytes] = everything(lab.index)
    whole = bytes(lab.logs.files[file.name])
    first = min(states)
    for size in range(first, len(whole) + 1):
        lab.logs.files[file.name] = bytearray(whole[:size])
        expected = states[max(end for end in states if end <= size)]
        assert everything(lab.restored()[0]) == expected


async def test_a_log_that_is_ahead_of_its_index_is_void(lab: Lab) -> None:
    """``sync = os`` and a power failure: numbers are not used again, and the next snapshot is a full one."""
    commits, snapshots = lab.boot()
    await snapshots.start()
    await commits.run(put(b"a", b"1"))
    await snapshots.create()
    kept, _ = lab.restored()
    await commits.run(put(b"a", b"lost"))
    await commits.close()
    await snapshots.close()
    ahead = lab.index.sequence()
    behind = MemoryIndex()
    for (table, key), value in everything(kept).items():
        behind.transact([put(key, value, table)])
    lab.index = behind
    commits, snapshots = lab.boot()
    await snapshots.start()
    assert lab.index.sequence() == ahead
    await commits.run(put(b"b", b"1"))
    info = await snapshots.create()
    assert info.after is None
    assert info.upto == ahead + 1
    assert everything(lab.restored()[0]) == {(Table.OBJECTS, b"a"): b"1", (Table.OBJECTS, b"b"): b"1"}
    await commits.close()
    await snapshots.close()


async def test_a_log_that_cannot_be_written_disturbs_no_commit() -> None:
    """It begins anew with the next snapshot."""

    class Broken(MemoryFiles):
        broken = True

        def append_to(self, name: str) -> Appender:
            if self.broken:
                raise DiskFull("full")
            return super().append_to(name)

    files = Broken()
    lab = Lab(logs=files)
    commits, snapshots = lab.boot()
    await snapshots.start()
    await commits.run(put(b"a", b"1"))
    await snapshots.flush()
    await commits.run(put(b"b", b"1"))
    files.broken = False
    await snapshots.create()
    await commits.run(put(b"c", b"1"))
    await snapshots.flush()
    assert everything(lab.restored()[0]) == everything(lab.index)
    await commits.close()
    await snapshots.close()


async def test_two_processes_log_side_by_side(lab: Lab, running: tuple[CommitQueue, Snapshots]) -> None:
    """Each in files of its own; they are merged by commit number."""
    commits, snapshots = running
    await commits.run(put(b"a", b"1"))
    await snapshots.create()
    logs = [RedoLog(lab.logs, STORE, lab.entropy) for _ in range(2)]
    for redo in logs:
        redo.begin(lab.keys.list()[-1])
    await snapshots.flush()
    for n in range(6):
        lab.index.follow(logs[n % 2].append)
        await commits.run(put(b"%d" % n, b"turn"))
    for redo in logs:
        redo.close()
    assert len(lab.logs.list()) == 3
    assert everything(lab.restored()[0]) == everything(lab.index)
