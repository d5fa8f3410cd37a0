"""Files: PUT, GET, HEAD and DELETE with everything HTTP says about them."""

import hashlib
import random

import pytest

from noisefs.core.domain.requests import Attributes
from noisefs.core.services.namespace.objects.service import Objects
from tests.support.namespace import stream
from tests.support.webdav_server import OTHER, OTHER_PASSWORD, Reply, WebdavServer, basic

SEGMENT = 131_072
SIZES = (0, 1, 1024, 1025, SEGMENT - 1, SEGMENT, SEGMENT + 1, 5 * SEGMENT + 7)


def pattern(size: int) -> bytes:
    """Bytes that differ everywhere."""
    return hashlib.shake_128(b"pattern").digest(size)


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_comes_back_byte_for_byte(dav: WebdavServer, size: int) -> None:
    """Whatever its size, with an ETag that is the MD5 S3 would give."""
    data = pattern(size)
    put = await dav("PUT", "/bucket/f", data)
    got = await dav("GET", "/bucket/f")
    assert (put.status, got.status) == (201, 200)
    assert got.body == data
    assert put.headers["ETag"] == got.headers["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert got.headers["Content-Length"] == str(size)


async def test_a_second_put_replaces_and_says_204(dav: WebdavServer) -> None:
    """201 for a new file, 204 for a replaced one."""
    assert (await dav("PUT", "/bucket/f", b"one")).status == 201
    assert (await dav("PUT", "/bucket/f", b"two")).status == 204
    assert (await dav("GET", "/bucket/f")).body == b"two"


async def test_a_chunked_put_is_stored_whole(dav: WebdavServer) -> None:
    """As Finder sends them."""
    data = pattern(300_000)
    assert (await dav("PUT", "/bucket/f", stream(data, 7001))).status == 201
    assert (await dav("GET", "/bucket/f")).body == data


async def test_the_content_type_of_a_put_is_kept_and_a_missing_one_is_guessed(dav: WebdavServer) -> None:
    """From the name, or binary."""
    await dav("PUT", "/bucket/a", b"x", Content_Type="text/x-strange; charset=utf-8")
    await dav("PUT", "/bucket/b.png", b"x")
    await dav("PUT", "/bucket/c", b"x")
    types = [(await dav("HEAD", f"/bucket/{name}")).headers["Content-Type"] for name in ("a", "b.png", "c")]
    assert types == ["text/x-strange; charset=utf-8", "image/png", "application/octet-stream"]


async def test_files_are_served_so_that_a_browser_runs_nothing(dav: WebdavServer) -> None:
    """A stored page cannot act with the login of whoever opens it."""
    await dav("PUT", "/bucket/x.html", b"<script>alert(1)</script>")
    got = await dav("GET", "/bucket/x.html")
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Security-Policy"].startswith("sandbox;")


async def test_head_is_get_without_the_body(dav: WebdavServer) -> None:
    """The same headers, Content-Length included."""
    await dav("PUT", "/bucket/f", b"12345")
    head, get = await dav("HEAD", "/bucket/f"), await dav("GET", "/bucket/f")
    volatile = {"Date"}
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in get.headers.items() if k not in volatile
    }
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=0-1,2-x", 200, b"0123456789", None),
        ("bytes=0-5,4-9", 200, b"0123456789", None),
        ("bytes=0-,-3", 200, b"0123456789", None),
        ("bytes=10-,99-", 416, None, "bytes */10"),
        ("bytes=10-,2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=,2-4,", 206, b"234", "bytes 2-4/10"),
        ("bytes=,", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=x-y", 200, b"0123456789", None),
    ],
)
async def test_ranges(
    dav: WebdavServer, asked: str, status: int, body: bytes | None, content_range: str | None
) -> None:
    """One range is honoured, what lies behind the end is refused, anything else is ignored (RFC 9110 section 14.2)."""
    await dav("PUT", "/bucket/f", b"0123456789")
    got = await dav("GET", "/bucket/f", Range=asked)
    assert got.status == status
    assert got.headers.get("Content-Range") == content_range
    if body is not None:
        assert got.body == body


