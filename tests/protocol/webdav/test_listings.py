"""PROPFIND and the page for browsers: what is there, and what WebDAV has no name for."""

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from urllib.parse import unquote

import pytest

from noisefs.adapters.inbound.webdav import WebdavSettings
from noisefs.core.domain.requests import Attributes
from noisefs.core.ports.index import Reading
from noisefs.core.ports.telemetry import Counter
from noisefs.core.ports.workers import Lane
from tests.support.namespace import stream
from tests.support.webdav_server import PASSWORD, USER, Reply, WebdavServer, basic, serve

D = "{DAV:}"
T = TypeVar("T")


def responses(reply: Reply) -> dict[str, ET.Element]:
    """The response elements by decoded path."""
    assert reply.status == 207, reply.text
    return {unquote(one.findtext(f"{D}href") or ""): one for one in ET.fromstring(reply.body)}


def found(response: ET.Element, name: str) -> ET.Element | None:
    """A property of status 200."""
    for stat in response.iter(f"{D}propstat"):
        if "200" in (stat.findtext(f"{D}status") or ""):
            return stat.find(f"{D}prop/{name}")
    return None


async def put(dav: WebdavServer, *keys: str) -> None:
    """Store objects as another protocol would."""
    for key in keys:
        await dav.world.objects.put(dav.who, "bucket", key, stream(b"x"), Attributes())


@pytest.fixture
async def small_pages() -> AsyncIterator[WebdavServer]:
    """A server that takes three members at a time, so that everything is streamed."""
    async with serve(WebdavSettings(list_page=3, infinity_members=12)) as server:
        yield server


async def test_depth_0_is_the_thing_itself(dav: WebdavServer) -> None:
    """A file or a collection."""
    await put(dav, "d/x")
    assert list(responses(await dav("PROPFIND", "/bucket/d", Depth="0"))) == ["/bucket/d/"]
    assert list(responses(await dav("PROPFIND", "/bucket/d/x", Depth="1"))) == ["/bucket/d/x"]


async def test_depth_1_is_the_members_too(dav: WebdavServer) -> None:
    """Collections end in a slash."""
    await put(dav, "a", "d/x", "d/e/y", "m/")
    listing = responses(await dav("PROPFIND", "/bucket/", Depth="1"))
    assert set(listing) == {"/bucket/", "/bucket/a", "/bucket/d/", "/bucket/m/"}
    assert set(responses(await dav("PROPFIND", "/bucket/m/", Depth="1"))) == {"/bucket/m/"}


async def test_a_long_listing_is_streamed_whole(small_pages: WebdavServer) -> None:
    """Every member exactly once, over many pages."""
    names = [f"f{number:03}" for number in range(50)]
    await put(small_pages, *names, "d/x")
    reply = await small_pages("PROPFIND", "/bucket/", Depth="1")
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert reply.text.count("<D:response>") == 52
    assert set(responses(reply)) == {"/bucket/", "/bucket/d/", *(f"/bucket/{name}" for name in names)}


async def test_a_collection_hides_the_file_of_its_name(small_pages: WebdavServer) -> None:
    """Also where the two are pages apart: ``-`` and ``!`` sort before ``/``."""
    await put(small_pages, "a", "a!1", "a-1", "a-2", "a-3", "a-4", "a/x", "b", "b/")
    listing = set(responses(await small_pages("PROPFIND", "/bucket/", Depth="1")))
    shown = {"/bucket/a/", "/bucket/b/", *(f"/bucket/{name}" for name in ("a!1", "a-1", "a-2", "a-3", "a-4"))}
    assert listing == {"/bucket/", *shown}
    deep = set(responses(await small_pages("PROPFIND", "/bucket/", Depth="infinity")))
    assert deep == {"/bucket/", *shown, "/bucket/a/x"}


@pytest.mark.parametrize("depth", ["1", "infinity"])
async def test_names_without_a_url_are_left_out_and_counted(dav: WebdavServer, depth: str) -> None:
    """They stay what they are for other protocols."""
    await put(dav, "ok", "/lead", "a//b", "./x", "../y", "dot/.", "dot/..", "dot/ok")
    shown: set[str] = set()
    for path in ("/bucket/", "/bucket/a/", "/bucket/dot/"):
        shown |= set(responses(await dav("PROPFIND", path, Depth=depth)))
    assert shown == {"/bucket/", "/bucket/ok", "/bucket/a/", "/bucket/dot/", "/bucket/dot/ok"}
    assert dav.world.telemetry.counted(Counter.HIDDEN_NAMES) >= 6


