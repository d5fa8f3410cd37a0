"""Dead properties: what clients note about resources (RFC 4918 sections 4 and 9.2)."""

import xml.etree.ElementTree as ET

import pytest

from tests.support.webdav_server import Reply, WebdavServer, serve

D = "{DAV:}"


def update(*changes: str) -> str:
    """The body of a PROPPATCH; each change as ``set ...`` or ``remove ...``."""
    parts = []
    for change in changes:
        verb, _, prop = change.partition(" ")
        parts.append(f"<D:{verb}><D:prop>{prop}</D:prop></D:{verb}>")
    return f'<D:propertyupdate xmlns:D="DAV:" xmlns:u="u:">{"".join(parts)}</D:propertyupdate>'


def statuses(reply: Reply) -> dict[str, int]:
    """Status of each property of a 207 answer."""
    assert reply.status == 207, reply.text
    return {
        prop.tag: int((stat.findtext(f"{D}status") or "").split()[1])
        for stat in ET.fromstring(reply.body).iter(f"{D}propstat")
        for prop in stat.find(f"{D}prop") or ()
    }


async def prop(dav: WebdavServer, path: str, name: str, namespace: str = "u:") -> ET.Element | None:
    """A property as PROPFIND returns it, or ``None``."""
    ask = f'<D:propfind xmlns:D="DAV:"><D:prop><p:{name} xmlns:p="{namespace}"/></D:prop></D:propfind>'
    reply = await dav("PROPFIND", path, ask, Depth="0")
    found = f"{{{namespace}}}{name}"
    if statuses(reply)[found] == 404:
        return None
    return ET.fromstring(reply.body).find(f".//{found}")


@pytest.mark.parametrize("path", ["/bucket/f", "/bucket/d/", "/bucket/implicit", "/bucket"])
async def test_a_property_is_kept_as_it_was_written(dav: WebdavServer, path: str) -> None:
    """On files, collections with or without a marker, and buckets: markup, language and all."""
    await dav("PUT", "/bucket/f", b"x")
    await dav("MKCOL", "/bucket/d")
    await dav("MKCOL", "/bucket/implicit")
    await dav("PUT", "/bucket/implicit/x", b"")
    await dav.world.objects.delete(dav.who, "bucket", "implicit/")
    value = '<u:p xml:lang="de" at="1">Zoë &amp; <v xmlns="v:">\U0001f600</v> tail</u:p>  behind'
    assert statuses(await dav("PROPPATCH", path, update(f"set {value}"))) == {"{u:}p": 200}
    kept = await prop(dav, path, "p")
    assert kept is not None
    assert (kept.text, kept.get("at"), kept.tail) == ("Zoë & ", "1", None)
    assert kept.get("{http://www.w3.org/XML/1998/namespace}lang") == "de"
    assert (kept[0].tag, kept[0].text, kept[0].tail) == ("{v:}v", "\U0001f600", " tail")
    everything = await dav("PROPFIND", path, Depth="0")
    assert "Zoë" in everything.text
    names = await dav("PROPFIND", path, '<propfind xmlns="DAV:"><propname/></propfind>', Depth="0")
    assert statuses(names)["{u:}p"] == 200


async def test_language_is_inherited(dav: WebdavServer) -> None:
    """From the prop element (section 4.3)."""
    await dav("PUT", "/bucket/f", b"x")
    inner = '<set><prop xml:lang="de"><p xmlns="u:">x</p></prop></set>'
    body = f'<propertyupdate xmlns="DAV:" xml:lang="fr">{inner}</propertyupdate>'
    await dav("PROPPATCH", "/bucket/f", body)
    kept = await prop(dav, "/bucket/f", "p")
    assert kept is not None
    assert kept.get("{http://www.w3.org/XML/1998/namespace}lang") == "de"


async def test_changes_happen_in_their_order(dav: WebdavServer) -> None:
    """The last one of a name wins; removing what is not there is no error."""
    await dav("PUT", "/bucket/f", b"x")
    body = update("set <u:a>1</u:a>", "remove <u:a/>", "set <u:b>1</u:b>", "set <u:b>2</u:b>", "remove <u:none/>")
    assert set(statuses(await dav("PROPPATCH", "/bucket/f", body)).values()) == {200}
    assert await prop(dav, "/bucket/f", "a") is None
    kept = await prop(dav, "/bucket/f", "b")
    assert kept is not None
    assert kept.text == "2"


