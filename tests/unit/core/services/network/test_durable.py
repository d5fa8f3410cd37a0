"""Whole stores whose writes wait for nodes: what was answered outlives the loss of the gateway."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import pytest

from noisefs.core.domain.ids import PackId
from noisefs.core.domain.masking import Chain, strategy_named
from noisefs.core.domain.requests import Attributes, Principal
from noisefs.core.errors import (
    InvalidArgument,
    NodeUnavailable,
    NoisefsError,
    ObjectNotFound,
    OutcomeUnknown,
    StoreSuperseded,
)
from noisefs.core.ports.index import Table
from noisefs.core.services.network.confirming.blocks import Confirmer
from noisefs.core.services.network.confirming.log import NetworkLog
from noisefs.core.services.packs.copies import waiting_of
from noisefs.core.services.store import Store
from tests.support.durable import DurableLab, driven
from tests.support.stores import administrator, joined, memory_store, pieces

T = TypeVar("T")

SEGMENT = 131072
SIZES = (0, 1, 700, 5_000, SEGMENT - 1, SEGMENT, SEGMENT + 9, 3 * SEGMENT)


class Shop:
    """A store with a bucket of each class, one process at a time."""

    def __init__(self, lab: DurableLab) -> None:
        self.lab = lab
        self.who: Principal

    @classmethod
    async def open(cls, *names: str, seed: int = 0) -> "Shop":
        """A new store over these nodes."""
        shop = cls(DurableLab(*names, seed=seed))
        await shop.start()
        shop.who = await shop.do(administrator(shop.lab.store))
        for name, durability in (("here", "local"), ("there", "ipfs"), ("twice", "replicated:2")):
            if int(durability[-1] if durability[-1].isdigit() else 1) <= len(names):
                await shop.do(shop.lab.store.buckets.create(shop.who, name, durability=durability))
        return shop

    async def start(self) -> None:
        """Let this process begin."""
        await self.lab.known.look()
        await self.do(self.lab.store.start(background=False))

    async def crash(self, *, power: bool, during: "asyncio.Future[None] | None" = None) -> None:
        """The process is gone (and with the power what was not synced), and another one begins."""
        self.lab.store.commits.supersede("the process is gone")
        await self.lab.confirmer.close()
        await self.lab.log.close()
        if power:
            self.lab.parts.packs.crash()
        self.lab.orphan()
        if during is not None:
            during.cancel()
            await asyncio.wait([during])
        self.lab.boot()
        await self.start()

    async def do(self, work: Coroutine[Any, Any, T]) -> T:  # Any: what a coroutine yields
        """Wait for it, and let time pass meanwhile."""
        return await driven(self.lab.clock, work)

    async def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object."""
        objects = self.lab.store.objects
        await self.do(objects.put(self.who, bucket, key, pieces(data, 100_000), Attributes()))

    async def restored(self, *names: str) -> "Reader":
        """What another machine has, of these nodes alone."""
        store = self.lab.restored(*names).store()
        await store.start(background=False)
        return Reader(store, self.who)


class Reader:
    """Reads a restored store."""

    def __init__(self, store: Store, who: Principal) -> None:
        self.store = store
        self.who = who

    async def get(self, bucket: str, key: str) -> bytes | None:
        """An object's bytes, ``None`` if there is none."""
        try:
            opened = await self.store.objects.open(self.who, bucket, key)
        except ObjectNotFound:
            return None
        async with opened:
            return await joined(opened.chunks(0, opened.version.size))


@pytest.fixture
async def shop() -> Shop:
    """Over three nodes."""
    return await Shop.open("a", "b", "c")


@pytest.mark.parametrize("size", SIZES)
async def test_an_answered_put_outlives_the_gateway(shop: Shop, size: int) -> None:
    data = shop.lab.parts.entropy.secret(size)
    await shop.put("there", "key", data)
    assert await (await shop.restored()).get("there", "key") == data


