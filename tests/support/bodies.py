"""Putting bodies into a store and getting them out, without a namespace."""

import hashlib
import random
from collections.abc import AsyncIterable

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.keyspace import object_key
from noisefs.core.domain.records import BodyState, Extent, Version, encode
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.bodies.references import release
from noisefs.core.services.store import Store
from tests.support.stores import joined, pieces


def content(size: int, seed: int = 0) -> bytes:
    """Reproducible bytes."""
    return random.Random(seed * 1000003 + size).randbytes(size)


async def put_body(store: Store, source: bytes | AsyncIterable[bytes], *, piece: int = 65536) -> tuple[Extent, ...]:
    """Take in, settle and publish one body; its extents."""
    stream = pieces(source, piece) if isinstance(source, bytes) else source
    staged = await store.body_writer.ingest(stream)
    async with staged:
        if isinstance(source, bytes):
            assert staged.digested.digests["MD5"] == hashlib.md5(source).digest()
            assert staged.digested.size == len(source)
        await staged.settle()

        def publish(tx: Writing) -> tuple[Extent, ...]:
            extents = staged.enlist(tx, BodyState.LIVE)
            # A row that refers to it, as a version would, so that audits find everything in order.
            row = Version(staged.digested.size, "", 0, UserId(""), extents=extents)
            tx.put(Table.OBJECTS, object_key(1, staged.body_id.hex()), encode(row))
            return extents

        return await store.commits.run(publish)


async def get_body(store: Store, extents: tuple[Extent, ...], start: int = 0, end: int | None = None) -> bytes:
    """Bytes of the extents, as a reader sees them."""
    stop = sum(extent.length for extent in extents) if end is None else end
    async with store.index.read(lambda tx: store.body_reader.open(tx, extents)) as opened:
        return await joined(opened.chunks(start, stop))


async def drop_body(store: Store, extents: tuple[Extent, ...]) -> None:
    """Take away the one reference."""

    def forget(tx: Writing) -> None:
        release(tx, extents, store.clock.now_us())
        for extent in extents:
            tx.delete(Table.OBJECTS, object_key(1, extent.body_id.hex()))

    await store.commits.run(forget)