async def test_all_or_none(dav: WebdavServer) -> None:
    """One protected property fails the others: 403 and 424 (section 9.2)."""
    await dav("PUT", "/bucket/f", b"x")
    body = update("set <u:a>1</u:a>", "set <D:getetag>mine</D:getetag>", "remove <D:resourcetype/>")
    found = statuses(await dav("PROPPATCH", "/bucket/f", body))
    assert found == {"{u:}a": 424, "{DAV:}getetag": 403, "{DAV:}resourcetype": 403}
    assert await prop(dav, "/bucket/f", "a") is None


async def test_why_a_property_cannot_be_changed(dav: WebdavServer) -> None:
    """In its own propstat, as section 16 names it, and nothing about the program."""
    await dav("PUT", "/bucket/f", b"x")
    body = update(
        "set <u:a>1</u:a>", "set <D:getetag>mine</D:getetag>", "set <D:getlastmodified>never</D:getlastmodified>"
    )
    reply = await dav("PROPPATCH", "/bucket/f", body)
    told = {
        (stat.findtext(f"{D}status") or "")[9:12]: [error.tag for error in stat.find(f"{D}error") or ()]
        for stat in ET.fromstring(reply.body).iter(f"{D}propstat")
    }
    assert told == {"424": [], "403": [f"{D}cannot-modify-protected-property"], "409": []}
    assert "object at" not in reply.text


@pytest.mark.parametrize("body", ["", update(), update("set "), "<D:propfind xmlns:D='DAV:'/>", "<junk"])
async def test_a_request_that_changes_nothing(dav: WebdavServer, body: str) -> None:
    """400: the answer to it could not be written as section 14.24 has it."""
    await dav("PUT", "/bucket/f", b"x")
    assert (await dav("PROPPATCH", "/bucket/f", body)).status == 400


async def test_a_property_that_is_too_large_fails_all(dav: WebdavServer) -> None:
    """413 for each, and none is kept."""
    await dav("PUT", "/bucket/f", b"x")
    large = "y" * (dav.world.limits.max_property_bytes + 1)
    found = statuses(await dav("PROPPATCH", "/bucket/f", update("set <u:a>1</u:a>", f"set <u:b>{large}</u:b>")))
    assert found == {"{u:}a": 413, "{u:}b": 413}
    assert await prop(dav, "/bucket/f", "a") is None


async def test_too_many_properties(dav: WebdavServer) -> None:
    """507."""
    await dav("PUT", "/bucket/f", b"x")
    many = "".join(f"<u:p{number}/>" for number in range(dav.world.limits.max_properties + 1))
    assert set(statuses(await dav("PROPPATCH", "/bucket/f", update(f"set {many}"))).values()) == {507}


async def test_displayname_may_be_set(dav: WebdavServer) -> None:
    """RFC 4918 section 15.2: it should not be protected. Removed, it is the name again."""
    await dav("PUT", "/bucket/f", b"x")
    assert statuses(await dav("PROPPATCH", "/bucket/f", update("set <D:displayname>Other</D:displayname>"))) == {
        "{DAV:}displayname": 200
    }
    for depth, path in (("0", "/bucket/f"), ("1", "/bucket/")):
        assert ">Other</" in (await dav("PROPFIND", path, Depth=depth)).text
    await dav("PROPPATCH", "/bucket/f", update("remove <D:displayname/>"))
    kept = await prop(dav, "/bucket/f", "displayname", "DAV:")
    assert kept is not None
    assert kept.text == "f"


async def test_windows_times_are_kept(dav: WebdavServer) -> None:
    """Explorer sets them after each file it copies, and takes an error for a failed copy."""
    await dav("PUT", "/bucket/f", b"x")
    names = ("Win32CreationTime", "Win32LastAccessTime", "Win32LastModifiedTime", "Win32FileAttributes")
    values = "".join(f'<Z:{name} xmlns:Z="urn:schemas-microsoft-com:">v</Z:{name}>' for name in names)
    assert set(statuses(await dav("PROPPATCH", "/bucket/f", update(f"set {values}"))).values()) == {200}
    for name in names:
        assert await prop(dav, "/bucket/f", name, "urn:schemas-microsoft-com:") is not None
    removed = "".join(f'<Z:{name} xmlns:Z="urn:schemas-microsoft-com:"/>' for name in names)
    assert set(statuses(await dav("PROPPATCH", "/bucket/f", update(f"remove {removed}"))).values()) == {200}


