"""What the policies of the tiers are told about a read: who asks, for what object, and what was read before."""

from functools import partial
from typing import TypeVar

import msgspec

from noisefs.core.domain.caching.access import Access
from noisefs.core.domain.caching.asker import Protocol, class_number
from noisefs.core.domain.caching.following import OBJECTS_MOST, Following
from noisefs.core.domain.caching.learned import Learned
from noisefs.core.domain.caching.policy import CachePolicy, Dropped, nobody
from noisefs.core.domain.records import Bucket, decode, encode
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.caching.learning import Decided
from noisefs.core.services.store import Store, StoreSettings
from tests.support.bodies import content
from tests.support.disk_cache import MIB, WarmParts
from tests.support.namespace import ALICE, PLAIN, stream
from tests.support.network import NetworkedStore, networked_store

T = TypeVar("T")

S = 131072


class Listening(Learned):
    """Learned, and remembers what it was told."""

    def __init__(self, capacity_bytes: int, dropped: Dropped = nobody) -> None:
        super().__init__(capacity_bytes, dropped)
        self.heard: list[Access] = []

    def read(self, access: Access) -> bool:
        """Remember, then decide."""
        self.heard.append(access)
        return super().read(access)


def heard(tier: Decided) -> list[tuple[int, int, int, bool]]:
    """Position, protocol, bucket class and whether in sequence, of all reads since the last look."""

    def take(policy: CachePolicy) -> list[Access]:
        assert isinstance(policy, Listening)
        told, policy.heard = policy.heard, []
        return told

    told = tier.with_policy(take)
    assert all(access.group is not None for access in told)
    assert all(access.neighbour == (access.group, access.position - 1) for access in told if access.position)
    return [(access.position, access.protocol, access.bucket_class, access.sequential) for access in told]


async def stored(net: NetworkedStore, size: int) -> Store:
    """A store with an object whose pack only the node has."""
    store = net.store
    await store.buckets.create(ALICE, "bucket")
    await store.objects.put(ALICE, "bucket", "key", stream(content(size)), PLAIN)
    await net.upload("one")
    net.take_away()
    return store


async def read(store: Store, protocol: Protocol, start: int, end: int) -> None:
    """Bytes of the object, as a protocol's adapter asks for them."""
    objects = store.objects.asked_by(protocol)
    if objects.quick.read(ALICE, "bucket", "key", lambda _: (start, end), MIB) is not None:
        return
    async with await objects.open(ALICE, "bucket", "key", wanted=lambda _: (start, end)) as opened:
        async for _ in opened.chunks(start, end):
            pass


def reclassify(tx: Writing, *, durability: str) -> None:
    """Give the bucket another class, without what that takes of packs."""
    raw = tx.get(Table.BUCKETS, b"bucket")
    assert raw is not None
    tx.put(Table.BUCKETS, b"bucket", encode(msgspec.structs.replace(decode(Bucket, raw), durability=durability)))


async def test_memory_hears_who_asks_and_what_came_before() -> None:
    settings = StoreSettings(prefetch_waste=0, policy_of=Listening)
    async with networked_store("one", settings=settings) as net:
        store = await stored(net, 4 * S)
        await read(store, Protocol.S3, 0, 10)
        await read(store, Protocol.WEBDAV, S, 3 * S)
        await read(store, Protocol.S3, S, S + 10)
        told = heard(store.cells.hot)
        assert told == [(0, 1, 0, False), (1, 2, 0, True), (2, 2, 0, True), (1, 1, 0, False)]


async def test_the_disk_cache_hears_it_too() -> None:
    settings = StoreSettings(hot_bytes=0, prefetch_waste=0)
    warm = WarmParts(max_bytes=16 * MIB).make(Listening)
    async with networked_store("one", settings=settings, warm=warm) as net:
        store = await stored(net, 3 * S)
        await read(store, Protocol.WEBDAV, 0, 10)
        await store.commits.run(partial(reclassify, durability="replicated:2"))
        await read(store, Protocol.S3, S, S + 10)
        await read(store, Protocol.BACKGROUND, S, S + 10)
        told = heard(warm)
        assert told == [(0, 2, 0, False), (1, 1, 2, True), (1, 0, 2, False)]


async def test_a_slice_is_read_when_its_bytes_are_and_not_with_its_object() -> None:
    settings = StoreSettings(prefetch_waste=0, policy_of=Listening)
    async with networked_store("one", settings=settings) as net:
        store = await stored(net, 2 * S + 500)
        for start, end in ((0, 10), (2 * S, 2 * S + 10), (S, S + 10), (0, 10), (2 * S + 3, 2 * S + 9)):
            await read(store, Protocol.S3, start, end)
        assert [position for position, *_ in heard(store.cells.hot)] == [0, 2, 1, 0, 2]


def test_classes_are_three_numbers() -> None:
    assert [class_number(name) for name in ("local", "ipfs", "replicated:1", "replicated:9")] == [0, 1, 2, 2]


def test_objects_that_came_first_are_forgotten_first() -> None:
    following = Following()
    assert [following.read("a", at) for at in (0, 1, 3, 3, 4)] == [False, True, False, False, True]
    for number in range(OBJECTS_MOST):
        assert not following.read(number, 1)
    assert not following.read("a", 5)
    assert following.read(OBJECTS_MOST - 1, 2)