async def test_depth_infinity_has_a_limit(small_pages: WebdavServer) -> None:
    """Up to it the tree is answered, above it 403 with the reason RFC 4918 gives it. No Depth means infinity."""
    await put(small_pages, *(f"d/e/{number}" for number in range(10)))
    listing = responses(await small_pages("PROPFIND", "/bucket/"))
    assert len(listing) == 1 + 2 + 10
    assert "/bucket/d/e/" in listing
    await put(small_pages, "one-more")
    refused = await small_pages("PROPFIND", "/bucket/", Depth="infinity")
    assert refused.status == 403
    assert ET.fromstring(refused.body).find(f"{D}propfind-finite-depth") is not None
    assert (await small_pages("PROPFIND", "/", Depth="infinity")).status == 403


async def test_depth_infinity_can_be_refused_always() -> None:
    """A limit of 0."""
    async with serve(WebdavSettings(infinity_members=0)) as dav:
        assert (await dav("PROPFIND", "/bucket/", Depth="infinity")).status == 403
        assert (await dav("PROPFIND", "/bucket/", Depth="1")).status == 207


async def test_depth_infinity_of_the_root(dav: WebdavServer) -> None:
    """All buckets with all that is in them."""
    await dav("MKCOL", "/other")
    await put(dav, "d/x")
    listing = set(responses(await dav("PROPFIND", "/", Depth="infinity")))
    assert listing == {"/", "/bucket/", "/bucket/d/", "/bucket/d/x", "/other/"}


@pytest.mark.parametrize("depth", ["2", "-1", "deep", "0,1"])
async def test_a_bad_depth_is_refused(dav: WebdavServer, depth: str) -> None:
    """400."""
    assert (await dav("PROPFIND", "/bucket/", Depth=depth)).status == 400