async def test_one_node_may_be_lost_where_two_have_confirmed(shop: Shop) -> None:
    data = shop.lab.parts.entropy.secret(2 * SEGMENT + 5)
    await shop.put("twice", "key", data)
    for lost in shop.lab.nodes:
        left = [name for name in shop.lab.nodes if name != lost]
        assert await (await shop.restored(*left)).get("twice", "key") == data


async def test_local_buckets_wait_for_no_node(shop: Shop) -> None:
    for node in shop.lab.nodes.values():
        node.down = True
    data = shop.lab.parts.entropy.secret(SEGMENT)
    await shop.lab.store.objects.put(shop.who, "here", "key", pieces(data, SEGMENT), Attributes())


@pytest.mark.parametrize("size", [10, 2 * SEGMENT])
async def test_without_nodes_a_write_says_what_became_of_it(shop: Shop, size: int) -> None:
    """Cells that nodes do not take: nothing is visible. Only the record is missing: the outcome is unknown."""
    for node in shop.lab.nodes.values():
        node.down = True
    with pytest.raises(NodeUnavailable if size > SEGMENT else OutcomeUnknown):
        await shop.put("there", "key", bytes(size))
    seen = await Reader(shop.lab.store, shop.who).get("there", "key")
    assert seen == (None if size > SEGMENT else bytes(size))


async def test_where_nodes_are_known_to_be_down_not_even_a_small_write_is_begun(shop: Shop) -> None:
    for node in shop.lab.nodes.values():
        node.down = True
    await shop.lab.known.look()
    with pytest.raises(NodeUnavailable):
        await shop.put("there", "key", b"x")
    assert await Reader(shop.lab.store, shop.who).get("there", "key") is None


async def test_a_delete_outlives_the_gateway(shop: Shop) -> None:
    await shop.put("there", "key", b"x")
    assert (await shop.do(shop.lab.store.objects.delete(shop.who, "there", "key"))).existed
    assert await (await shop.restored()).get("there", "key") is None


async def test_a_delete_repeated_after_a_doubtful_one_waits_too(shop: Shop) -> None:
    """What it answers, that nothing is there, has to outlive the gateway as well."""
    await shop.put("there", "key", b"x")
    for node in shop.lab.nodes.values():
        node.down = True
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await shop.do(shop.lab.store.objects.delete(shop.who, "there", "key"))


async def test_a_copy_into_a_higher_class_brings_its_packs_along(shop: Shop) -> None:
    data = shop.lab.parts.entropy.secret(2 * SEGMENT + 77)
    await shop.put("here", "key", data)
    await shop.do(shop.lab.store.packer.run(flush=True))
    assert not shop.lab.restored_packs()
    await shop.do(shop.lab.store.objects.copy(shop.who, "here", "key", "there", "copy"))
    assert await (await shop.restored()).get("there", "copy") == data


async def test_a_copy_that_nodes_do_not_take_changes_nothing(shop: Shop) -> None:
    await shop.put("here", "key", bytes(SEGMENT))
    for node in shop.lab.nodes.values():
        node.down = True
    with pytest.raises(NodeUnavailable):
        await shop.do(shop.lab.store.objects.copy(shop.who, "here", "key", "there", "copy"))
    assert await Reader(shop.lab.store, shop.who).get("there", "copy") is None


async def test_a_moved_tree_brings_its_packs_along(shop: Shop) -> None:
    data = {f"tree/{n}": shop.lab.parts.entropy.secret(SEGMENT + n) for n in range(3)}
    for key, content in data.items():
        await shop.put("here", key, content)
    await shop.lab.store.writer.seal()
    await shop.do(shop.lab.store.trees.move(shop.who, "here", "tree/", "there", "new/", overwrite=False))
    reader = await shop.restored()
    for key, content in data.items():
        assert await reader.get("there", key.replace("tree", "new")) == content