def parts_of(reply: Reply) -> list[tuple[str, bytes]]:
    """Range and bytes of each part of a ``multipart/byteranges`` answer."""
    assert reply.status == 206
    assert "Content-Range" not in reply.headers
    content_type, _, boundary = reply.headers["Content-Type"].partition("; boundary=")
    assert content_type == "multipart/byteranges"
    begin, *parts, end = reply.body.split(f"--{boundary}".encode())
    assert (begin, end) == (b"", b"--\r\n")
    found = []
    for part in parts:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        found.append((fields["Content-Range"], data.removesuffix(b"\r\n")))
    return found


async def test_several_ranges_in_one_answer(dav: WebdavServer) -> None:
    """Each with its own bytes, in the order asked for; those behind the end are left out."""
    await dav("PUT", "/bucket/f", b"0123456789", Content_Type="image/png")
    got = await dav("GET", "/bucket/f", Range="bytes=7-, 0-0 ,2-3,50-60")
    assert parts_of(got) == [("bytes 7-9/10", b"789"), ("bytes 0-0/10", b"0"), ("bytes 2-3/10", b"23")]
    assert got.body.count(b"Content-Type: image/png") == 3
    assert int(got.headers["Content-Length"]) == len(got.body)
    many = ",".join(f"{at}-{at}" for at in range(0, 130, 2))
    await dav("PUT", "/bucket/f", bytes(130))
    assert (await dav("GET", "/bucket/f", Range=f"bytes={many}")).status == 200


async def test_several_ranges_of_a_large_file(dav: WebdavServer) -> None:
    """Across segments, far apart, also where one answer is larger than what leaves at once; from one version of it."""
    data = random.Random(6).randbytes(9 << 20)
    etag = (await dav("PUT", "/bucket/f", stream(data, 1 << 20))).headers["ETag"]
    spans = [(0, 1), (131_071, 131_073), (1 << 20, 7 << 20), (8 << 20, (8 << 20) + 300_000), (len(data) - 1, len(data))]
    asked = "bytes=" + ",".join(f"{start}-{end - 1}" for start, end in reversed(spans))
    got = await dav("GET", "/bucket/f", Range=asked, If_Range=etag)
    assert parts_of(got) == [
        (f"bytes {start}-{end - 1}/{len(data)}", data[start:end]) for start, end in reversed(spans)
    ]
    assert (await dav("GET", "/bucket/f", Range=asked, If_Range='"other"')).body == data


async def test_a_range_means_nothing_to_head(dav: WebdavServer) -> None:
    """Only GET has ranges (RFC 9110 section 14.2): all of the file is described."""
    await dav("PUT", "/bucket/f", b"0123456789")
    for asked in ("bytes=2-4", "bytes=2-4,6-7", "bytes=99-"):
        for held in ({}, {"If-Match": "*"}):  # the second one takes the long way
            told = await dav("HEAD", "/bucket/f", Range=asked, **held)
            assert (told.status, told.headers["Content-Length"]) == (200, "10")
            assert "Content-Range" not in told.headers


async def test_a_range_of_an_empty_file_cannot_be_had(dav: WebdavServer) -> None:
    """There is no byte 0."""
    await dav("PUT", "/bucket/f", b"")
    assert (await dav("GET", "/bucket/f", Range="bytes=0-")).status == 416


async def test_a_range_holds_only_for_the_state_that_if_range_names(dav: WebdavServer) -> None:
    """Else the whole file is sent."""
    etag = (await dav("PUT", "/bucket/f", b"0123456789")).headers["ETag"]
    modified = (await dav("HEAD", "/bucket/f")).headers["Last-Modified"]
    assert (await dav("GET", "/bucket/f", Range="bytes=1-2", If_Range=etag)).status == 206
    assert (await dav("GET", "/bucket/f", Range="bytes=1-2", If_Range=modified)).status == 206
    assert (await dav("GET", "/bucket/f", Range="bytes=1-2", If_Range='"other"')).status == 200
    assert (await dav("GET", "/bucket/f", Range="bytes=1-2", If_Range="Mon, 01 Jan 2001 00:00:00 GMT")).status == 200


