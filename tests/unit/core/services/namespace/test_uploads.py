"""Uploads in parts: every step and every refusal. References and counters are checked after every test (conftest)."""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping

import pytest

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.objects import composition
from noisefs.core.domain.objects.digests import Digests
from noisefs.core.domain.records import Extent, Run, Usage, Version, decode
from noisefs.core.domain.requests import Attributes, CompletedPart, Digested, ReadCondition, WriteCondition
from noisefs.core.errors import (
    AccessDenied,
    CommitConflict,
    DigestMismatch,
    EntityTooLarge,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    ObjectNotFound,
    PartTooSmall,
    PreconditionFailed,
    RangeNotSatisfiable,
    TooMany,
    UploadNotFound,
)
from noisefs.core.ports.index import Table
from noisefs.core.ports.telemetry import Counter, Gauge
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.objects.layouts import cut, joined
from tests.support.namespace import ALICE, BOB, PLAIN, World, stream

S = 131072


def md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()


def checksum(algorithm: str, data: bytes) -> str:
    running = Digests((algorithm,))
    running.update(data)
    return base64.b64encode(running.results()[algorithm]).decode()


async def begin(world: World, key: str = "key", checksum_algorithm: str = "", checksum_type: str = "") -> str:
    return await world.uploads.create(
        ALICE, "bucket", key, PLAIN, checksum_algorithm=checksum_algorithm, checksum_type=checksum_type
    )


async def send(world: World, upload_id: str, number: int, data: bytes, key: str = "key") -> CompletedPart:
    part = await world.uploads.put_part(ALICE, "bucket", key, upload_id, number, stream(data))
    return CompletedPart(number, part.md5.hex())


async def finish(
    world: World,
    upload_id: str,
    parts: list[CompletedPart],
    key: str = "key",
    condition: WriteCondition | None = None,
    expected_size: int | None = None,
    checksums: dict[str, str] | None = None,
) -> Version:
    return await world.uploads.complete(
        ALICE,
        "bucket",
        key,
        upload_id,
        parts,
        condition=condition or WriteCondition(),
        expected_size=expected_size,
        checksums=checksums,
    )


def rows_left(world: World) -> dict[Table, int]:
    return {table: len(world.rows(table)) for table in (Table.UPLOADS, Table.PARTS, Table.BODIES, Table.LAYOUTS)}


async def test_parts_become_one_object(world: World) -> None:
    pieces = [b"a" * (S + 5), b"b" * 2000, b"c"]
    upload_id = await begin(world)
    parts = [await send(world, upload_id, 10 * n + 1, piece) for n, piece in enumerate(pieces)]
    assert await world.keys() == []
    version = await finish(world, upload_id, parts)
    assert version.etag == composition.etag_of_parts([md5(piece) for piece in pieces])
    assert (version.size, version.parts_count) == (S + 2006, 3)
    assert await world.read("key") == b"".join(pieces)
    assert await world.objects.parts(ALICE, "bucket", "key") == (
        version,
        [(1, 0, S + 5), (11, S + 5, 2000), (21, S + 2005, 1)],
    )
    assert await world.buckets.usage(ALICE, "bucket") == Usage(S + 2006, 1)
    assert rows_left(world) == {Table.UPLOADS: 0, Table.PARTS: 0, Table.BODIES: 3, Table.LAYOUTS: 0}


async def test_attributes_of_the_upload_are_the_objects(world: World) -> None:
    attributes = Attributes(content_type="x/y", metadata={"a": "b"}, modified_us=5_000_000)
    upload_id = await world.uploads.create(ALICE, "bucket", "key", attributes)
    version = await finish(world, upload_id, [await send(world, upload_id, 1, b"x")])
    assert (version.content_type, version.metadata, version.modified_us) == ("x/y", {"a": "b"}, 5_000_000)