async def test_the_packer_confirms_before_it_forgets_inline_bytes(shop: Shop) -> None:
    data = shop.lab.parts.entropy.secret(5_000)
    await shop.put("there", "key", data)
    await shop.do(shop.lab.store.packer.run(flush=True))
    await shop.put("there", "other", b"so that the packer's commit is on nodes")
    reader = await shop.restored()
    assert await reader.get("there", "key") == data
    assert not reader.store.index.read(lambda tx: tx.count(Table.INLINE))


async def test_the_packer_appends_once_however_long_nodes_are_away(shop: Shop) -> None:
    await shop.put("there", "key", bytes(5_000))
    for node in shop.lab.nodes.values():
        node.down = True
    for _ in range(3):
        with pytest.raises(NodeUnavailable):
            await shop.do(shop.lab.store.packer.run(flush=True))
    (pack,) = shop.lab.parts.packs.list()
    assert pack.blocks == Chain.seeds + 1
    for node in shop.lab.nodes.values():
        node.down = False
    await shop.lab.known.look()
    assert await shop.do(shop.lab.store.packer.run(flush=True))


async def test_users_and_keys_follow_the_highest_class(shop: Shop) -> None:
    user_id = await shop.do(shop.lab.store.accounts.add_user("else"))
    restored = (await shop.restored()).store
    assert (await restored.accounts.principal_of_name("else")).user_id == user_id


async def test_a_class_that_needs_nodes_is_refused_without_them() -> None:
    async with memory_store() as (store, _parts):
        who = await administrator(store)
        with pytest.raises(InvalidArgument, match="nodes"):
            await store.buckets.create(who, "bucket", durability="ipfs")
        with pytest.raises(InvalidArgument, match="replicated"):
            await store.buckets.create(who, "bucket", durability="thrice")


async def test_a_raised_class_holds_for_what_comes_then(shop: Shop) -> None:
    await shop.do(shop.lab.store.buckets.set_durability(shop.who, "here", "ipfs"))
    data = shop.lab.parts.entropy.secret(SEGMENT)
    await shop.put("here", "key", data)
    assert await (await shop.restored()).get("here", "key") == data


