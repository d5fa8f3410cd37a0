"""Recording reads: hashes in place of bodies, bounded memory, one listener, and none who stays away."""

import pytest

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.core.domain.caching.asker import STORE, Asker, Protocol
from noisefs.core.domain.ids import BodyId
from noisefs.core.errors import Conflict, NotFound
from noisefs.core.services.caching.recording import LEASE_S, MOST_HEARD, ROWS_A_TURN, Recording, Turn
from tests.support.bodies import content, get_body, put_body
from tests.support.network import networked_store

S = 131072
KEY = bytes(range(32))
ONE, TWO = BodyId(b"1" * 16), BodyId(b"2" * 16)
DAV = Asker(Protocol.WEBDAV)


def rows(turn: Turn) -> list[list[str]]:
    """Fields of each line."""
    return [line.split(",") for line in turn.rows.splitlines()]


async def test_every_read_of_a_store_is_a_row_for_each_cell() -> None:
    async with networked_store("one") as net:
        extents = await put_body(net.store, content(3 * S + 100))
        recordings = net.store.recordings
        assert recordings.begin("name", KEY).rows == ""
        await get_body(net.store, extents)
        await get_body(net.store, extents, S, S + 1)
        found = rows(recordings.take("name"))
        assert sorted(int(position) for _, _, _, _, position, _, _ in found) == [0, 1, 1, 2, 3]
        assert {object_ for _, _, _, object_, _, _, _ in found} == {found[0][3]}
        assert len({cell for _, cell, *_ in found}) == 4
        assert {protocol for *_, protocol, _ in found} == {"background"}
        assert extents[0].body_id.hex() not in str(found)
        recordings.end("name")
        assert net.store.body_reader.windows.recorder is None
        with pytest.raises(NotFound):
            recordings.take("name")


def test_the_same_cell_has_another_id_in_another_recording() -> None:
    def ids(key: bytes) -> list[str]:
        recording = Recording("name", key, ManualClock())
        for body_id in (ONE, ONE, TWO):
            recording.hear(body_id, 0, 1, 100, STORE)
        return [row[1] for row in rows(recording.take())]

    first, second = ids(KEY), ids(bytes(32))
    assert first[0] == first[1] != first[2]
    assert not set(first) & set(second)
    assert ids(KEY) == first


def test_what_follows_in_its_object_is_in_sequence_whoever_reads_between() -> None:
    clock = ManualClock()
    recording = Recording("name", KEY, clock)
    recording.hear(ONE, 4, 2, 100, DAV)
    clock.advance(1.5)
    recording.hear(TWO, 0, 1, 100, STORE)
    recording.hear(ONE, 6, 1, 100, DAV)
    recording.hear(ONE, 6, 1, 100, DAV)
    found = rows(recording.take())
    assert [(row[4], row[5], row[6]) for row in found] == [
        ("4", "webdav", "0"),
        ("5", "webdav", "1"),
        ("0", "background", "0"),
        ("6", "webdav", "1"),
        ("6", "webdav", "0"),
    ]
    assert int(found[2][0]) - int(found[0][0]) == 1_500_000


def test_what_is_not_taken_in_time_is_counted_and_memory_is_bounded() -> None:
    recording = Recording("name", KEY, ManualClock())
    for number in range(MOST_HEARD + 10):
        recording.hear(ONE, number, 2, 100, STORE)
    turns = [recording.take()]
    while turns[-1].more:
        turns.append(recording.take())
    assert [turn.lost for turn in turns[:2]] == [20, 0]
    assert sum(len(rows(turn)) for turn in turns) == 2 * MOST_HEARD
    assert max(len(rows(turn)) for turn in turns) <= ROWS_A_TURN + 1
    assert turns[0].until_us <= turns[-1].until_us


async def test_one_listens_at_a_time_and_nobody_who_stays_away() -> None:
    async with networked_store("one", clock=ManualClock()) as net:
        clock, recordings = net.clock, net.store.recordings
        assert isinstance(clock, ManualClock)
        extents = await put_body(net.store, content(100))
        recordings.begin("one", KEY)
        with pytest.raises(Conflict):
            recordings.begin("two", KEY)
        clock.advance(LEASE_S - 1)
        recordings.take("one")
        clock.advance(LEASE_S - 1)
        await get_body(net.store, extents)
        assert recordings.take("one").rows
        clock.advance(LEASE_S + 1)
        await get_body(net.store, extents)
        assert net.store.body_reader.windows.recorder is None
        with pytest.raises(NotFound):
            recordings.take("one")
        recordings.begin("two", KEY)
        recordings.end("one")
        assert net.store.body_reader.windows.recorder is not None