async def test_parts_in_any_order_and_replaced(world: World) -> None:
    upload_id = await begin(world)
    last = await send(world, upload_id, 2, b"last")
    await send(world, upload_id, 1, b"wrong" * 300)
    first = await send(world, upload_id, 1, b"first")
    assert rows_left(world)[Table.BODIES] == 2
    await finish(world, upload_id, [first, last])
    assert await world.read("key") == b"firstlast"


async def test_parts_that_are_not_named_are_released(world: World) -> None:
    upload_id = await begin(world)
    await send(world, upload_id, 1, b"unused")
    used = await send(world, upload_id, 2, b"used")
    await finish(world, upload_id, [used])
    assert await world.read("key") == b"used"
    assert rows_left(world)[Table.BODIES] == 1


async def test_an_object_replaced_by_an_upload_is_released(world: World) -> None:
    await world.put("key", b"old" * 1000)
    upload_id = await begin(world)
    await finish(world, upload_id, [await send(world, upload_id, 1, b"new")])
    assert rows_left(world)[Table.BODIES] == 1
    assert await world.buckets.usage(ALICE, "bucket") == Usage(3, 1)


async def test_an_empty_part(world: World) -> None:
    upload_id = await begin(world)
    version = await finish(world, upload_id, [await send(world, upload_id, 1, b"")])
    assert (version.size, version.parts_count) == (0, 1)
    assert await world.read("key") == b""


@pytest.mark.parametrize("number", [0, -1, 10_001])
async def test_part_numbers_are_bounded(world: World, number: int) -> None:
    upload_id = await begin(world)
    with pytest.raises(InvalidArgument):
        await send(world, upload_id, number, b"x")


async def test_a_part_is_bounded() -> None:
    world = await World(limits=NamespaceLimits(max_put_bytes=10)).start()
    upload_id = await begin(world)
    with pytest.raises(EntityTooLarge):
        await send(world, upload_id, 1, b"x" * 11)
    assert rows_left(world)[Table.BODIES] == 0


@pytest.mark.parametrize("upload_id", ["", "x", "00" * 16, "00" * 15, "ZZ" * 16, " " + "0" * 32, "AB" * 16])
async def test_uploads_that_are_none(world: World, upload_id: str) -> None:
    with pytest.raises(UploadNotFound):
        await world.uploads.get(ALICE, "bucket", "key", upload_id)
    with pytest.raises(UploadNotFound):
        await send(world, upload_id, 1, b"x")
    with pytest.raises(UploadNotFound):
        await finish(world, upload_id, [CompletedPart(1, "00")])
    with pytest.raises(UploadNotFound):
        await world.uploads.abort(ALICE, "bucket", "key", upload_id)


async def test_an_upload_belongs_to_its_key_and_bucket(world: World) -> None:
    upload_id = await begin(world)
    with pytest.raises(UploadNotFound):
        await send(world, upload_id, 1, b"x", key="other")
    with pytest.raises(AccessDenied):
        await world.uploads.put_part(BOB, "bucket", "key", upload_id, 1, stream(b"x"))


async def test_an_abort_releases_everything(world: World) -> None:
    upload_id = await begin(world)
    await send(world, upload_id, 1, b"x" * 3000)
    await world.uploads.abort(ALICE, "bucket", "key", upload_id)
    assert set(rows_left(world).values()) == {0}
    with pytest.raises(UploadNotFound):
        await send(world, upload_id, 1, b"x")


async def test_a_part_that_arrives_after_the_end_leaves_no_trace(world: World) -> None:
    upload_id = await begin(world)

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 2000
        await world.uploads.abort(ALICE, "bucket", "key", upload_id)

    with pytest.raises(UploadNotFound):
        await world.uploads.put_part(ALICE, "bucket", "key", upload_id, 1, slow())
    assert set(rows_left(world).values()) == {0}


# ---------------------------------------------------------------- complete


