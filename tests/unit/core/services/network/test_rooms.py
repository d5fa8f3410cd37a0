"""What reads want is put where it belongs; edges of stretches are kept; digests are computed in batches."""

import asyncio

import pytest

from noisefs.adapters.outbound.system.threads import ThreadWorkers
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.ports.packs import PackRead
from noisefs.core.services.network.reading.asking import Place
from noisefs.core.services.network.reading.digests import Digests
from noisefs.core.services.network.reading.edges import Edges
from noisefs.core.services.network.reading.rooms import Wanted

SIZE = 16
PACK, OTHER = PackId(b"p" * 16), PackId(b"q" * 16)


def block(place: Place) -> bytes:
    """The block at a place: each byte tells where it is."""
    return bytes((place[0][0] + place[1] * 31 + at) % 256 for at in range(SIZE))


def _fill(wanted: Wanted) -> None:
    for place, room in wanted.rooms.items():
        room[:] = block(place)
    wanted.hand_out()


@pytest.mark.parametrize("offset", [0, 1, 7, 15, 16, 40])
@pytest.mark.parametrize("lengths", [[16], [64], [1], [10, 22, 3], [16, 16], [50, 0, 14], [5, 16, 16, 16, 5]])
def test_reads_get_their_bytes(offset: int, lengths: list[int]) -> None:
    stream = b"".join(block((PACK, at)) for at in range(20))
    buffers = [memoryview(bytearray(length)) for length in lengths]
    wanted = Wanted(SIZE)
    wanted.add(PackRead(PACK, 3, buffers, offset))
    _fill(wanted)
    start = 3 * SIZE + offset
    assert b"".join(buffers) == stream[start : start + sum(lengths)]
    assert set(wanted.rooms) == {(PACK, at) for at in range(start // SIZE, -(-(start + sum(lengths)) // SIZE))}


def test_whole_blocks_are_put_there_without_a_copy() -> None:
    buffer = bytearray(4 * SIZE)
    wanted = Wanted(SIZE)
    wanted.add(PackRead(PACK, 5, [memoryview(buffer)]))
    for place, room in wanted.rooms.items():
        room[:] = block(place)
    assert bytes(buffer) == b"".join(block((PACK, at)) for at in range(5, 9))


def test_a_block_that_two_want_has_one_room() -> None:
    one, two, part = (memoryview(bytearray(size)) for size in (2 * SIZE, 2 * SIZE, 3))
    wanted = Wanted(SIZE)
    wanted.add(PackRead(PACK, 1, [one]))
    wanted.add(PackRead(PACK, 2, [two]))
    wanted.add(PackRead(PACK, 2, [part], 4))
    _fill(wanted)
    assert len(wanted.rooms) == 3
    assert one[SIZE:] == two[:SIZE] == block((PACK, 2))
    assert part == block((PACK, 2))[4:7]


def test_only_some_blocks_of_a_read_may_be_wanted() -> None:
    buffer = memoryview(bytearray(3 * SIZE))
    wanted = Wanted(SIZE)
    wanted.add(PackRead(PACK, 0, [buffer]), only={(PACK, 1)})
    _fill(wanted)
    assert buffer == bytes(SIZE) + block((PACK, 1)) + bytes(SIZE)


def _rooms(*places: Place) -> dict[Place, memoryview]:
    return {place: memoryview(bytearray(block(place))) for place in places}


def _found(edges: Edges, *places: Place) -> list[Place]:
    """Which of these are kept; their bytes are right."""
    rooms = {place: memoryview(bytearray(SIZE)) for place in places}
    left = edges.without(rooms)
    found = [place for place in places if place not in left]
    assert all(rooms[place] == block(place) for place in found)
    return found


def test_the_ends_of_each_stretch_are_kept() -> None:
    edges = Edges(1000)
    here = [(PACK, at) for at in (*range(3, 9), *range(20, 24), 40, 41)]
    there = [(OTHER, at) for at in range(9, 14)]
    edges.keep(_rooms(*reversed(here), *there))
    assert _found(edges, *here, *there) == [(PACK, 3), (PACK, 8), (PACK, 20), (PACK, 23), (OTHER, 9), (OTHER, 13)]


def test_what_is_kept_is_a_copy_and_bounded() -> None:
    edges = Edges(4 * SIZE)
    rooms = _rooms(*((PACK, at) for at in range(4)))
    edges.keep(rooms)
    for room in rooms.values():
        room[:] = bytes(SIZE)
    assert _found(edges, (PACK, 0), (PACK, 3)) == [(PACK, 0), (PACK, 3)]
    for number in range(1, 5):
        edges.keep(_rooms(*((PACK, 10 * number + at) for at in range(4))))
    assert _found(edges, (PACK, 0), (PACK, 30), (PACK, 33), (PACK, 40), (PACK, 43)) == [
        (PACK, 30),
        (PACK, 33),
        (PACK, 40),
        (PACK, 43),
    ]
    Edges(SIZE - 1).keep(rooms)


async def test_digests_tell_right_blocks_from_wrong_ones() -> None:
    workers = ThreadWorkers()
    digests = Digests(workers)
    blocks = [bytes([number]) * 1000 for number in range(100)]
    names = [compute_block_id(one) for one in blocks]
    swapped = [*names[:50], *reversed(names[50:])]
    fits = await asyncio.gather(
        *(digests.fit(name, memoryview(one)) for name, one in zip(swapped, blocks, strict=True))
    )
    assert fits == [True] * 50 + [False] * 50
    assert await digests.fit(names[0], memoryview(blocks[0]))
    await digests.close()
    await asyncio.to_thread(workers.close)


async def test_digests_that_nobody_computes_any_more_end() -> None:
    workers = ThreadWorkers()
    digests = Digests(workers)
    waiting = [asyncio.create_task(digests.fit(compute_block_id(b""), memoryview(b""))) for _ in range(40)]
    await asyncio.sleep(0)
    await digests.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(result is True or isinstance(result, asyncio.CancelledError) for result in results)
    await asyncio.to_thread(workers.close)
