"""Parts of files written: PATCH, and what a PUT with Content-Range is answered."""

import random
from collections.abc import AsyncIterator

import pytest

from noisefs.adapters.inbound.webdav.files.patching import CONTENT_TYPE
from tests.support.webdav_server import BOB, BUCKET, Reply, WebdavServer, allow

_PATH = f"/{BUCKET}/k"
_LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


async def patch(
    dav: WebdavServer, span: str, body: bytes | AsyncIterator[bytes], path: str = _PATH, **headers: str
) -> Reply:
    """One PATCH."""
    return await dav("PATCH", path, body, Content_Type=CONTENT_TYPE, X_Update_Range=span, **headers)


@pytest.mark.parametrize(
    ("span", "body", "after"),
    [
        ("bytes=3-6", b"ABCD", b"012ABCD789"),
        ("bytes=3-", b"ABC", b"012ABC6789"),
        ("bytes=8-", b"ABCD", b"01234567ABCD"),
        ("bytes=10-", b"AB", b"0123456789AB"),
        ("bytes=0-9", b"ABCDEFGHIJ", b"ABCDEFGHIJ"),
        ("bytes=0-", b"ABCDEFGHIJKL", b"ABCDEFGHIJKL"),
        ("bytes=-3", b"A", b"0123456A89"),
        ("bytes=-10", b"A", b"A123456789"),
        ("append", b"AB", b"0123456789AB"),
        ("append", b"", b"0123456789"),
        ("Bytes = 0 - 0", b"A", b"A123456789"),
    ],
)
async def test_bytes_are_replaced_in_place(dav: WebdavServer, span: str, body: bytes, after: bytes) -> None:
    """And what is not named stays, as do type and creation date; the tag changes."""
    old = await dav("PUT", _PATH, b"0123456789", Content_Type="text/x-mine")
    reply = await patch(dav, span, body)
    assert reply.status == 204
    got = await dav("GET", _PATH)
    assert got.body == after
    assert got.headers["Content-Type"] == "text/x-mine"
    assert got.headers["ETag"] == reply.headers["ETag"] != old.headers["ETag"]
    dav.world.check()


@pytest.mark.parametrize(
    ("span", "body", "status"),
    [
        ("bytes=11-", b"A", 416),
        ("bytes=-11", b"A", 416),
        ("bytes=3-6", b"ABC", 400),
        ("bytes=3-6", b"ABCDE", 400),
        ("bytes=6-3", b"ABCD", 400),
        ("bytes=a-b", b"A", 400),
        ("bytes=0-1,3-4", b"AB", 400),
        ("lines=0-1", b"AB", 400),
        ("", b"AB", 400),
    ],
)
async def test_what_cannot_be_changes_nothing(dav: WebdavServer, span: str, body: bytes, status: int) -> None:
    """Whether its length is told before or not."""

    async def chunked() -> AsyncIterator[bytes]:
        yield body

    etag = (await dav("PUT", _PATH, b"0123456789")).headers["ETag"]
    for sent in (body, chunked()):
        assert (await patch(dav, span, sent)).status == status
    got = await dav("GET", _PATH)
    assert (got.body, got.headers["ETag"]) == (b"0123456789", etag)
    dav.world.check()


async def test_only_files_are_patched_and_only_so(dav: WebdavServer) -> None:
    """Not what is missing, a collection, or with another kind of body."""
    await dav("PUT", _PATH, b"x")
    assert (await patch(dav, "append", b"y", f"/{BUCKET}/none")).status == 404
    assert (await patch(dav, "append", b"y", f"/{BUCKET}/")).status == 405
    wrong = await dav("PATCH", _PATH, b"y", Content_Type="text/plain", X_Update_Range="append")
    assert (wrong.status, wrong.headers["Accept-Patch"]) == (415, CONTENT_TYPE)
    assert (await dav("PATCH", _PATH, b"y", Content_Type=CONTENT_TYPE)).status == 400
    options = await dav("OPTIONS", "/")
    assert options.headers.getall("DAV") == ["1, 2, 3, sabredav-partialupdate"]  # type: ignore[attr-defined]
    assert options.headers["Accept-Patch"] == CONTENT_TYPE
    assert (await dav("PUT", _PATH, b"y", Content_Range="bytes 0-0/1")).status == 400
    assert (await dav("GET", _PATH)).body == b"x"


