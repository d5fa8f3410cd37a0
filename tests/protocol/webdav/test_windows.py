"""What Windows' WebDAV redirector cannot take, and what it does in its own way."""

import asyncio
import xml.etree.ElementTree as ET

import pytest

from noisefs.core.domain.requests import Attributes
from tests.support.namespace import stream
from tests.support.webdav_server import PASSWORD, USER, WebdavServer, basic

AGENT = "Microsoft-WebDAV-MiniRedir/10.0.19045"
LIMIT_BYTES = 1_000_000
DATE = "Sat, 21 Nov 2020 10:00:00 GMT"
TIMES = "".join(
    f"<Z:Win32{name}>{DATE}</Z:Win32{name}>" for name in ("CreationTime", "LastAccessTime", "LastModifiedTime")
)
PATCH = (
    '<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
    f"<D:set><D:prop>{TIMES}<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set>"
    "</D:propertyupdate>"
)


async def fill(dav: WebdavServer, files: int) -> None:
    """A folder of files as Explorer leaves them."""
    for number in range(files):
        key = f"d/Ferienbilder {number:05}.jpg"
        await dav.world.objects.put(dav.who, "bucket", key, stream(b"x"), Attributes(content_type="image/jpeg"))
        assert (await dav("PROPPATCH", f"/bucket/{key.replace(' ', '%20')}", PATCH)).status == 207


async def test_a_listing_of_2000_files_is_one_that_windows_takes(dav: WebdavServer) -> None:
    """With everything that it needs, for each."""
    await fill(dav, 2000)
    listing = await dav("PROPFIND", "/bucket/d", Depth="1", User_Agent=AGENT)
    assert len(listing.body) < LIMIT_BYTES
    last = ET.fromstring(listing.body)[-1]
    named = {prop.tag.rpartition("}")[2] for prop in last.iter()}
    assert {"creationdate", "getcontentlength", "getlastmodified", "resourcetype", "Win32FileAttributes"} <= named
    assert DATE in [prop.text for prop in last.iter()]
    assert len((await dav("PROPFIND", "/bucket/d", Depth="1")).body) > LIMIT_BYTES


async def test_a_small_listing_has_everything(dav: WebdavServer) -> None:
    """Also for Windows."""
    await fill(dav, 2)
    shown = (await dav("PROPFIND", "/bucket/d", Depth="1", User_Agent=AGENT)).text
    for name in ("Win32LastModifiedTime", "Win32LastAccessTime", "getetag", "supportedlock", "displayname"):
        assert shown.count(name) >= 4, name


async def test_whoever_asks_by_a_body_gets_everything(dav: WebdavServer) -> None:
    """RFC 4918 section 9.1: all live properties that it defines. Locks are shown in any case."""
    for number in range(300):
        await dav.world.objects.put(dav.who, "bucket", f"d/{number}", stream(b"x"), Attributes())
    everything = '<propfind xmlns="DAV:"><allprop/></propfind>'
    assert (await dav("PROPFIND", "/bucket/d", everything, Depth="1")).text.count("<D:supportedlock>") == 301
    assert (await dav("PROPFIND", "/bucket/d", Depth="1")).text.count("<D:supportedlock>") == 0
    lock = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    await dav("LOCK", "/bucket/d/7", lock)
    assert "<D:activelock>" in (await dav("PROPFIND", "/bucket/d", Depth="1")).text


@pytest.mark.parametrize("size", [3_000_000, 12_000_000])
async def test_a_whole_file_before_the_password(dav: WebdavServer, size: int) -> None:
    """It is read and dropped, answered 401, and the connection takes the same request once more."""
    head = f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
    body = b"w" * size
    reader, writer = await asyncio.open_connection("127.0.0.1", dav.port)
    for auth, status in ("", b"401"), (f"Authorization: {basic(USER, PASSWORD)}\r\n", b"201"):
        writer.write(f"{head}{auth}\r\n".encode() + body)
        await writer.drain()
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.split()[1] == status
        length = next(int(line.split(b":")[1]) for line in answer.splitlines() if line.startswith(b"Content-Length"))
        await reader.readexactly(length)
    writer.close()
    assert (await dav("HEAD", "/bucket/f")).headers["Content-Length"] == str(size)


async def test_a_file_beyond_all_bounds_is_not_waited_for(dav: WebdavServer) -> None:
    """Nobody sends that much before somebody asks who it is; nor is a client that asks first invited to send."""
    for extra in ("Content-Length: 1000000000000", "Content-Length: 1000\r\nExpect: 100-continue"):
        reader, writer = await asyncio.open_connection("127.0.0.1", dav.port)
        writer.write(f"PUT /bucket/f HTTP/1.1\r\nHost: x\r\n{extra}\r\n\r\n".encode())
        answer = await reader.read()
        assert b" 401 " in answer.partition(b"\r\n")[0]
        assert b"connection: close" in answer.lower()
        writer.close()


async def test_what_is_unknown_in_its_namespace_is_kept(dav: WebdavServer) -> None:
    """As any dead property, with one 200 for all of them."""
    await dav("PUT", "/bucket/f", b"x")
    done = await dav("PROPPATCH", "/bucket/f", PATCH, User_Agent=AGENT)
    assert done.status == 207
    assert done.text.count("200 OK") == done.text.count("HTTP/1.1 ")
    shown = (await dav("PROPFIND", "/bucket/f", Depth="0", User_Agent=AGENT)).text
    assert "00000020" in shown
    assert "xmlns:D" not in shown.partition("Win32")[2]


@pytest.mark.parametrize("depth", ["1,noroot", "1, noroot", "infinity,noroot"])
async def test_members_without_their_collection(dav: WebdavServer, depth: str) -> None:
    """Web Folders and Office ask so."""
    await dav("MKCOL", "/bucket/d")
    assert (await dav("PROPFIND", "/bucket/d", Depth=depth)).text.count("<D:href>") == 0
    await dav("PUT", "/bucket/d/f", b"x")
    found = ET.fromstring((await dav("PROPFIND", "/bucket/d", Depth=depth)).body)
    assert [one.findtext("{DAV:}href") for one in found] == ["/bucket/d/f"]
    assert (await dav("PROPFIND", "/bucket/d/f", Depth=depth)).text.count("<D:href>") == 1
    assert (await dav("PROPFIND", "/bucket/d", Depth="1,other")).status == 400