async def test_complete_checks_its_list(world: World) -> None:
    """Each refusal leaves the upload as it was."""
    upload_id = await begin(world)
    one, two = await send(world, upload_id, 1, b"1111"), await send(world, upload_id, 2, b"22")
    three = await send(world, upload_id, 3, b"33")
    for parts, error in (
        ([], InvalidArgument),
        ([two, one], InvalidPartOrder),
        ([one, one], InvalidPartOrder),
        ([CompletedPart(1, two.etag)], InvalidPart),
        ([one, CompletedPart(4, two.etag)], InvalidPart),
        ([two, three], PartTooSmall),
    ):
        with pytest.raises(error):
            await finish(world, upload_id, parts)
    with pytest.raises(InvalidArgument):
        await finish(world, upload_id, [one, two], expected_size=7)
    assert await world.keys() == []
    await finish(world, upload_id, [one, two], expected_size=6)


async def test_etags_may_be_quoted_and_in_capitals(world: World) -> None:
    upload_id = await begin(world)
    one = await send(world, upload_id, 1, b"x")
    await finish(world, upload_id, [CompletedPart(1, f'"{one.etag.upper()}"')])


async def test_a_large_object_is_refused() -> None:
    world = await World(limits=NamespaceLimits(max_object_bytes=5, min_part_bytes=1)).start()
    upload_id = await begin(world)
    parts = [await send(world, upload_id, n, b"xxx") for n in (1, 2)]
    with pytest.raises(EntityTooLarge):
        await finish(world, upload_id, parts)
    await finish(world, upload_id, parts[:1])


async def test_a_repeated_complete_answers_the_first_result(world: World) -> None:
    """Also after the object was overwritten, and whatever it lists; not for another key, not after a day."""
    upload_id = await begin(world, checksum_algorithm="CRC32")
    parts = [await send(world, upload_id, 1, b"x" * 10)]
    first = await finish(world, upload_id, parts)
    await world.put("key", b"newer")
    again = await finish(world, upload_id, parts)
    assert (again.etag, again.size, again.checksums, again.checksum_type, again.modified_us) == (
        first.etag,
        first.size,
        first.checksums,
        first.checksum_type,
        first.modified_us,
    )
    assert await world.read("key") == b"newer"
    with pytest.raises(UploadNotFound):
        await finish(world, upload_id, parts, key="other")
    with pytest.raises(AccessDenied):
        await world.uploads.complete(BOB, "bucket", "key", upload_id, parts)
    world.clock.advance(86_401)
    await world.uploads.expire()
    with pytest.raises(UploadNotFound):
        await finish(world, upload_id, parts)


async def test_of_concurrent_ends_one_wins(world: World) -> None:
    upload_id = await begin(world)
    parts = [await send(world, upload_id, 1, b"x")]
    results = await asyncio.gather(
        finish(world, upload_id, parts),
        finish(world, upload_id, parts),
        world.uploads.abort(ALICE, "bucket", "key", upload_id),
        return_exceptions=True,
    )
    aborted = results[2] is None
    assert [isinstance(result, UploadNotFound) for result in results[:2]] == [aborted, aborted]
    assert await world.keys() == ([] if aborted else ["key"])


async def test_a_part_replaced_during_complete_is_judged_anew(world: World) -> None:
    """The commit sees other part rows than the plan: the named ETag is no longer there."""
    upload_id = await begin(world)
    parts = [await send(world, upload_id, 1, b"x")]
    completing = asyncio.ensure_future(finish(world, upload_id, parts))
    replacing = asyncio.ensure_future(send(world, upload_id, 1, b"y"))
    results = await asyncio.gather(completing, replacing, return_exceptions=True)
    assert sum(isinstance(result, InvalidPart | UploadNotFound) for result in results) == 1


async def test_complete_under_a_condition(world: World) -> None:
    etag = (await world.put("key", b"old")).etag
    upload_id = await begin(world)
    parts = [await send(world, upload_id, 1, b"new")]
    with pytest.raises(PreconditionFailed):
        await finish(world, upload_id, parts, condition=WriteCondition(if_none_match=("*",)))
    with pytest.raises(PreconditionFailed):
        await finish(world, upload_id, parts, condition=WriteCondition(if_match=("x",)))
    assert await world.read("key") == b"old"
    await finish(world, upload_id, parts, condition=WriteCondition(if_match=(etag,)))
    assert await world.read("key") == b"new"


