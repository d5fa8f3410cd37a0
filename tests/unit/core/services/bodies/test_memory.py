"""What readers keep in memory: cells and slices within a bound, keys only while somebody uses them."""

from noisefs.core.domain.ids import BodyId, PackId
from noisefs.core.domain.records import TAIL_NONE, Extent, Run
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.services.bodies import known
from noisefs.core.services.bodies.hot import HotTier, Slice
from noisefs.core.services.bodies.known import Known, KnownBodies
from noisefs.core.services.caching.entry import ENTRY_BYTES, Why
from tests.support.bodies import content, put_body
from tests.support.faults import S, faulty_store

ONE, TWO = BodyId(b"1" * 16), BodyId(b"2" * 16)
RUN = Run(PackId(b"p" * 16), 4, 2, 0, 0)
SIZE = 1000


def known_body(body_id: BodyId) -> Known:
    """A body with some key."""
    return Known(1, BodyCipher(b"k" * 32, b"s" * 16, body_id, 1), TAIL_NONE)  # type: ignore[arg-type]  # any store id


def test_cells_are_given_only_if_all_are_there() -> None:
    """A half is no help: the blocks of the other half hold it anyway."""
    hot = HotTier(10 * (SIZE + ENTRY_BYTES))
    hot.keep_cells(ONE, 5, RUN, memoryview(b"a" * SIZE + b"b" * SIZE), SIZE)
    found = hot.cells(ONE, 5, 2)
    assert found is not None
    assert [(run, bytes(cell[:1]), number) for run, cell, number in found] == [(RUN, b"a", 5), (RUN, b"b", 6)]
    assert hot.cells(ONE, 5, 3) is None
    assert hot.cells(TWO, 5, 1) is None
    hot.forget(ONE, 6, 1)
    assert hot.cells(ONE, 6, 1) is None
    assert hot.cells(ONE, 5, 1) is not None


def test_the_bound_counts_what_an_entry_costs() -> None:
    """A million slices of one byte are no million bytes."""
    hot = HotTier(3 * ENTRY_BYTES + 3)
    for segment in range(10):
        hot.keep_slice(ONE, segment, Slice(b"x", 0))
    assert [segment for segment in range(10) if hot.slice(ONE, segment)] == [7, 8, 9]


def test_what_is_larger_than_the_tier_is_not_kept() -> None:
    """And does no harm."""
    hot = HotTier(ENTRY_BYTES)
    hot.keep_slice(ONE, 0, Slice(b"x", 0))
    hot.keep_cells(ONE, 1, RUN, memoryview(b"a" * SIZE), SIZE)
    assert hot.slice(ONE, 0) is None
    assert hot.cells(ONE, 1, 1) is None


def test_a_key_stays_while_it_is_used_and_goes_when_it_is_not() -> None:
    """Two calls of ``age`` without a look between them are the end."""
    bodies = KnownBodies()
    bodies.keep(ONE, known_body(ONE))
    bodies.keep(TWO, known_body(TWO))
    for _ in range(3):
        bodies.age()
        assert bodies.get(ONE) is not None
    assert bodies.get(TWO) is None
    bodies.forget([ONE])
    assert bodies.get(ONE) is None


def test_keys_are_bounded() -> None:
    """The older half goes."""
    bodies = KnownBodies()
    for number in range(2 * known.MOST + 1):
        body_id = BodyId(number.to_bytes(16, "big"))
        bodies.keep(body_id, known_body(body_id))
    assert bodies.get(BodyId((0).to_bytes(16, "big"))) is None
    assert bodies.get(BodyId((2 * known.MOST).to_bytes(16, "big"))) is not None


async def test_reading_in_memory_gives_what_was_read_before_and_only_that() -> None:
    """Whole, a range, a slice; over the border between segments and slice it is somebody else's work."""
    data = content(3 * S + 100)
    async with faulty_store() as (store, _parts):
        extents: list[Extent] = list(await put_body(store, data, piece=1 << 20))
        reader = store.body_reader
        assert reader.read_in_memory(extents, 0, 10) is None
        with_pins = store.index.read(lambda tx: reader.open(tx, extents))
        async with with_pins as opened:
            assert b"".join([bytes(piece) async for piece in opened.chunks(0, len(data))]) == data
        for start, end in ((0, 10), (S - 5, S + 5), (0, 3 * S), (3 * S, 3 * S + 100), (3 * S + 7, 3 * S + 9)):
            found = reader.read_in_memory(extents, start, end)
            assert found is not None
            assert bytes(found) == data[start:end]
        assert reader.read_in_memory(extents, 3 * S - 1, 3 * S + 1) is None
        reader.readers.claim([extents[0].body_id])
        assert reader.read_in_memory(extents, 0, 10) is None


def test_a_window_larger_than_memory_leaves_what_the_policy_keeps() -> None:
    """What was admitted first has gone again when the bytes are copied."""
    hot = HotTier(3 * (SIZE + ENTRY_BYTES))
    hot.keep_cells(ONE, 0, RUN, memoryview(bytes(8 * SIZE)), SIZE, why=Why.SEQUENTIAL)
    held = [number for number in range(8) if hot.holds((ONE, number))]
    assert len(held) == hot.state().entries == hot.with_policy(len) == 3
    assert all(hot.cells(ONE, number, 1) is not None for number in held)
    outcome = hot.outcome(Why.SEQUENTIAL)
    assert (outcome.used_cells, outcome.wasted_cells, outcome.waiting_bytes) == (3, 5, 0)