async def test_live_properties_of_a_file(dav: WebdavServer) -> None:
    """What clients show."""
    etag = (await dav("PUT", "/bucket/a%26b.txt", b"12345", Content_Language="de")).headers["ETag"]
    file = responses(await dav("PROPFIND", "/bucket/a%26b.txt", Depth="0"))["/bucket/a&b.txt"]
    values = {prop.tag.removeprefix(D): prop.text for prop in file.find(f"{D}propstat/{D}prop") or ()}
    assert values["getetag"] == etag
    assert values["getcontentlength"] == "5"
    assert values["getcontenttype"] == "text/plain"
    assert values["getcontentlanguage"] == "de"
    assert values["displayname"] == "a&b.txt"
    assert values["creationdate"] == "2023-11-14T22:13:20Z"
    assert values["getlastmodified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert values["resourcetype"] is None
    assert {"supportedlock", "lockdiscovery"} <= set(values)


async def test_live_properties_of_a_collection(dav: WebdavServer) -> None:
    """It has a type, and neither length nor tag."""
    await put(dav, "d/x")
    folder = responses(await dav("PROPFIND", "/bucket/d", Depth="0"))["/bucket/d/"]
    assert found(folder, f"{D}resourcetype/{D}collection") is not None
    assert found(folder, f"{D}getetag") is None
    assert found(folder, f"{D}getcontentlength") is None


async def test_quota_is_answered_by_name(dav: WebdavServer) -> None:
    """RFC 4331: not in allprop."""
    await dav("PUT", "/bucket/f", b"12345")
    ask = '<propfind xmlns="DAV:"><prop><quota-used-bytes/><quota-available-bytes/></prop></propfind>'
    bucket = responses(await dav("PROPFIND", "/bucket/", ask, Depth="0"))["/bucket/"]
    used, free = found(bucket, f"{D}quota-used-bytes"), found(bucket, f"{D}quota-available-bytes")
    assert used is not None
    assert free is not None
    assert (used.text, free.text) == ("5", "1000000")
    assert "quota" not in (await dav("PROPFIND", "/bucket/", Depth="0")).text


async def test_propname_names_and_says_no_values(dav: WebdavServer) -> None:
    """WsgiDAV would take it for an empty prop."""
    await dav("PUT", "/bucket/f", b"12345")
    file = responses(await dav("PROPFIND", "/bucket/f", '<propfind xmlns="DAV:"><propname/></propfind>', Depth="0"))
    props = file["/bucket/f"].find(f"{D}propstat/{D}prop")
    assert props is not None
    assert {"getetag", "resourcetype", "getcontentlength"} <= {prop.tag.removeprefix(D) for prop in props}
    assert all(prop.text is None and not len(prop) for prop in props)


async def test_what_is_not_there_is_404(dav: WebdavServer) -> None:
    """With the name that was asked for, whatever its namespace."""
    await dav("PUT", "/bucket/f", b"1")
    names = '<D:getetag/><x xmlns="u:a&amp;b"/><y xmlns=""/><D:no/>'
    ask = f'<D:propfind xmlns:D="DAV:"><D:prop>{names}</D:prop></D:propfind>'
    file = responses(await dav("PROPFIND", "/bucket/f", ask, Depth="0"))["/bucket/f"]
    stats = {
        (stat.findtext(f"{D}status") or "").split()[1]: stat.find(f"{D}prop") for stat in file.iter(f"{D}propstat")
    }
    assert [prop.tag for prop in stats["200"] or ()] == [f"{D}getetag"]
    assert [prop.tag for prop in stats["404"] or ()] == ["{u:a&b}x", "y", f"{D}no"]


async def test_allprop_may_include_more(dav: WebdavServer) -> None:
    """RFC 4918 section 14.8."""
    ask = '<propfind xmlns="DAV:"><allprop/><include><quota-used-bytes/><nothing/></include></propfind>'
    bucket = responses(await dav("PROPFIND", "/bucket/", ask, Depth="0"))["/bucket/"]
    assert found(bucket, f"{D}resourcetype") is not None
    assert found(bucket, f"{D}quota-used-bytes") is not None
    assert b"404" in ET.tostring(bucket)


async def test_a_name_that_xml_cannot_hold_does_not_break_the_listing(dav: WebdavServer) -> None:
    """The href says it; displayname is left out."""
    await put(dav, "bell\x07", "fffe\ufffe", "fine")
    listing = responses(await dav("PROPFIND", "/bucket/", Depth="1"))
    assert found(listing["/bucket/bell\x07"], f"{D}displayname") is None
    assert found(listing["/bucket/fine"], f"{D}displayname") is not None


async def test_the_page_for_browsers_escapes_everything(small_pages: WebdavServer) -> None:
    """It is a list of links under a policy that lets nothing run."""
    await put(small_pages, "<script>alert(1)</script>", "d/x", *(f"f{number}" for number in range(9)))
    page = await small_pages("GET", "/bucket/")
    assert page.status == 200
    assert "<script>" not in page.text
    assert '<a href="/bucket/d/">d/</a>' in page.text
    assert page.text.count("<tr>") == 12
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    head = await small_pages("HEAD", "/bucket/")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    "asked_for", ["", '<propfind xmlns="DAV:"><prop><displayname/><x xmlns="u:"/></prop></propfind>']
)
async def test_a_listing_shows_no_more_than_it_must_look_up(dav: WebdavServer, asked_for: str) -> None:
    """No metadata is asked for member by member: one listing query a page, one for its properties."""
    names = [f"f{number}" for number in range(100)]
    await put(dav, *names)
    for name in names:
        await dav.world.properties.update(dav.who, "bucket", name, {"{u:}x": f'<x xmlns="u:">{name}</x>'.encode()})
    asked = 0
    read = dav.world.index.read

    def counting(work: Callable[[Reading], T]) -> T:
        nonlocal asked
        asked += 1
        return read(work)

    dav.world.index.read = counting  # type: ignore[method-assign]  # to count
    reply = await dav("PROPFIND", "/bucket/", asked_for, Depth="1")
    assert {one.findtext(".//{u:}x") for one in responses(reply).values()} >= set(names)
    assert asked <= 8


async def test_a_listing_begins_before_it_is_complete() -> None:
    """The first members are sent while the others are still looked for."""
    async with serve(WebdavSettings(list_page=20)) as dav:
        await put(dav, *(f"f{number:03}" for number in range(200)))
        begun, pages, run = asyncio.Event(), 0, dav.world.workers.run

        async def held_up(lane: Lane, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:  # Any: as the port's
            nonlocal pages
            pages += lane is Lane.DISK
            if pages > 1:
                await begun.wait()
            return await run(lane, work, *args, **kwargs)

        dav.world.workers.run = held_up  # type: ignore[method-assign]  # to hold it up
        fields = {"Authorization": basic(USER, PASSWORD), "Depth": "1"}
        async with dav.session.request("PROPFIND", f"{dav.url}/bucket/", headers=fields) as response:
            beginning = b""
            async with asyncio.timeout(20):
                while b"f018" not in beginning:
                    beginning += await response.content.readany()
            begun.set()
            whole = beginning + await response.read()
        assert b"f020" not in beginning
        assert whole.count(b"<D:response>") == 201
        assert whole.endswith(b"</D:multistatus>")