# ---------------------------------------------------------------- checksums


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("CRC32", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", ""), ("SHA1", ""), ("SHA256", "COMPOSITE")],
)
async def test_object_checksums_follow_from_the_parts(world: World, algorithm: str, kind: str) -> None:
    pieces = [b"a" * 100, b"b" * 50, b"c"]
    upload_id = await begin(world, checksum_algorithm=algorithm, checksum_type=kind)
    parts = [await send(world, upload_id, n + 1, piece) for n, piece in enumerate(pieces)]
    version = await finish(world, upload_id, parts)
    whole = checksum(algorithm, b"".join(pieces))
    composite = checksum(algorithm, b"".join(base64.b64decode(checksum(algorithm, piece)) for piece in pieces)) + "-3"
    expected = whole if version.checksum_type == "FULL_OBJECT" else composite
    assert version.checksums == {algorithm: expected}
    assert version.checksum_type == kind or not kind
    _, table = await world.objects.part_table(ALICE, "bucket", "key")
    assert [part.checksums for part in table] == [{algorithm: checksum(algorithm, piece)} for piece in pieces]


async def test_declared_checksums_are_compared(world: World) -> None:
    upload_id = await begin(world, checksum_algorithm="SHA256")
    one = await send(world, upload_id, 1, b"data")
    good = checksum("SHA256", b"data")
    with pytest.raises(InvalidPart):
        await finish(world, upload_id, [CompletedPart(1, one.etag, {"SHA256": checksum("SHA256", b"x")})])
    with pytest.raises(InvalidPart):
        await finish(world, upload_id, [CompletedPart(1, one.etag, {"SHA1": "x"})])
    with pytest.raises(DigestMismatch):
        await finish(world, upload_id, [one], checksums={"SHA256": good})
    with pytest.raises(InvalidArgument):
        await finish(world, upload_id, [one], checksums={"CRC32": "AAAAAA=="})
    composite = checksum("SHA256", base64.b64decode(good))
    version = await finish(
        world, upload_id, [CompletedPart(1, one.etag, {"SHA256": good})], checksums={"SHA256": composite}
    )
    assert version.checksums == {"SHA256": f"{composite}-1"}


async def test_a_checksum_declared_at_the_end_only(world: World) -> None:
    """The parts carried it although the upload did not ask for it."""

    def keep(digested: Digested) -> Mapping[str, str]:
        return {"CRC32": base64.b64encode(digested.digests["CRC32"]).decode()}

    upload_id = await begin(world)
    parts = []
    for number, piece in ((1, b"first"), (2, b"second")):
        part = await world.uploads.put_part(
            ALICE, "bucket", "key", upload_id, number, stream(piece), digests=("CRC32",), verify=keep
        )
        parts.append(CompletedPart(number, part.md5.hex()))
    inner = b"".join(base64.b64decode(checksum("CRC32", piece)) for piece in (b"first", b"second"))
    version = await finish(world, upload_id, parts, checksums={"CRC32": checksum("CRC32", inner) + "-2"})
    assert version.checksum_type == "COMPOSITE"