async def test_conditions_locks_and_rights_count(dav: WebdavServer) -> None:
    """As for a PUT."""
    etag = (await dav("PUT", _PATH, b"x")).headers["ETag"]
    assert (await patch(dav, "append", b"y", If_Match='"other"')).status == 412
    assert (await patch(dav, "append", b"y", If_Match=etag)).status == 204
    assert (await patch(dav, "append", b"z", If_Match=etag)).status == 412
    token = (await dav("LOCK", _PATH, _LOCK)).headers["Lock-Token"]
    assert (await patch(dav, "append", b"z")).status == 423
    assert (await patch(dav, "append", b"z", If=f"({token})")).status == 204
    await dav("UNLOCK", _PATH, Lock_Token=token)
    assert (await dav("GET", _PATH)).body == b"xyz"
    await allow(dav, {"Action": "s3:GetObject"})
    fields = {"Content_Type": CONTENT_TYPE, "X_Update_Range": "append"}
    assert (await dav("PATCH", _PATH, b"z", auth=BOB, **fields)).status == 403
    await allow(dav, {"Action": "s3:PutObject"})
    assert (await dav("PATCH", _PATH, b"!", auth=BOB, **fields)).status == 204
    assert (await dav("GET", _PATH)).body == b"xyz!"


async def test_an_older_version_keeps_its_bytes(dav: WebdavServer) -> None:
    """In a bucket with versions, and so does a copy."""
    await dav.world.versions.configure(dav.who, BUCKET, enabled=True)
    await dav("PUT", _PATH, b"0123456789")
    await dav("COPY", _PATH, Destination=f"/{BUCKET}/copy")
    await patch(dav, "bytes=3-6", b"ABCD")
    page = await dav.world.objects.list_history(dav.who, BUCKET, prefix="k")
    bodies = []
    for entry in page.entries:
        async with await dav.world.objects.open(dav.who, BUCKET, "k", version_id=entry.version_id) as opened:
            bodies.append(b"".join([bytes(piece) async for piece in opened.chunks()]))
    assert bodies == [b"012ABCD789", b"0123456789"]
    assert (await dav("GET", f"/{BUCKET}/copy")).body == b"0123456789"
    dav.world.check()


async def test_many_patches_are_what_one_file_would_be(dav: WebdavServer) -> None:
    """Of all sizes, in files of one segment and of several, read back whole and in ranges; references add up."""
    rng = random.Random(5)
    model = bytearray(rng.randbytes(300_000))
    await dav("PUT", _PATH, bytes(model))
    for number in range(60):
        begin = rng.randrange(len(model) + 1)
        data = rng.randbytes(rng.choice((1, 10, 5000, 140_000)) if number % 7 else 0)
        assert (await patch(dav, f"bytes={begin}-", data)).status == 204
        model[begin : begin + len(data)] = data
        first = rng.randrange(len(model))
        part = await dav("GET", _PATH, Range=f"bytes={first}-{first + 1000}")
        assert part.body == model[first : first + 1001]
    assert (await dav("GET", _PATH)).body == model
    dav.world.check()
    assert (await dav("DELETE", _PATH)).status == 204
    dav.world.check()


async def test_a_checksum_is_asked_for_again(dav: WebdavServer) -> None:
    """As rclone does of a Nextcloud once it has set a time: what is known is told, and nothing is changed."""
    await dav("PUT", _PATH, b"x", OC_Checksum="SHA1:11f6ad8ec52a2984abaafd7c3b516503785c2072")
    told = await dav("PATCH", _PATH, X_Recalculate_Hash="SHA1")
    assert (told.status, told.headers["OC-Checksum"].split()[0]) == (
        204,
        "SHA1:11f6ad8ec52a2984abaafd7c3b516503785c2072",
    )
    assert (await dav("PATCH", f"/{BUCKET}/none", X_Recalculate_Hash="SHA1")).status == 404
    assert (await dav("GET", _PATH)).body == b"x"
