"""Laws of sealing: exact round trips, nothing altered is ever opened, no nonce for two plaintexts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.ids import BodyId, PackId, StoreId
from noisefs.core.domain.packs.manifest import (
    Entry,
    FillerEntry,
    LogEntry,
    Manifest,
    RunEntry,
    SharedEntry,
    entry_end,
    open_manifest,
    seal_manifest,
)
from noisefs.core.domain.records import SeedInfo
from noisefs.core.domain.sealing import segment as sealing
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.domain.sealing.shared_cell import SharedCellBuilder, open_directory
from noisefs.core.errors import PackDamaged, SegmentDamaged

S = 48
CELL = S + 16

ids = st.binary(min_size=16, max_size=16)
keys = st.binary(min_size=32, max_size=32)
generations = st.integers(0, 2**32 - 1)
segments = st.integers(0, 2**56 - 20)
plains = st.integers(1, 9).flatmap(lambda n: st.binary(min_size=n * S, max_size=n * S))


def cipher(key: bytes, store_id: bytes, body_id: bytes, body_format: int = 1) -> BodyCipher:
    return BodyCipher(key, StoreId(store_id), BodyId(body_id), body_format)


def sealed(body: BodyCipher, plain: bytes, first: int, generation: int, *, final: bool) -> bytearray:
    out = bytearray(len(plain) // S * CELL)
    body.seal_segments(memoryview(plain), first, generation, S, memoryview(out), final=final)
    return out


@given(key=keys, store_id=ids, body_id=ids, plain=plains, first=segments, generation=generations, final=st.booleans())
def test_segments_come_back_byte_exact_in_any_grouping(
    key: bytes, store_id: bytes, body_id: bytes, plain: bytes, first: int, generation: int, final: bool
) -> None:
    body = cipher(key, store_id, body_id)
    cells = sealed(body, plain, first, generation, final=final)
    count = len(plain) // S

    together = bytearray(len(plain))
    body.open_segments(memoryview(cells), first, generation, S, memoryview(together), final=final)
    assert together == plain

    for i in range(count):
        one = bytearray(S)
        cell = memoryview(cells)[i * CELL : (i + 1) * CELL]
        body.open_segments(cell, first + i, generation, S, memoryview(one), final=final and i == count - 1)
        assert one == plain[i * S : (i + 1) * S]


@given(key=keys, store_id=ids, body_id=ids, plain=plains, first=segments, generation=generations, data=st.data())
def test_a_changed_bit_is_found_in_its_segment_and_nothing_of_it_is_left(
    key: bytes, store_id: bytes, body_id: bytes, plain: bytes, first: int, generation: int, data: st.DataObject
) -> None:
    body = cipher(key, store_id, body_id)
    cells = sealed(body, plain, first, generation, final=True)
    bit = data.draw(st.integers(0, len(cells) * 8 - 1))
    cells[bit // 8] ^= 1 << bit % 8
    bad = bit // 8 // CELL
    out = bytearray(b"\xee" * len(plain))

    with pytest.raises(SegmentDamaged) as caught:
        body.open_segments(memoryview(cells), first, generation, S, memoryview(out), final=True)

    assert caught.value.segment == first + bad
    assert out[: bad * S] == plain[: bad * S]
    assert not any(out[bad * S :])


@given(
    key=keys,
    store_id=ids,
    body_id=ids,
    plain=st.binary(min_size=S, max_size=S),
    number=segments,
    generation=st.integers(0, 2**32 - 2),
    final=st.booleans(),
)
def test_a_segment_opens_only_as_what_it_is(
    key: bytes, store_id: bytes, body_id: bytes, plain: bytes, number: int, generation: int, final: bool
) -> None:
    """Another store, body, format, generation, number or final flag: each alone makes the tag fail."""
    cells = memoryview(sealed(cipher(key, store_id, body_id), plain, number, generation, final=final))
    other = bytes([store_id[0] ^ 1]) + store_id[1:]
    elsewhere = bytes([body_id[0] ^ 1]) + body_id[1:]
    right = cipher(key, store_id, body_id)
    attempts = [
        (cipher(key, other, body_id), number, generation, final),
        (cipher(key, store_id, elsewhere), number, generation, final),
        (cipher(key, store_id, body_id, 2), number, generation, final),
        (right, number, generation + 1, final),
        (right, number + 1, generation, final),
        (right, number, generation, not final),
    ]
    for body, at, under, last in attempts:
        with pytest.raises(SegmentDamaged):
            body.open_segments(cells, at, under, S, memoryview(bytearray(S)), final=last)


@given(key=keys, store_id=ids, body_id=ids, plain=st.binary(max_size=200), number=segments, generation=generations)
def test_slices_come_back_and_a_slice_is_not_another_one(
    key: bytes, store_id: bytes, body_id: bytes, plain: bytes, number: int, generation: int
) -> None:
    body = cipher(key, store_id, body_id)
    raw = body.seal_slice(plain, number, generation)

    assert len(raw) == len(plain) + 16
    assert body.open_slice(raw, number, generation) == plain
    for wrong in (raw[:-1], raw[1:], raw + b"\0", b""):
        with pytest.raises(SegmentDamaged):
            body.open_slice(wrong, number, generation)
    with pytest.raises(SegmentDamaged):
        body.open_slice(raw, number + 1, generation)


nonce_inputs = st.tuples(generations, st.integers(0, 2**56 - 1), st.booleans())


@settings(max_examples=300)
@given(one=nonce_inputs, other=nonce_inputs)
def test_different_segments_never_share_a_nonce(one: tuple[int, int, bool], other: tuple[int, int, bool]) -> None:
    left, right = (sealing.nonce(generation, number, final=final) for generation, number, final in (one, other))
    assert (left == right) is (one == other)
    assert len(left) == 12


entries_shape = st.lists(
    st.tuples(
        st.sampled_from(["run", "shared", "filler", "log"]), st.integers(0, 3), st.integers(1, 9), st.integers(0, 2**50)
    ),
    max_size=60,
)


@given(
    shape=entries_shape,
    store_key=keys,
    store_id=ids,
    pack_id=ids,
    body_id=ids,
    salt=st.binary(min_size=24, max_size=24),
)
def test_manifests_come_back_as_they_were(
    shape: list[tuple[str, int, int, int]],
    store_key: bytes,
    store_id: bytes,
    pack_id: bytes,
    body_id: bytes,
    salt: bytes,
) -> None:
    entries: list[Entry] = []
    free = 4
    for kind, gap, count, number in shape:
        at = free + gap
        made: Entry
        match kind:
            case "run":
                made = RunEntry(at, count, 1, BodyId(body_id), number, number % 4, number % 2**32)
            case "shared":
                made = SharedEntry(at, number % 4, number % 2**32)
            case "filler":
                made = FillerEntry(at, count)
            case _:
                made = LogEntry(at, number, count)
        if entry_end(made) >= 511:
            break
        entries.append(made)
        free = entry_end(made)
    seeds = (SeedInfo(PackId(pack_id), 9, BodyId(body_id)), SeedInfo(None), SeedInfo(None), SeedInfo(None))
    manifest = Manifest(PackId(pack_id), "chain", 7, seeds, free + 1, tuple(entries))

    cell = seal_manifest(
        manifest, store_key=store_key, store_id=StoreId(store_id), segment_bytes=8192, salt=salt, padding=_noise
    )

    def opened(key: bytes, store: bytes, pack: bytes, blocks: int) -> Manifest:
        return open_manifest(
            cell,
            store_key=key,
            store_id=StoreId(store),
            pack_id=PackId(pack),
            blocks=blocks,
            segment_bytes=8192,
        )

    assert len(cell) == 8192 + 16
    assert opened(store_key, store_id, pack_id, free + 1) == manifest
    other = bytes([pack_id[0] ^ 1]) + pack_id[1:]
    for wrong in ((store_key, store_id, other, free + 1), (store_key, store_id, pack_id, free + 2)):
        with pytest.raises(PackDamaged):
            opened(*wrong)


@given(
    sizes=st.lists(st.integers(1, 900), max_size=12),
    store_key=keys,
    store_id=ids,
    pack_id=ids,
    number=st.integers(0, 511),
)
def test_shared_cells_name_every_slice_where_it_lies(
    sizes: list[int], store_key: bytes, store_id: bytes, pack_id: bytes, number: int
) -> None:
    builder = SharedCellBuilder(2064)
    placed = []
    for at, size in enumerate(sizes):
        piece = min(size, builder.room())
        if piece:
            data, body_id = bytes([at]) * piece, BodyId(bytes([at]) * 16)
            offset = builder.add(body_id, at, at + 1, size - piece, size, data)
            placed.append((body_id, at, at + 1, offset, data, size - piece, size))

    cell = builder.seal(
        store_key=store_key, store_id=StoreId(store_id), pack_id=PackId(pack_id), cell_number=number, padding=_noise
    )
    found = open_directory(
        cell, store_key=store_key, store_id=StoreId(store_id), pack_id=PackId(pack_id), cell_number=number
    )

    assert len(cell) == 2064
    assert [
        (
            entry.body_id,
            entry.segment,
            entry.generation,
            entry.offset,
            cell[entry.offset : entry.offset + entry.length],
            entry.piece_offset,
            entry.piece_total,
        )
        for entry in found
    ] == placed
    with pytest.raises(PackDamaged):
        open_directory(
            cell, store_key=store_key, store_id=StoreId(store_id), pack_id=PackId(pack_id), cell_number=number + 1
        )


def _noise(into: memoryview) -> None:
    into[:] = b"\xa5" * len(into)