@pytest.mark.parametrize("how", [("MD5", ""), ("SHA1", "FULL_OBJECT"), ("", "COMPOSITE")])
async def test_checksums_that_cannot_be(world: World, how: tuple[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        await begin(world, checksum_algorithm=how[0], checksum_type=how[1])


# ---------------------------------------------------------------- many parts


async def test_ten_thousand_parts() -> None:
    """They make a layout of chunks; ranges read one chunk; copies share it; the last one takes everything."""
    world = await World(limits=NamespaceLimits(min_part_bytes=1)).start()
    upload_id = await begin(world)
    parts = [await send(world, upload_id, number, b"%05d" % number) for number in range(1, 10_001)]
    version = await finish(world, upload_id, parts)
    whole = b"".join(b"%05d" % number for number in range(1, 10_001))
    assert (version.size, version.parts_count, version.etag[-6:]) == (50_000, 10_000, "-10000")
    assert version.extents == ()
    assert await world.read("key") == whole
    async with await world.objects.open(ALICE, "bucket", "key", wanted=lambda _: (24_998, 25_013)) as opened:
        assert b"".join([bytes(chunk) async for chunk in opened.chunks()]) == whole[24_998:25_013]
    async with await world.objects.open(ALICE, "bucket", "key", wanted=lambda v: (v.size - 1, v.size)) as opened:
        assert b"".join([bytes(chunk) async for chunk in opened.chunks()]) == b"0"
    _, table = await world.objects.parts(ALICE, "bucket", "key")
    assert table[9_999] == (10_000, 49_995, 5)
    world.check()
    for target in ("copy", "key"):
        await world.objects.copy(ALICE, "bucket", "key", "bucket", target, attributes=Attributes(content_type="x/y"))
        world.check()
    await world.objects.delete(ALICE, "bucket", "key")
    assert await world.read("copy") == whole
    world.check()
    await world.objects.delete(ALICE, "bucket", "copy")
    world.check()
    assert set(rows_left(world).values()) == {0}


async def many_parts(world: World, data: bytes) -> bytes:
    """An object of 39 parts: it is opened in slices."""
    upload_id = await begin(world)
    await finish(world, upload_id, [await send(world, upload_id, number, data) for number in range(1, 40)])
    return data * 39


@pytest.mark.parametrize("steps", range(8))
async def test_a_cancelled_open_of_many_parts_lets_go(steps: int) -> None:
    """Wherever it is cancelled."""
    world = await World(limits=NamespaceLimits(min_part_bytes=1)).start()
    await many_parts(world, b"x")
    opening = asyncio.ensure_future(world.objects.open(ALICE, "bucket", "key"))
    for _ in range(steps):
        await asyncio.sleep(0)
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        (await opening).close()
    assert not world.store.readers.reads()


async def test_an_object_of_many_parts_that_changes_while_it_is_opened() -> None:
    """The reader gets the old or the new one, whole."""
    world = await World(limits=NamespaceLimits(min_part_bytes=1)).start()
    old = await many_parts(world, b"old")
    opening = asyncio.ensure_future(world.objects.open(ALICE, "bucket", "key"))
    await asyncio.sleep(0)
    new = await many_parts(world, b"new")
    async with await opening as opened:
        await world.objects.delete(ALICE, "bucket", "key")
        assert b"".join([bytes(chunk) async for chunk in opened.chunks()]) in (old, new)
    assert not world.store.readers.reads()


async def test_an_object_of_many_parts_that_never_holds_still() -> None:
    world = await World(limits=NamespaceLimits(min_part_bytes=1)).start()
    await many_parts(world, b"x")

    async def restless() -> None:
        while True:
            world.clock.advance(1)
            await world.objects.copy(ALICE, "bucket", "key", "bucket", "key", attributes=PLAIN)

    restlessness = asyncio.ensure_future(restless())
    try:
        for _ in range(20):
            try:
                async with await world.objects.open(ALICE, "bucket", "key") as opened:
                    assert b"".join([bytes(chunk) async for chunk in opened.chunks()]) == b"x" * 39
            except CommitConflict:
                pass
    finally:
        restlessness.cancel()
    assert not world.store.readers.reads()


# ---------------------------------------------------------------- copies of parts


async def copy_in(
    world: World, upload_id: str, number: int, source: str, byte_range: tuple[int, int] | None = None
) -> CompletedPart:
    part, _ = await world.uploads.copy_part(
        ALICE, "bucket", "key", upload_id, number, "bucket", source, byte_range=byte_range
    )
    return CompletedPart(number, part.md5.hex())


async def test_a_copied_part_moves_no_data(world: World) -> None:
    data = bytes(i % 251 for i in range(2 * S + 3000))
    await world.put("source", data)
    upload_id = await begin(world)
    parts = [
        await copy_in(world, upload_id, 1, "source"),
        await copy_in(world, upload_id, 2, "source", (S - 10, S + 10)),
        await copy_in(world, upload_id, 3, "source", (len(data) - 1, len(data) - 1)),
    ]
    assert [part.etag for part in parts] == [
        hashlib.md5(piece).hexdigest() for piece in (data, data[S - 10 : S + 11], data[-1:])
    ]
    await finish(world, upload_id, parts)
    assert rows_left(world)[Table.BODIES] == 1
    await world.objects.delete(ALICE, "bucket", "source")
    assert await world.read("key") == data + data[S - 10 : S + 11] + data[-1:]


async def test_neighbours_of_one_body_become_one_extent(world: World) -> None:
    data = bytes(i % 251 for i in range(5000))
    await world.put("source", data)
    upload_id = await begin(world)
    parts = [await copy_in(world, upload_id, n + 1, "source", (n * 1000, n * 1000 + 999)) for n in range(5)]
    version = await finish(world, upload_id, parts)
    assert version.extents == (await world.objects.head(ALICE, "bucket", "source")).extents
    assert await world.read("key") == data


async def test_a_range_that_is_a_part_reuses_its_digests(world: World) -> None:
    """Nothing is opened for that, only for a range that is no part."""
    upload_id = await begin(world, key="source", checksum_algorithm="CRC32")
    parts = [await send(world, upload_id, n, b"%d" % n * 10, key="source") for n in (1, 2)]
    await finish(world, upload_id, parts, key="source")
    opened_before = world.telemetry.counted(Counter.CELLS_OPENED)
    upload_id = await begin(world, checksum_algorithm="CRC32")
    part, _ = await world.uploads.copy_part(
        ALICE, "bucket", "key", upload_id, 1, "bucket", "source", byte_range=(10, 19)
    )
    assert (part.md5, part.checksums) == (md5(b"2" * 10), {"CRC32": checksum("CRC32", b"2" * 10)})
    assert world.telemetry.counted(Counter.CELLS_OPENED) == opened_before
    part, _ = await world.uploads.copy_part(
        ALICE, "bucket", "key", upload_id, 2, "bucket", "source", byte_range=(5, 14)
    )
    assert (part.md5, part.checksums) == (md5(b"1" * 5 + b"2" * 5), {"CRC32": checksum("CRC32", b"1" * 5 + b"2" * 5)})
    assert world.telemetry.counted(Counter.CELLS_OPENED) > opened_before


async def test_a_checksum_that_the_source_lacks_is_computed(world: World) -> None:
    await world.put("source", b"data")
    upload_id = await begin(world, checksum_algorithm="SHA1")
    part, _ = await world.uploads.copy_part(ALICE, "bucket", "key", upload_id, 1, "bucket", "source")
    assert part.checksums == {"SHA1": checksum("SHA1", b"data")}


@pytest.mark.parametrize("byte_range", [(0, 4), (4, 4), (3, 2), (-1, 2)])
async def test_a_range_lies_inside_the_source(world: World, byte_range: tuple[int, int]) -> None:
    await world.put("source", b"data")
    upload_id = await begin(world)
    with pytest.raises(RangeNotSatisfiable):
        await copy_in(world, upload_id, 1, "source", byte_range)


async def test_copy_part_refusals(world: World) -> None:
    etag = (await world.put("source", b"data")).etag
    upload_id = await begin(world)
    with pytest.raises(ObjectNotFound):
        await copy_in(world, upload_id, 1, "none")
    with pytest.raises(InvalidArgument):
        await copy_in(world, upload_id, 0, "source")
    with pytest.raises(UploadNotFound):
        await copy_in(world, "00" * 16, 1, "source")
    with pytest.raises(PreconditionFailed):
        await world.uploads.copy_part(
            ALICE, "bucket", "key", upload_id, 1, "bucket", "source", source_condition=ReadCondition((), (etag,))
        )
    await world.buckets.create(BOB, "bobs")
    bobs = await world.uploads.create(BOB, "bobs", "key", PLAIN)
    with pytest.raises(AccessDenied):
        await world.uploads.copy_part(BOB, "bobs", "key", bobs, 1, "bucket", "source")


async def test_a_source_that_changes_meanwhile_is_read_again(world: World) -> None:
    """The digests always belong to the bytes; a source that never holds still is a conflict."""
    await world.put("source", b"0000")
    upload_id = await begin(world)

    async def overwrite(times: int) -> None:
        for n in range(times):
            await world.put("source", b"%04d" % (n + 1))

    copying = asyncio.ensure_future(copy_in(world, upload_id, 1, "source", (1, 3)))
    await asyncio.gather(overwrite(30), copying, return_exceptions=True)
    if isinstance(copying.exception(), CommitConflict):
        return
    await finish(world, upload_id, [copying.result()])
    assert hashlib.md5(await world.read("key")).hexdigest() == copying.result().etag


async def test_extents_are_bounded() -> None:
    world = await World(limits=NamespaceLimits(min_part_bytes=1, max_extents=3)).start()
    upload_id = await begin(world)
    parts = [await send(world, upload_id, number, b"x") for number in range(1, 5)]
    with pytest.raises(TooMany):
        await finish(world, upload_id, parts)
    await finish(world, upload_id, parts[:3])
    world.check()


# ---------------------------------------------------------------- listings and age


async def test_listing_parts(world: World) -> None:
    upload_id = await begin(world)
    for number in (1, 3, 7, 10_000):
        await send(world, upload_id, number, b"x" * number)

    async def numbers(after: int, limit: int) -> tuple[list[int], bool]:
        _, parts, more = await world.uploads.list_parts(ALICE, "bucket", "key", upload_id, after=after, limit=limit)
        return [number for number, _ in parts], more

    assert await numbers(0, 1000) == ([1, 3, 7, 10_000], False)
    assert await numbers(0, 2) == ([1, 3], True)
    assert await numbers(3, 2) == ([7, 10_000], False)
    assert await numbers(10**9, 2) == ([], False)
    with pytest.raises(UploadNotFound):
        await world.uploads.list_parts(ALICE, "bucket", "key", "00" * 16)


async def test_listing_uploads(world: World) -> None:
    """By key, then by time; pages by both; prefixes and delimiters as for objects."""
    made = []
    for key in ("b", "a/1", "a/2", "b", "c"):
        made.append((key, await begin(world, key)))
        world.clock.advance(1)
    expected = sorted(made, key=lambda pair: pair[0])
    found, prefixes, markers = await world.uploads.list(ALICE, "bucket")
    assert [(key, upload_id) for key, upload_id, _ in found] == expected
    assert (prefixes, markers) == ([], None)

    paged = []
    markers = ("", "")
    while markers is not None:
        found, _, markers = await world.uploads.list(
            ALICE, "bucket", key_marker=markers[0], upload_id_marker=markers[1], limit=2
        )
        paged += [(key, upload_id) for key, upload_id, _ in found]
    assert paged == expected

    found, prefixes, markers = await world.uploads.list(ALICE, "bucket", delimiter="/", limit=2)
    assert (len(found), prefixes, markers) == (1, ["a/"], expected[2])
    found, prefixes, markers = await world.uploads.list(ALICE, "bucket", delimiter="/", limit=1)
    assert (found, prefixes, markers) == ([], ["a/"], ("a/", ""))
    found, prefixes, _ = await world.uploads.list(ALICE, "bucket", delimiter="/", key_marker="a/")
    assert ([key for key, _, _ in found], prefixes) == (["b", "b", "c"], [])
    found, _, _ = await world.uploads.list(ALICE, "bucket", key_marker="b")
    assert [key for key, _, _ in found] == ["c"]
    found, _, _ = await world.uploads.list(ALICE, "bucket", prefix="a/")
    assert [key for key, _, _ in found] == ["a/1", "a/2"]
    with pytest.raises(AccessDenied):
        await world.uploads.list(BOB, "bucket")


async def test_the_marker_of_an_upload_that_ended_still_works(world: World) -> None:
    first, second = await begin(world), ""
    world.clock.advance(1)
    second = await begin(world)
    await world.uploads.abort(ALICE, "bucket", "key", first)
    found, _, _ = await world.uploads.list(ALICE, "bucket", key_marker="key", upload_id_marker=first)
    assert [upload_id for _, upload_id, _ in found] == [second]


async def test_old_uploads_expire(world: World) -> None:
    old = await begin(world)
    await send(world, old, 1, b"x" * 2000)
    world.clock.advance(4 * 86_400)
    young = await begin(world)
    assert await world.uploads.expire() == 0
    assert world.telemetry.gauged(Gauge.OPEN_UPLOADS) == 2
    world.clock.advance(3 * 86_400 + 1)
    assert await world.uploads.expire() == 1
    assert world.telemetry.gauged(Gauge.OPEN_UPLOADS) == 1
    assert rows_left(world) == {Table.UPLOADS: 1, Table.PARTS: 0, Table.BODIES: 0, Table.LAYOUTS: 0}
    await world.uploads.get(ALICE, "bucket", "key", young)
    with pytest.raises(UploadNotFound):
        await send(world, old, 1, b"x")


def test_extents_are_cut_exactly() -> None:

    one, two = BodyId(b"1" * 16), BodyId(b"2" * 16)
    extents = [Extent(one, 100, 10), Extent(two, 0, 5), Extent(one, 110, 10)]
    assert cut(extents, 0, 0, 25) == extents
    assert cut(extents, 0, 3, 12) == [Extent(one, 103, 7), Extent(two, 0, 2)]
    assert cut(extents, 50, 60, 61) == [Extent(two, 0, 1)]
    assert cut(extents, 0, 24, 25) == [Extent(one, 119, 1)]
    pieces = [Extent(one, 0, 5), Extent(one, 5, 5), Extent(one, 10, 1)]
    found = joined([*pieces, Extent(two, 0, 1), Extent(two, 2, 1)])
    assert found.extents == [Extent(one, 0, 11), Extent(two, 0, 1), Extent(two, 2, 1)]
    assert (found.gained, found.spent) == ([Extent(one, 0, 11)], pieces)


@pytest.mark.parametrize("ends", [(1, 2), (1, 2, 3, 4), (2, 6), (1, 3, 6)])
async def test_copied_parts_that_became_one_extent_take_nothing_from_their_source(
    world: World, ends: tuple[int, ...]
) -> None:
    """Replaced and deleted, with the reaper at work: the source stays whole, and what it leaves behind is counted."""
    segment = Geometry().segment_bytes
    data = hashlib.shake_128(b"source").digest(6 * segment)
    await world.put("source", data)
    for _ in range(3):
        upload_id = await world.uploads.create(ALICE, "bucket", "copy", PLAIN)
        named, start = [], 0
        for number, end in enumerate(ends, start=1):
            part, _ = await world.uploads.copy_part(
                ALICE, "bucket", "copy", upload_id, number, "bucket", "source", byte_range=(start, end * segment - 1)
            )
            named.append(CompletedPart(number, part.md5.hex()))
            start = end * segment
        await world.uploads.complete(ALICE, "bucket", "copy", upload_id, named)
        await world.store.reaper.run()
        world.check()
        assert world.store.auditor.orphans().clean
        assert await world.read("source") == data
        assert await world.read("copy") == data[:start]
    await world.objects.delete(ALICE, "bucket", "source")
    await world.store.reaper.run()
    assert await world.read("copy") == data[:start]
    assert sum(decode(Run, raw).count for _, raw in world.rows(Table.RUNS)) == ends[-1]
    await world.objects.delete(ALICE, "bucket", "copy")
    await world.store.reaper.run()
    assert world.rows(Table.RUNS) == []
