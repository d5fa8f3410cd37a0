"""Bytes that are given away where they are opened: the same bytes in the same order, whatever is taken of them."""

import random
from collections.abc import Callable

import pytest

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.records import Extent
from noisefs.core.errors import IntegrityError, Unavailable
from noisefs.core.services.bodies.windows import POUR_BYTES
from noisefs.core.services.store import Store
from tests.support.bodies import content, drop_body, put_body
from tests.support.stores import memory_store

S = 131072


class Sink:
    """Takes what ``appetite`` says, of what it is offered."""

    def __init__(self, appetite: Callable[[int], int]) -> None:
        self.got = bytearray()
        self.calls = 0
        self._appetite = appetite

    def take(self, piece: memoryview) -> int:
        """Keep a copy of the first bytes."""
        count = self._appetite(len(piece))
        self.got += piece[:count]
        self.calls += 1
        return count


async def poured(store: Store, extents: tuple[Extent, ...], sink: Sink, start: int, end: int) -> int:
    """Read into the sink, what it leaves too; how many pieces it left."""
    left = 0
    async with store.index.read(lambda tx: store.body_reader.open(tx, extents)) as opened:
        async for piece in opened.chunks(start, end, sink.take):
            sink.got += piece
            left += 1
    return left


@pytest.mark.parametrize("strategy", ["chain", "uniform", "fresh"])
@pytest.mark.parametrize("size", [1, S, 4 * S + 1, 8 * S, 17 * S + 5, 90 * S + 9])
async def test_a_body_is_poured_as_it_was_written(size: int, strategy: str) -> None:
    data = content(size)
    draw = random.Random(size)
    async with memory_store(Geometry(strategy=strategy)) as (store, _parts):
        extents = await put_body(store, data, piece=1 << 20)
        for appetite in (lambda n: n, lambda _n: 0, lambda n: draw.randint(0, n)):
            for start in (0, size // 3):
                sink = Sink(appetite)
                await poured(store, extents, sink, start, size)
                assert sink.got == data[start:]
        await store.packer.run(flush=True)
        sink = Sink(lambda n: n)
        await poured(store, extents, sink, 0, size)
        assert sink.got == data


async def test_extents_are_poured_one_after_another() -> None:
    one, two = content(12 * S + 10, 1), content(9 * S, 2)
    async with memory_store() as (store, _parts):
        (first,), (second,) = await put_body(store, one), await put_body(store, two)
        extents = (Extent(first.body_id, 5, 12 * S), Extent(second.body_id, S - 1, 7 * S), first)
        expected = one[5 : 12 * S + 5] + two[S - 1 : 8 * S - 1] + one
        sink = Sink(lambda n: n)
        await poured(store, extents, sink, 3, len(expected))
        assert sink.got == expected[3:]


async def test_a_reader_that_is_taken_from_leaves_nothing_and_shares_its_thread() -> None:
    """It gives away no more than ``POUR_BYTES`` in one hop, and nothing comes out of it as a piece."""
    data = content(3 * POUR_BYTES + S)
    async with memory_store() as (store, _parts):
        extents = await put_body(store, data, piece=1 << 20)
        sink = Sink(lambda n: n)
        assert await poured(store, extents, sink, 0, len(data)) <= 1  # the end may be at hand
        assert sink.got == data
        assert sink.calls >= 3 * POUR_BYTES // (8 * S)


async def test_what_is_poured_before_damage_is_right_and_nothing_follows() -> None:
    data = content(60 * S)
    async with memory_store() as (store, parts):
        extents = await put_body(store, data, piece=1 << 20)
        await store.writer.seal()
        (pack,) = parts.packs.list()
        parts.packs.overwrite(pack.pack_id, 4 + 30, bytes(S + 16))
        sink = Sink(lambda n: n)
        with pytest.raises(IntegrityError):
            await poured(store, extents, sink, 0, len(data))
        assert 8 * S <= len(sink.got) <= 30 * S
        assert sink.got == data[: len(sink.got)]


async def test_a_pour_of_a_deleted_body_is_cut_between_windows() -> None:
    data = content(60 * S)
    async with memory_store() as (store, parts):
        extents = await put_body(store, data, piece=1 << 20)

        def cutting(count: int) -> int:
            store.readers.cut(extents[0].body_id)
            return count

        sink = Sink(cutting)
        with pytest.raises(Unavailable, match="deleted"):
            await poured(store, extents, sink, 0, len(data))
        assert sink.calls == 1
        assert sink.got == data[: len(sink.got)]
        await drop_body(store, extents)
        parts.clock.advance(60)


async def test_a_body_that_moved_while_it_is_poured_is_found_again() -> None:
    """The places a reader knows may be old; it looks once more."""
    data = content(40 * S)
    async with memory_store() as (store, parts):
        other = await put_body(store, content(300 * S, 2), piece=1 << 20)
        extents = await put_body(store, data, piece=1 << 20)
        await store.writer.seal()
        await drop_body(store, other)
        await store.reaper.run()
        sink = Sink(lambda _n: 0)
        async with store.index.read(lambda tx: store.body_reader.open(tx, extents)) as opened:
            chunks = opened.chunks(0, len(data), sink.take)
            sink.got += await anext(chunks)
            packs = {pack.pack_id for pack in parts.packs.list()}
            await store.cleaner.run(everything=True)
            for pack in packs:
                parts.packs.drop(pack)
            async for piece in chunks:
                sink.got += piece
        assert sink.got == data