async def test_conditions_of_a_get(dav: WebdavServer) -> None:
    """304 for what the client has, 412 for what is no longer there."""
    etag = (await dav("PUT", "/bucket/f", b"x")).headers["ETag"]
    modified = (await dav("HEAD", "/bucket/f")).headers["Last-Modified"]
    fresh = await dav("GET", "/bucket/f", If_None_Match=etag)
    assert (fresh.status, fresh.body, fresh.headers["ETag"]) == (304, b"", etag)
    assert (await dav("GET", "/bucket/f", If_None_Match=f'"a", W/{etag}')).status == 304
    assert (await dav("HEAD", "/bucket/f", If_Modified_Since=modified)).status == 304
    assert (await dav("GET", "/bucket/f", If_Modified_Since="Mon, 01 Jan 2001 00:00:00 GMT")).status == 200
    assert (await dav("GET", "/bucket/f", If_Modified_Since="yesterday")).status == 200
    assert (await dav("GET", "/bucket/f", If_Match='"a", "b"')).status == 412
    assert (await dav("GET", "/bucket/f", If_Match=f'"a", {etag}')).status == 200
    assert (await dav("GET", "/bucket/f", If_Unmodified_Since="Mon, 01 Jan 2001 00:00:00 GMT")).status == 412


async def test_conditions_of_a_put(dav: WebdavServer) -> None:
    """A lost update is refused, and the file stays as it was."""
    assert (await dav("PUT", "/bucket/f", b"0", If_Match="*")).status == 412
    assert (await dav("PUT", "/bucket/f", b"0", If_Match='"a"')).status == 412
    etag = (await dav("PUT", "/bucket/f", b"1", If_None_Match="*")).headers["ETag"]
    assert (await dav("PUT", "/bucket/f", b"2", If_None_Match="*")).status == 412
    assert (await dav("PUT", "/bucket/f", b"2", If_Match='"other"')).status == 412
    assert (await dav("PUT", "/bucket/f", b"2", If_Unmodified_Since="Mon, 01 Jan 2001 00:00:00 GMT")).status == 412
    assert (await dav("GET", "/bucket/f")).body == b"1"
    assert (await dav("PUT", "/bucket/f", b"2", If_Match=etag)).status == 204


@pytest.mark.parametrize("method", ["DELETE", "MOVE", "COPY", "PROPPATCH", "LOCK"])
async def test_conditions_of_other_changes(dav: WebdavServer, method: str) -> None:
    """They hold for every method that changes something."""
    await dav("PUT", "/bucket/f", b"1")
    refused = await dav(method, "/bucket/f", If_Match='"other"', Destination="/bucket/g")
    assert refused.status == 412
    assert (await dav("GET", "/bucket/f")).status == 200


async def test_a_put_of_a_part_is_refused(dav: WebdavServer) -> None:
    """A server that ignores Content-Range replaces the file by a piece of it (RFC 9110 section 14.5)."""
    await dav("PUT", "/bucket/f", b"0123456789")
    assert (await dav("PUT", "/bucket/f", b"xx", Content_Range="bytes 2-3/10")).status == 400
    assert (await dav("GET", "/bucket/f")).body == b"0123456789"


async def test_the_time_of_a_file_can_be_set_by_the_client(dav: WebdavServer) -> None:
    """ownCloud's header, which rclone and others use."""
    put = await dav("PUT", "/bucket/f", b"x", X_OC_Mtime="1234567890.25")
    assert put.headers["X-OC-MTime"] == "accepted"
    assert (await dav("HEAD", "/bucket/f")).headers["Last-Modified"] == "Fri, 13 Feb 2009 23:31:30 GMT"


@pytest.mark.parametrize("time", ["", "yesterday", "nan", "inf", "-1", "1e300", "253402300800"])
async def test_a_bad_time_is_refused(dav: WebdavServer, time: str) -> None:
    """Before any byte is stored."""
    assert (await dav("PUT", "/bucket/f", b"x", X_OC_Mtime=time)).status == 400
    assert (await dav("GET", "/bucket/f")).status == 404


async def test_the_creation_date_stays_when_a_file_is_overwritten(dav: WebdavServer) -> None:
    """The modification date does not."""
    await dav("PUT", "/bucket/f", b"1")
    created_us = dav.world.clock.now_us()
    dav.world.clock.advance(3600)
    await dav("PUT", "/bucket/f", b"2")
    version = await dav.world.objects.head(dav.who, "bucket", "f")
    assert version.created_us == created_us
    assert version.modified_us > created_us


