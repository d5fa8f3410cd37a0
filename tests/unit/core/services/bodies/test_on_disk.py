"""The same over SQLite and pack files, with threads."""

import asyncio
from pathlib import Path

from tests.support.bodies import content, get_body, put_body
from tests.support.stores import local_store

S = 131072


async def test_bodies_survive_a_restart(tmp_path: Path) -> None:
    datas = [content(size) for size in (0, 1, 5000, S - 1, S, S + 1, 5 * S + 7, 600 * S + 3)]
    async with local_store(tmp_path) as store:
        found = await asyncio.gather(*(put_body(store, data) for data in datas))
        for extents, data in zip(found, datas, strict=True):
            assert await get_body(store, extents) == data
        await store.packer.run(flush=True)
    async with local_store(tmp_path) as store:
        for extents, data in zip(found, datas, strict=True):
            assert await get_body(store, extents) == data
        assert (await store.scrubber.run()).clean
        assert store.auditor.orphans().clean


async def test_a_large_body_is_exact(tmp_path: Path) -> None:
    data = content(100 * (1 << 20) + 3)
    async with local_store(tmp_path) as store:
        extents = await put_body(store, data, piece=1 << 18)
        assert await get_body(store, extents) == data
