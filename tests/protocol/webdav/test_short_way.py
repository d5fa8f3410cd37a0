"""The short way: which requests take it, and that it answers as the long way does."""

from collections.abc import AsyncIterator

import pytest

from tests.support.webdav_server import PASSWORD, Reply, WebdavServer, basic

_TIMES = ("Date", "Last-Modified")


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    """A body of unknown length: it takes the long way."""
    yield body


def described(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """An answer without its times."""
    return reply.status, {name: text for name, text in sorted(reply.headers.items()) if name not in _TIMES}, reply.body


async def test_small_files_take_it(dav: WebdavServer) -> None:
    """Made, replaced, read, looked at and read in part, without a task of their own."""
    assert (await dav("PUT", "/bucket/f.txt", b"one")).status == 201
    dav.long_way.clear()
    assert (await dav("PUT", "/bucket/g.txt", b"one")).status == 201
    assert (await dav("PUT", "/bucket/g.txt", b"two three", X_OC_Mtime="1000000000")).status == 204
    assert (await dav("GET", "/bucket/g.txt")).body == b"two three"
    assert (await dav("HEAD", "/bucket/g.txt")).headers["Content-Length"] == "9"
    part = await dav("GET", "/bucket/g.txt", Range="bytes=4-")
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"three", "bytes 4-8/9")
    assert dav.long_way == []


@pytest.mark.parametrize(("name", "body"), [("new.html", b"<p>"), ("old.bin", b"x" * 5000), ("old.bin", b"")])
async def test_a_put_is_answered_alike(dav: WebdavServer, name: str, body: bytes) -> None:
    """Whichever way it takes."""
    for folder in ("/bucket/short", "/bucket/long"):
        assert (await dav("MKCOL", folder)).status == 201
        assert (await dav("PUT", f"{folder}/old.bin", b"before")).status == 201
    dav.long_way.clear()
    short = await dav("PUT", f"/bucket/short/{name}", body, X_OC_Mtime="1000000000")
    assert dav.long_way == []
    long = await dav("PUT", f"/bucket/long/{name}", chunked(body), X_OC_Mtime="1000000000")
    assert dav.long_way[-1] == "PUT"
    assert described(short) == described(long)
    there, here = [await dav("GET", f"/bucket/{folder}/{name}") for folder in ("short", "long")]
    assert described(there) == described(here)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("span", [None, "bytes=1-2", "bytes=-3", "bytes=9-", "bytes=0-2,2-3", "lines=1-2"])
async def test_a_read_is_answered_alike(dav: WebdavServer, method: str, span: str | None) -> None:
    """Whichever way it takes: a condition that holds sends it the long one."""
    etag = (await dav("PUT", "/bucket/f.txt", b"body", Cache_Control="no-cache")).headers["ETag"]
    headers = {} if span is None else {"Range": span}
    short = await dav(method, "/bucket/f.txt", **headers)
    dav.long_way.clear()
    long = await dav(method, "/bucket/f.txt", **headers, If_Match=etag)
    assert dav.long_way == [method]
    assert described(short) == described(long)


async def test_nobody_unknown_takes_it(dav: WebdavServer) -> None:
    """A wrong password, none, and a right one that was never verified are the long way's business."""
    await dav("PUT", "/bucket/f.txt", b"body")
    dav.long_way.clear()
    for auth in (None, basic("alice", "wrong"), "Basic %%%", basic("alice", PASSWORD + "x")):
        assert (await dav("GET", "/bucket/f.txt", auth=auth)).status == 401
        assert (await dav("PUT", "/bucket/f.txt", b"other", auth=auth)).status == 401
    assert dav.long_way == ["GET", "PUT"] * 4
    assert (await dav("GET", "/bucket/f.txt")).body == b"body"