async def test_properties_stay_when_the_file_is_overwritten_and_go_when_it_is_deleted(dav: WebdavServer) -> None:
    """They belong to the resource."""
    await dav("PUT", "/bucket/f", b"1")
    await dav("PROPPATCH", "/bucket/f", update("set <u:p>v</u:p>"))
    await dav("PUT", "/bucket/f", b"2")
    assert await prop(dav, "/bucket/f", "p") is not None
    await dav("DELETE", "/bucket/f")
    await dav("PUT", "/bucket/f", b"3")
    assert await prop(dav, "/bucket/f", "p") is None


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_properties_go_along(dav: WebdavServer, method: str) -> None:
    """With files, collections and their members."""
    await dav("MKCOL", "/bucket/d")
    await dav("PUT", "/bucket/d/x", b"1")
    for path in ("/bucket/d", "/bucket/d/x"):
        await dav("PROPPATCH", path, update("set <u:p>v</u:p>"))
    await dav(method, "/bucket/d", Destination="/bucket/e")
    for path in ("/bucket/e", "/bucket/e/x"):
        assert await prop(dav, path, "p") is not None


async def test_a_listing_shows_the_properties_of_members(dav: WebdavServer) -> None:
    """Each its own."""
    for number in range(40):
        await dav("PUT", f"/bucket/f{number}", b"1")
    await dav("PROPPATCH", "/bucket/f7", update("set <u:p>seven</u:p>"))
    listing = await dav("PROPFIND", "/bucket/", Depth="1")
    assert listing.text.count("seven") == 1


async def test_comments_and_instructions_in_a_request_mean_nothing(dav: WebdavServer) -> None:
    """WsgiDAV takes a comment for a property and fails with a 500."""
    await dav("PUT", "/bucket/f", b"1")
    ask = '<propfind xmlns="DAV:"><!-- a --><prop><?b?><getetag/><!-- c --></prop></propfind>'
    assert statuses(await dav("PROPFIND", "/bucket/f", ask, Depth="0")) == {"{DAV:}getetag": 200}
    body = update("set <!-- a --><u:p>1</u:p><?b?>").replace("<D:set>", "<!-- c --><D:set>")
    assert statuses(await dav("PROPPATCH", "/bucket/f", body)) == {"{u:}p": 200}


async def test_unknown_elements_in_a_request_mean_nothing(dav: WebdavServer) -> None:
    """RFC 4918 section 17: they are ignored; WsgiDAV answers 400."""
    await dav("PUT", "/bucket/f", b"1")
    body = update("set <u:p>1</u:p>").replace("<D:set>", "<D:set><u:what/>").replace("<D:set>", "<u:x/><D:set>", 1)
    assert statuses(await dav("PROPPATCH", "/bucket/f", body)) == {"{u:}p": 200}
    ask = '<D:propfind xmlns:D="DAV:" xmlns:u="u:"><u:what/><D:prop><D:getetag/></D:prop></D:propfind>'
    assert statuses(await dav("PROPFIND", "/bucket/f", ask, Depth="0")) == {"{DAV:}getetag": 200}
    scope = "<D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype>"
    lock = f'<D:lockinfo xmlns:D="DAV:" xmlns:u="u:"><u:x/>{scope}</D:lockinfo>'
    assert (await dav("LOCK", "/bucket/f", lock)).status == 200


async def test_properties_survive_a_restart(dav: WebdavServer) -> None:
    """They are in the index."""
    await dav("PUT", "/bucket/f", b"1")
    await dav("PROPPATCH", "/bucket/f", update("set <u:p>v</u:p>"))
    async with serve(world=dav.world) as again:
        assert await prop(again, "/bucket/f", "p") is not None


async def test_what_has_no_properties(dav: WebdavServer) -> None:
    """What does not exist, and the root."""
    assert (await dav("PROPPATCH", "/bucket/none", update("set <u:p>v</u:p>"))).status == 404
    assert (await dav("PROPPATCH", "/", update("set <u:p>v</u:p>"))).status == 403
