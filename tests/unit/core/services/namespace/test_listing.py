"""Listings: order, prefixes, delimiters, pages."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.keyspace import object_key
from noisefs.core.domain.records import Version, encode
from noisefs.core.errors import AccessDenied, BucketNotFound, InvalidKey
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.namespace.objects import listing
from tests.support.namespace import ALICE, BOB, World


async def names(world: World, **asked: object) -> tuple[list[str], list[str], str | None]:
    page = await world.objects.list(ALICE, "bucket", **asked)  # type: ignore[arg-type]  # passed through as they are
    return [key for key, _ in page.entries], page.prefixes, page.next_after


async def test_keys_come_in_utf8_order(world: World) -> None:
    """Code points above U+FFFF sort behind U+FF5E, unlike in UTF-16."""
    for key in ("b", "a", "a/", "a//b", "Z", "ä", "～", "😀", "a\x01"):
        await world.put(key)
    found, _, after = await names(world)
    assert found == sorted(found, key=str.encode) == ["Z", "a", "a\x01", "a/", "a//b", "b", "ä", "～", "😀"]
    assert after is None


async def test_entries_tell_what_a_listing_shows(world: World) -> None:
    version = await world.put("key", b"12345")
    [(key, listed)] = (await world.objects.list(ALICE, "bucket")).entries
    assert (key, listed.size, listed.etag, listed.modified_us) == ("key", 5, version.etag, version.modified_us)
    [(key, whole)] = (await world.objects.list_versions(ALICE, "bucket")).entries
    assert (key, whole) == ("key", version)


async def test_a_delimiter_rolls_keys_up(world: World) -> None:
    for key in ("a", "b/1", "b/2", "b/c/3", "d", "e/"):
        await world.put(key)
    assert await names(world, delimiter="/") == (["a", "d"], ["b/", "e/"], None)
    assert await names(world, delimiter="/", prefix="b/") == (["b/1", "b/2"], ["b/c/"], None)
    assert await names(world, delimiter="/", prefix="e/") == (["e/"], [], None)
    assert await names(world, delimiter="/", prefix="b") == ([], ["b/"], None)
    assert await names(world, delimiter="/c/") == (["a", "b/1", "b/2", "d", "e/"], ["b/c/"], None)


async def test_pages_count_entries_and_prefixes_together(world: World) -> None:
    for key in ("a", "b/1", "b/2", "c", "d/1"):
        await world.put(key)
    assert await names(world, delimiter="/", limit=2) == (["a"], ["b/"], "b/")
    assert await names(world, delimiter="/", limit=2, after="b/") == (["c"], ["d/"], None)
    assert await names(world, delimiter="/", limit=1, after="c") == ([], ["d/"], None)
    assert await names(world, limit=2) == (["a", "b/1"], [], "b/1")
    assert await names(world, limit=0) == ([], [], None)


async def test_after_is_exclusive_and_start_inclusive(world: World) -> None:
    for key in ("a", "b", "b/1", "c"):
        await world.put(key)
    assert await names(world, after="b") == (["b/1", "c"], [], None)
    assert await names(world, start="b") == (["b", "b/1", "c"], [], None)
    assert await names(world, after="b/", delimiter="/") == (["c"], [], None)
    assert await names(world, after="b/0", delimiter="/") == (["c"], ["b/"], None)
    assert await names(world, after="zz") == ([], [], None)
    assert await names(world, prefix="b", after="a") == (["b", "b/1"], [], None)
    assert await names(world, prefix="b", after="c") == ([], [], None)


async def test_texts_that_no_key_has(world: World) -> None:
    await world.put("a")
    assert await names(world, prefix="a\0") == ([], [], None)
    assert await names(world, prefix="k" * 3000) == ([], [], None)
    with pytest.raises(InvalidKey):
        await names(world, prefix="\ud800")


async def test_who_may_list(world: World) -> None:
    with pytest.raises(AccessDenied):
        await world.objects.list(BOB, "bucket")
    with pytest.raises(BucketNotFound):
        await world.objects.list(ALICE, "nothing")


async def test_a_bucket_lists_only_its_own(world: World) -> None:
    await world.buckets.create(ALICE, "other")
    await world.put("a")
    await world.put("b", bucket="other")
    assert await world.keys("bucket") == ["a"]
    assert await world.keys("other") == ["b"]


# ---------------------------------------------------------------- the walk itself


@dataclass
class Counting(Reading):
    """Counts what a listing reads."""

    inner: Reading
    scans: int = 0
    rows: int = 0
    sizes: list[int] = field(default_factory=list)

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self.inner.get(table, key)

    def scan(
        self, table: Table, start: bytes, end: bytes, limit: int, *, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        found = self.inner.scan(table, start, end, limit, reverse=reverse)
        self.scans += 1
        self.rows += len(found)
        return found

    def count(self, table: Table) -> int:
        return self.inner.count(table)


ROW = encode(Version(0, "", 0, UserId("")))


def index_with(keys: list[str]) -> MemoryIndex:
    index = MemoryIndex()

    def fill(tx: Writing) -> None:
        for key in keys:
            tx.put(Table.OBJECTS, object_key(1, key), ROW)

    index.transact([fill])
    return index


def walk(index: MemoryIndex, limit: int, *, prefix: str = "", delimiter: str = "/") -> Counting:
    def look(tx: Reading) -> Counting:
        counting = Counting(tx)
        span = listing.span_of(
            object_key(1, ""), prefix=prefix.encode(), delimiter=delimiter.encode(), after=b"", start=b""
        )
        listing.gather(counting, Table.OBJECTS, span, limit)
        return counting

    return index.read(look)


def test_large_folders_are_left_by_a_seek() -> None:
    """100 folders of 1000 keys: hundreds of rows are read, not a hundred thousand."""
    read = walk(index_with([f"{folder:03}/{n:04}" for folder in range(100) for n in range(1000)]), 1000)
    assert read.rows < 3000
    assert read.scans < 150


def test_a_flat_listing_is_a_few_scans() -> None:
    """No key has the delimiter: the walk reads ahead in ever longer pieces."""
    read = walk(index_with([f"{n:05}" for n in range(5000)]), 1000)
    assert read.scans < 10
    assert read.rows < 2100


def test_small_folders_are_walked_through() -> None:
    """Folders of three keys cost less to read than to seek."""
    read = walk(index_with([f"{folder:04}/{n}" for folder in range(1000) for n in range(3)]), 1000)
    assert read.scans < 12


KEYS = st.lists(st.text(alphabet="ab/", min_size=1, max_size=6), unique=True, max_size=40)


@given(
    keys=KEYS,
    prefix=st.text(alphabet="ab/", max_size=3),
    delimiter=st.sampled_from(["", "/", "a", "//", "ab"]),
    limit=st.integers(1, 6),
)
def test_pages_joined_are_the_whole_listing(keys: list[str], prefix: str, delimiter: str, limit: int) -> None:
    """Against the definition: what a reader of S3's documentation would write down."""
    entries: list[str] = []
    prefixes: list[str] = []
    for key in sorted(keys):
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        group = key[: cut + len(delimiter)]
        if cut < 0:
            entries.append(key)
        elif group not in prefixes:
            prefixes.append(group)

    def pages(tx: Reading) -> tuple[list[str], list[str]]:
        found: list[str] = []
        groups: list[str] = []
        after: str | None = ""
        while after is not None:
            span = listing.span_of(
                object_key(1, ""), prefix=prefix.encode(), delimiter=delimiter.encode(), after=after.encode()
            )
            page = listing.page_of(listing.gather(tx, Table.OBJECTS, span, limit))
            assert len(page.entries) + len(page.prefixes) <= limit
            found += [key for key, _ in page.entries]
            groups += page.prefixes
            after = page.next_after
        return found, groups

    assert index_with(keys).read(pages) == (entries, prefixes)