async def test_a_large_body_is_sent_ahead(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of it is on nodes before its end came in."""
    monkeypatch.setattr("noisefs.core.services.network.confirming.durable.AHEAD_BLOCKS", 8)
    seen: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(SEGMENT)
            for _ in range(50):
                await asyncio.sleep(0)
        seen.append(sum(map(len, shop.lab.restored_packs().values())))

    await shop.do(shop.lab.store.objects.put(shop.who, "there", "key", body(), Attributes()))
    assert seen[0] > 8


# ---------------------------------------------------------------- histories


async def play(seed: int) -> None:
    """Random requests, failing nodes, crashes; then and at the end: all that was answered is on nodes, byte by byte."""
    rng = random.Random(seed)
    shop = await Shop.open("a", "b", "c", seed=seed)
    for node in shop.lab.nodes.values():
        node.rng = rng
    sure: dict[str, bytes | None] = {}
    maybe: dict[str, set[bytes | None]] = {}

    # With two copies, whichever node is lost for good.
    bucket, losses = ("twice", [("a",), ("b",), ("c",)]) if seed % 2 else ("there", [()])

    async def attempt(key: str, value: bytes | None, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except OutcomeUnknown:
            maybe.setdefault(key, set()).add(value)
        except (NodeUnavailable, StoreSuperseded):
            pass
        else:
            sure[key] = value
            maybe.pop(key, None)

    async def cut_off(key: str, value: bytes) -> None:
        """Crash somewhere in the middle of a PUT."""
        put = asyncio.ensure_future(attempt(key, value, lambda: shop.put(bucket, key, value)))
        for _ in range(rng.randrange(600)):
            await asyncio.sleep(0)
        if not put.done():
            maybe.setdefault(key, set()).add(value)
            await shop.crash(power=rng.random() < 0.5, during=put)

    async def check() -> None:
        covered = shop.lab.snapshots[-1].number if shop.lab.snapshots else 0
        for node in shop.lab.nodes.values():  # whatever may go goes at once
            for one in shop.lab.parts.index.read(partial(waiting_of, name=node.name, limit=999)):
                if one.number <= covered:
                    node.pinned.pop(one.root, None)
            node.rng, flaky = None, node.rng
            down, node.down = node.down, False
            await node.collect_garbage()
            node.rng, node.down = flaky, down
        for lost in losses:
            reader = await shop.restored(*(name for name in shop.lab.nodes if name not in lost))
            for key in sure.keys() | maybe.keys():
                assert await reader.get(bucket, key) in {sure.get(key), *maybe.get(key, ())}, key

    for _ in range(14):
        store = shop.lab.store
        key = rng.choice("xyz")
        match rng.randrange(11):
            case 0:
                node = shop.lab.nodes[rng.choice("abc")]
                node.down = not node.down
                await shop.lab.known.look()
            case 1:
                await shop.crash(power=rng.random() < 0.5)
            case 2:
                with contextlib.suppress(NodeUnavailable, StoreSuperseded):
                    await shop.do(store.packer.run(flush=True))
            case 3:
                await store.writer.seal()
            case 4:
                await attempt(key, None, lambda: shop.do(store.objects.delete(shop.who, bucket, key)))  # noqa: B023
            case 5:
                await shop.lab.renew()
                await shop.do(shop.lab.log.tidy())
            case 6:
                data = rng.randbytes(rng.choice(SIZES))
                await shop.put("here", key, data)
                copy = store.objects.copy(shop.who, "here", key, bucket, key)
                await attempt(key, data, lambda: shop.do(copy))  # noqa: B023
            case 7 | 8:
                await cut_off(key, rng.randbytes(rng.choice(SIZES)))
            case _:
                data = rng.randbytes(rng.choice(SIZES))
                await attempt(key, data, lambda: shop.put(bucket, key, data))  # noqa: B023
        await check()
    await shop.lab.log.close()
    await shop.lab.confirmer.close()


async def play_all(seeds: range) -> None:
    """Until one fails."""
    for seed in seeds:
        await play(seed)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_what_was_answered_is_on_nodes(seed: int) -> None:
    await play(seed)


async def _at_once(*_args: object) -> None:
    """Wait for nothing."""


async def _placed_at_once(*_args: object) -> bool:
    return True


@pytest.mark.parametrize(
    ("kind", "part", "bug"),
    [(NetworkLog, "confirm", _at_once), (Confirmer, "place", _placed_at_once)],
    ids=["answer before the record", "commit before the cells"],
)
async def test_planted_bugs_are_found(
    kind: type, part: str, bug: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, part, bug)
    with pytest.raises((AssertionError, NoisefsError, KeyError)):
        await play_all(range(12))


async def test_randomizers_that_are_missing_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interim roots that pin cells and not what masks them: garbage collection shows it."""
    shop = await Shop.open("a")
    monkeypatch.setattr(Chain, "masks_before", lambda *_args: [])
    await shop.put("there", "1", bytes(SEGMENT))
    await shop.put("there", "2", bytes(SEGMENT))
    node = shop.lab.nodes["a"]
    first = next(
        root
        for root in node.pinned
        if (opened := shop.lab.sealer.open(node.blocks[root])).meta.pack_id and opened.meta.first == 0
    )
    await node.unpin([first])
    await node.collect_garbage()
    (second,) = [root for root in shop.lab.roots() if root.meta.pack_id]
    strategy = strategy_named("chain", pack_id=PackId(second.meta.pack_id), prf_key=bytes(32))
    needed = strategy.needed(second.meta.first, second.meta.count, 0)
    assert sum(count for _start, count in needed) > sum(link in node.blocks for link in second.links)
