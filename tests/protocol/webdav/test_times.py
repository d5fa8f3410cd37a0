"""Times of files as clients set them: with the bytes, with a copy, and as a property."""

import pytest

from noisefs.core.domain.buckets.object_lock import Wish
from noisefs.core.domain.requests import Attributes
from tests.support.namespace import stream
from tests.support.webdav_server import WebdavServer

DATE = "Sat, 03 Feb 2001 04:05:06 GMT"
SECONDS = "981173106"
WINDOWS = "urn:schemas-microsoft-com:"


def patch(*properties: str, verb: str = "set") -> str:
    """The body of a PROPPATCH."""
    inner = f"<D:{verb}><D:prop>{''.join(properties)}</D:prop></D:{verb}>"
    return f'<D:propertyupdate xmlns:D="DAV:" xmlns:Z="{WINDOWS}">{inner}</D:propertyupdate>'


async def modified(dav: WebdavServer, path: str = "/bucket/f") -> str:
    """What HEAD says."""
    return (await dav("HEAD", path)).headers["Last-Modified"]


@pytest.mark.parametrize("header", [SECONDS, f"{SECONDS}.25"])
async def test_with_the_bytes(dav: WebdavServer, header: str) -> None:
    """The answer says that the time was taken."""
    for size in (1, 200_000):
        put = await dav("PUT", "/bucket/f", b"x" * size, X_OC_Mtime=header)
        assert put.headers["X-OC-MTime"] == "accepted"
        assert await modified(dav) == DATE
    assert "X-OC-MTime" not in (await dav("PUT", "/bucket/f", b"x")).headers
    assert await modified(dav) != DATE
    assert (await dav("PUT", "/bucket/f", b"x", X_OC_Mtime="yesterday")).status == 400


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_with_a_copy(dav: WebdavServer, method: str) -> None:
    """Of a file; collections have none."""
    await dav("PUT", "/bucket/f", b"x")
    done = await dav(method, "/bucket/f", Destination="/bucket/g", X_OC_Mtime=SECONDS)
    assert (done.status, done.headers["X-OC-MTime"]) == (201, "accepted")
    assert await modified(dav, "/bucket/g") == DATE
    await dav("MKCOL", "/bucket/d")
    await dav("PUT", "/bucket/d/x", b"x")
    done = await dav(method, "/bucket/d", Destination="/bucket/e", X_OC_Mtime=SECONDS)
    assert "X-OC-MTime" not in done.headers
    assert await modified(dav, "/bucket/e/x") != DATE


@pytest.mark.parametrize(
    "name", [f"<D:getlastmodified>{DATE}</D:getlastmodified>", f"<D:lastmodified>{SECONDS}</D:lastmodified>"]
)
async def test_as_a_property(dav: WebdavServer, name: str) -> None:
    """It changes the time and nothing else: not the entity tag, not the bytes."""
    tag = (await dav("PUT", "/bucket/f", b"x")).headers["ETag"]
    assert "200 OK" in (await dav("PROPPATCH", "/bucket/f", patch(name))).text
    got = await dav("GET", "/bucket/f")
    assert (got.headers["Last-Modified"], got.headers["ETag"], got.body) == (DATE, tag, b"x")
    assert DATE in (await dav("PROPFIND", "/bucket/f", Depth="0")).text


async def test_what_is_no_time(dav: WebdavServer) -> None:
    """Then nothing of the request happens; nor can it be removed, nor a collection have one."""
    await dav("PUT", "/bucket/f", b"x")
    await dav("MKCOL", "/bucket/d")
    before = await modified(dav)
    refused = await dav("PROPPATCH", "/bucket/f", patch("<D:getlastmodified>soon</D:getlastmodified>", "<Z:a>1</Z:a>"))
    assert "409" in refused.text
    assert "424" in refused.text
    assert "403" in (await dav("PROPPATCH", "/bucket/f", patch("<D:getlastmodified/>", verb="remove"))).text
    assert "403" in (await dav("PROPPATCH", "/bucket/d", patch(f"<D:lastmodified>{SECONDS}</D:lastmodified>"))).text
    assert await modified(dav) == before


async def test_windows_times(dav: WebdavServer) -> None:
    """They are the file's, and are kept as they were written until the file changes."""
    await dav("PUT", "/bucket/f", b"x")
    body = patch(
        f"<Z:Win32CreationTime>{DATE}</Z:Win32CreationTime>",
        f"<Z:Win32LastModifiedTime>{DATE}</Z:Win32LastModifiedTime>",
        "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>",
    )
    done = await dav("PROPPATCH", "/bucket/f", body)
    assert done.text.count("200 OK") == done.text.count("HTTP/1.1")
    assert await modified(dav) == DATE
    shown = (await dav("PROPFIND", "/bucket/f", Depth="0")).text
    assert "2001-02-03T04:05:06Z" in shown
    assert "Win32LastModifiedTime" in shown
    await dav("PUT", "/bucket/f", b"y")
    shown = (await dav("PROPFIND", "/bucket/f", Depth="0")).text
    assert "Win32LastModifiedTime" not in shown
    assert "Win32FileAttributes" in shown
    assert "2001-02-03T04:05:06Z" in shown


async def test_a_locked_version_keeps_its_time(dav: WebdavServer) -> None:
    """A client that asks for another is refused; what Windows sets after each file is only noted."""
    await dav.world.buckets.create(dav.who, "worm", lock=True)
    held = Wish(legal_hold="ON")
    await dav.world.objects.put(dav.who, "worm", "f", stream(b"x"), Attributes(), lock=held)
    before = await modified(dav, "/worm/f")
    named = await dav("PROPPATCH", "/worm/f", patch(f"<D:lastmodified>{SECONDS}</D:lastmodified>"))
    assert "403" in named.text
    noted = await dav("PROPPATCH", "/worm/f", patch(f"<Z:Win32LastModifiedTime>{DATE}</Z:Win32LastModifiedTime>"))
    assert "200 OK" in noted.text
    assert await modified(dav, "/worm/f") == before


async def test_a_lock_forbids_it(dav: WebdavServer) -> None:
    """As any other change of a property."""
    await dav("PUT", "/bucket/f", b"x")
    lock = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    token = (await dav("LOCK", "/bucket/f", lock)).headers["Lock-Token"]
    body = patch(f"<D:lastmodified>{SECONDS}</D:lastmodified>")
    assert (await dav("PROPPATCH", "/bucket/f", body)).status == 423
    assert (await dav("PROPPATCH", "/bucket/f", body, If=f"({token})")).status == 207
    assert await modified(dav) == DATE
