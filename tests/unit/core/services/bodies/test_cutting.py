"""Reads of a deleted object end within a minute; those of a replaced one may go on."""

import pytest

from noisefs.core.domain.requests import Attributes, Principal
from noisefs.core.errors import Unavailable
from noisefs.core.services.store import Store
from tests.support.bodies import content
from tests.support.stores import administrator, memory_store, pieces

S = 131072


async def put(store: Store, who: Principal, seed: int) -> None:
    await store.objects.put(who, "bucket", "key", pieces(content(40 * S, seed), 1 << 20), Attributes())


async def test_a_read_of_a_deleted_object_is_cut() -> None:
    async with memory_store() as (store, parts):
        who = await administrator(store)
        await store.buckets.create(who, "bucket")
        await put(store, who, 1)
        async with await store.objects.open(who, "bucket", "key") as opened:
            chunks = opened.chunks()
            await anext(chunks)
            await store.objects.delete(who, "bucket", "key")
            parts.clock.advance(46)
            await store.watch.run()
            with pytest.raises(Unavailable, match="deleted"):
                async for _chunk in chunks:
                    pass


async def test_a_read_of_a_replaced_object_goes_on() -> None:
    async with memory_store() as (store, parts):
        who = await administrator(store)
        await store.buckets.create(who, "bucket")
        await put(store, who, 1)
        async with await store.objects.open(who, "bucket", "key") as opened:
            await put(store, who, 2)
            parts.clock.advance(600)
            await store.watch.run()
            assert b"".join([bytes(chunk) async for chunk in opened.chunks()]) == content(40 * S, 1)