async def test_where_a_file_may_be_put(dav: WebdavServer) -> None:
    """409 without a parent, 405 on a collection, 403 in the root."""
    await dav("MKCOL", "/bucket/d")
    await dav("PUT", "/bucket/f", b"x")
    assert (await dav("PUT", "/bucket/no/f", b"x")).status == 409
    assert (await dav("PUT", "/bucket/f/below", b"x")).status == 409
    assert (await dav("PUT", "/nobucket/f", b"x")).status == 409
    assert (await dav("PUT", "/bucket/d", b"x")).status == 405
    assert (await dav("PUT", "/bucket/d/", b"x")).status == 405
    assert (await dav("PUT", "/bucket/new/", b"x")).status == 405
    assert (await dav("PUT", "/bucket", b"x")).status == 405
    assert (await dav("PUT", "/file", b"x")).status == 403
    assert (await dav("PUT", "/", b"x")).status == 403


async def test_get_prefers_the_file_over_what_hides_it(dav: WebdavServer) -> None:
    """Where ``a`` and ``a/x`` exist, listings show the collection; the bytes of ``a`` can still be had by name."""
    await dav("PUT", "/bucket/a", b"hidden")
    await dav.world.objects.put(dav.who, "bucket", "a/x", stream(b"1"), Attributes())
    assert (await dav("GET", "/bucket/a")).body == b"hidden"
    assert (await dav("GET", "/bucket/a/")).headers["Content-Type"].startswith("text/html")
    assert (await dav("PUT", "/bucket/a", b"2")).status == 405


async def test_a_deleted_file_is_gone(dav: WebdavServer) -> None:
    """And deleting it again is 404."""
    await dav("PUT", "/bucket/f", b"x")
    assert (await dav("DELETE", "/bucket/f")).status == 204
    assert (await dav("GET", "/bucket/f")).status == 404
    assert (await dav("DELETE", "/bucket/f")).status == 404


async def test_a_path_that_ends_in_a_slash_is_no_file(dav: WebdavServer) -> None:
    """It names a collection, and there is none."""
    await dav("PUT", "/bucket/f", b"x")
    for method in ("GET", "DELETE", "PROPFIND"):
        assert (await dav(method, "/bucket/f/", Depth="0")).status == 404
    assert (await dav("MKCOL", "/bucket/f/")).status == 405


async def test_another_users_bucket_is_out_of_reach(dav: WebdavServer) -> None:
    """For every method, whether the name exists in it or not."""
    await dav("PUT", "/bucket/f", b"x")
    auth = basic(OTHER, OTHER_PASSWORD)
    for method in ("GET", "PUT", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL", "LOCK", "UNLOCK", "COPY", "MOVE"):
        for path in ("/bucket/f", "/bucket/new"):
            reply = await dav(method, path, auth=auth, Depth="0", Destination="/bucket/y", Lock_Token="<urn:x>")
            assert reply.status == 403, (method, path)
    assert (await dav("GET", "/bucket/f")).body == b"x"


async def test_stored_headers_come_back(dav: WebdavServer) -> None:
    """Those that say how to use the bytes."""
    await dav("PUT", "/bucket/f", b"x", Cache_Control="no-cache", Content_Language="de", Content_Encoding="gzip")
    got = await dav("GET", "/bucket/f")
    assert (got.headers["Cache-Control"], got.headers["Content-Language"]) == ("no-cache", "de")
    assert got.headers["Content-Encoding"] == "gzip"
    assert got.body == b"x"


async def test_text_that_another_protocol_stored_cannot_split_an_answer(dav: WebdavServer) -> None:
    """A content type with a line break is left out."""
    attributes = Attributes(content_type="a/b\r\nX-Evil: 1", headers={"Content-Disposition": "x\r\nX-Evil: 1"})
    objects: Objects = dav.world.objects
    await objects.put(dav.who, "bucket", "f", stream(b"x"), attributes)
    got = await dav("GET", "/bucket/f")
    assert got.status == 200
    assert "X-Evil" not in got.headers
