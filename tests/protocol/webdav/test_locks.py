"""Locks: made, refreshed, shown, in the way, gone (RFC 4918 sections 6, 7, 9.10, 9.11 and 10.4)."""

import asyncio
import re
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator

import pytest

from noisefs.adapters.inbound.webdav import WebdavSettings
from noisefs.core.domain.requests import Attributes
from noisefs.core.errors import DiskFull
from tests.support.namespace import stream
from tests.support.webdav_server import BUCKET, Reply, WebdavServer, basic, serve

D = "{DAV:}"


def lock_info(scope: str = "exclusive", owner: str = "<D:href>mailto:a@b</D:href>") -> str:
    """The body of a LOCK."""
    return (
        f'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:{scope}/></D:lockscope>'
        f"<D:locktype><D:write/></D:locktype><D:owner>{owner}</D:owner></D:lockinfo>"
    )


async def lock(dav: WebdavServer, path: str, scope: str = "exclusive", **headers: str) -> str:
    """Lock, and return the token."""
    reply = await dav("LOCK", path, lock_info(scope), **headers)
    assert reply.status in (200, 201), reply.text
    return reply.headers["Lock-Token"].strip("<>")


def condition_of(reply: Reply) -> str:
    """The name of the precondition element of an error."""
    return ET.fromstring(reply.body)[0].tag.removeprefix(D)


def timeout_of(reply: Reply) -> int:
    """Seconds that a LOCK was granted for."""
    found = re.search(r"Second-(\d+)", reply.text)
    assert found is not None
    return int(found[1])


async def test_a_lock_is_granted_and_described(dav: WebdavServer) -> None:
    """With its owner as the client wrote it."""
    await dav("PUT", "/bucket/f", b"x")
    reply = await dav(
        "LOCK", "/bucket/f", lock_info(owner="Zoë &amp; <x xmlns='u:'>1</x>"), Depth="0", Timeout="Second-60"
    )
    assert reply.status == 200
    active = ET.fromstring(reply.body).find(f"{D}lockdiscovery/{D}activelock")
    assert active is not None
    assert active.find(f"{D}lockscope/{D}exclusive") is not None
    assert active.findtext(f"{D}depth") == "0"
    assert active.findtext(f"{D}timeout") == "Second-60"
    assert active.findtext(f"{D}lockroot/{D}href") == "/bucket/f"
    assert f"<{active.findtext(f'{D}locktoken/{D}href')}>" == reply.headers["Lock-Token"]
    owner = active.find(f"{D}owner")
    assert owner is not None
    assert (owner.text, owner[0].tag) == ("Zoë & ", "{u:}x")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "MOVE", "PROPPATCH"])
async def test_a_locked_file_changes_only_with_the_token(dav: WebdavServer, method: str) -> None:
    """423 names what is locked; a token in another user's hands does not help."""
    await dav("PUT", "/bucket/f", b"old")
    token = await lock(dav, "/bucket/f")
    body = '<propertyupdate xmlns="DAV:"><set><prop><a xmlns="u:">1</a></prop></set></propertyupdate>'
    refused = await dav(method, "/bucket/f", body, Destination="/bucket/g")
    assert refused.status == 423
    assert condition_of(refused) == "lock-token-submitted"
    assert "<D:href>/bucket/f</D:href>" in refused.text
    wrong = await dav(method, "/bucket/f", body, Destination="/bucket/g", If="(<urn:uuid:other>)")
    assert wrong.status == 412
    assert (await dav("GET", "/bucket/f")).body == b"old"
    done = await dav(method, "/bucket/f", body, Destination="/bucket/g", If=f"(<{token}>)")
    assert done.status in (201, 204, 207)


async def test_reading_needs_no_token(dav: WebdavServer) -> None:
    """Write locks lock writes."""
    await dav("PUT", "/bucket/f", b"x")
    await lock(dav, "/bucket/f")
    assert (await dav("GET", "/bucket/f")).status == 200
    assert (await dav("COPY", "/bucket/f", Destination="/bucket/g")).status == 201


async def test_a_token_helps_only_who_holds_it(dav: WebdavServer) -> None:
    """Even an administrator's request needs a lock of its own (section 6.4)."""
    world = dav.world
    await world.accounts.add_user("boss", admin=True, password="of the house")
    await dav("PUT", "/bucket/f", b"x")
    token = await lock(dav, "/bucket/f")
    boss = basic("boss", "of the house")
    assert (await dav("PUT", "/bucket/f", b"y", auth=boss, If=f"(<{token}>)")).status == 423
    assert (await dav("UNLOCK", "/bucket/f", auth=boss, Lock_Token=f"<{token}>")).status == 403
    assert (await dav("LOCK", "/bucket/f", auth=boss, If=f"(<{token}>)")).status == 403


async def test_exclusive_locks_exclude_and_shared_ones_share(dav: WebdavServer) -> None:
    """The conflict is named."""
    await dav("PUT", "/bucket/f", b"x")
    await dav("PUT", "/bucket/s", b"x")
    await lock(dav, "/bucket/f")
    refused = await dav("LOCK", "/bucket/f", lock_info("shared"))
    assert (refused.status, condition_of(refused)) == (423, "no-conflicting-lock")
    one, two = await lock(dav, "/bucket/s", "shared"), await lock(dav, "/bucket/s", "shared")
    assert (await dav("LOCK", "/bucket/s", lock_info())).status == 423
    assert (await dav("PUT", "/bucket/s", b"y")).status == 423
    assert (await dav("PUT", "/bucket/s", b"y", If=f"(<{two}>)")).status == 204
    for token in (one, two):
        assert (await dav("UNLOCK", "/bucket/s", Lock_Token=f"<{token}>")).status == 204
    assert (await dav("PUT", "/bucket/s", b"z")).status == 204


async def test_a_deep_lock_covers_everything_below(dav: WebdavServer) -> None:
    """What is there, and what comes; and it is shown on all of it."""
    await dav("MKCOL", "/bucket/d")
    await dav("PUT", "/bucket/d/x", b"1")
    token = await lock(dav, "/bucket/d", Depth="infinity")
    for method, path in (
        ("PUT", "/bucket/d/x"),
        ("PUT", "/bucket/d/new"),
        ("MKCOL", "/bucket/d/e"),
        ("DELETE", "/bucket/d"),
    ):
        refused = await dav(method, path)
        assert refused.status == 423, (method, path)
        assert "<D:href>/bucket/d</D:href>" in refused.text
    listing = await dav("PROPFIND", "/bucket/d", Depth="1")
    assert listing.text.count(token) == 2
    tagged = f"<http://127.0.0.1:{dav.port}/bucket/d> (<{token}>)"
    assert (await dav("PUT", "/bucket/d/x", b"2", If=f"(<{token}>)")).status == 204
    assert (await dav("PUT", "/bucket/d/new", b"2", If=tagged)).status == 201
    assert (await dav("LOCK", "/bucket/d/x", lock_info())).status == 423


async def test_a_shallow_lock_of_a_collection_holds_its_members_together(dav: WebdavServer) -> None:
    """None may come or go; what is in them may change (section 7.4)."""
    await dav("MKCOL", "/bucket/d")
    await dav("PUT", "/bucket/d/x", b"1")
    token = await lock(dav, "/bucket/d", Depth="0")
    assert (await dav("PUT", "/bucket/d/x", b"2")).status == 204
    for method, path in (("PUT", "/bucket/d/new"), ("DELETE", "/bucket/d/x"), ("MKCOL", "/bucket/d/e")):
        assert (await dav(method, path)).status == 423, (method, path)
    assert (await dav("MOVE", "/bucket/d/x", Destination="/bucket/x")).status == 423
    assert (await dav("LOCK", "/bucket/d/empty", lock_info())).status == 423
    assert (await dav("GET", "/bucket/d/empty")).status == 404
    assert (await dav("DELETE", "/bucket/d/x", If=f"</bucket/d> (<{token}>)")).status == 204


@pytest.mark.parametrize("method", ["DELETE", "MOVE"])
async def test_a_locked_member_holds_its_collection(dav: WebdavServer, method: str) -> None:
    """With its token the collection goes; WsgiDAV would refuse that too."""
    await dav("MKCOL", "/bucket/d")
    await dav("PUT", "/bucket/d/x", b"1")
    token = await lock(dav, "/bucket/d/x")
    refused = await dav(method, "/bucket/d", Destination="/bucket/e")
    assert refused.status == 423
    assert "<D:href>/bucket/d/x</D:href>" in refused.text
    tagged = f"</bucket/d/x> (<{token}>)"
    assert (await dav(method, "/bucket/d", Destination="/bucket/e", If=tagged)).status in (201, 204)
    assert (await dav("PUT", "/bucket/e", b"x")).status == (201 if method == "DELETE" else 405)
    assert await dav.world.locks.find("/", below=True) == []


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_a_locked_target_is_not_replaced(dav: WebdavServer, method: str) -> None:
    """Without its token; with it the target is replaced and stays locked, as Office expects of its safe save."""
    await dav("PUT", "/bucket/f", b"old")
    await dav("PUT", "/bucket/tmp", b"new")
    token = await lock(dav, "/bucket/f")
    assert (await dav(method, "/bucket/tmp", Destination="/bucket/f")).status == 423
    tagged = f"</bucket/f> (<{token}>)"
    assert (await dav(method, "/bucket/tmp", Destination="/bucket/f", If=tagged)).status == 204
    assert (await dav("GET", "/bucket/f")).body == b"new"
    assert (await dav("PUT", "/bucket/f", b"x")).status == 423


async def test_locks_do_not_move(dav: WebdavServer) -> None:
    """What is moved is free, and so is where it was (section 7.6)."""
    await dav("PUT", "/bucket/f", b"x")
    token = await lock(dav, "/bucket/f")
    assert (await dav("MOVE", "/bucket/f", Destination="/bucket/g", If=f"(<{token}>)")).status == 201
    assert (await dav("PUT", "/bucket/g", b"y")).status == 204
    assert (await dav("PUT", "/bucket/f", b"y")).status == 201


async def test_locking_an_unmapped_url_makes_an_empty_file(dav: WebdavServer) -> None:
    """201, empty, locked (section 9.10.4)."""
    reply = await dav("LOCK", "/bucket/new.txt", lock_info())
    assert reply.status == 201
    assert (await dav("GET", "/bucket/new.txt")).body == b""
    assert (await dav("PUT", "/bucket/new.txt", b"x")).status == 423
    assert (await dav("LOCK", "/bucket/no/new", lock_info())).status == 409


async def test_a_refused_lock_makes_nothing(dav: WebdavServer) -> None:
    """WsgiDAV makes the file first and looks for locks then."""
    await dav("MKCOL", "/bucket/d")
    token = await lock(dav, "/bucket/d", Depth="infinity")
    refused = await dav("LOCK", "/bucket/d/new", lock_info(), If=f"</bucket/d> (<{token}>)")
    assert refused.status == 423
    assert (await dav("GET", "/bucket/d/new")).status == 404


async def test_a_lock_ends_with_its_time(dav: WebdavServer) -> None:
    """And may be refreshed before."""
    await dav("PUT", "/bucket/f", b"x")
    token = await lock(dav, "/bucket/f", Timeout="Second-100")
    dav.world.clock.advance(90)
    renewed = await dav("LOCK", "/bucket/f", If=f"(<{token}>)", Timeout="Second-200")
    assert (renewed.status, timeout_of(renewed)) == (200, 200)
    assert "Lock-Token" not in renewed.headers
    dav.world.clock.advance(190)
    assert (await dav("PUT", "/bucket/f", b"y")).status == 423
    dav.world.clock.advance(11)
    assert (await dav("PUT", "/bucket/f", b"y")).status == 204
    assert (await dav("LOCK", "/bucket/f", If=f"(<{token}>)")).status == 412


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("Second-10", 10),
        ("Infinite", 500),
        ("Second-4100000000", 500),
        ("Infinite, Second-10", 500),
        ("", 100),
        ("Soon", 100),
    ],
)
async def test_times_are_capped(asked: str, granted: int) -> None:
    """By the settings."""
    async with serve(WebdavSettings(max_lock_s=500, default_lock_s=100)) as dav:
        headers = {"Timeout": asked} if asked else {}
        assert timeout_of(await dav("LOCK", "/bucket/f", lock_info(), **headers)) == granted


async def test_there_is_a_limit_to_locks(dav: WebdavServer) -> None:
    """507, and no file is left behind."""
    for number in range(dav.world.limits.max_locks):
        await lock(dav, f"/bucket/f{number}")
    assert (await dav("LOCK", "/bucket/one-more", lock_info())).status == 507
    assert (await dav("GET", "/bucket/one-more")).status == 404


async def test_unlock_needs_the_right_token(dav: WebdavServer) -> None:
    """409 names the rule."""
    await dav("PUT", "/bucket/f", b"x")
    await dav("PUT", "/bucket/g", b"x")
    token = await lock(dav, "/bucket/f")
    wrong = await dav("UNLOCK", "/bucket/g", Lock_Token=f"<{token}>")
    assert (wrong.status, condition_of(wrong)) == (409, "lock-token-matches-request-uri")
    assert (await dav("UNLOCK", "/bucket/f", Lock_Token="<urn:none>")).status == 409
    assert (await dav("UNLOCK", "/bucket/f", Lock_Token="<>")).status == 409
    assert (await dav("UNLOCK", "/bucket/f")).status == 400
    assert (await dav("UNLOCK", "/bucket/f", Lock_Token=f"<{token}>")).status == 204
    assert (await dav("PUT", "/bucket/f", b"y")).status == 204


async def test_a_lock_whose_file_another_protocol_deleted(dav: WebdavServer) -> None:
    """It still protects the name, is shown nowhere, and can be refreshed and removed."""
    await dav("PUT", "/bucket/f", b"x")
    token = await lock(dav, "/bucket/f")
    await dav.world.objects.delete(dav.who, BUCKET, "f")
    assert (await dav("PUT", "/bucket/f", b"y")).status == 423
    assert (await dav("PROPFIND", "/bucket/", Depth="1")).status == 207
    assert (await dav("UNLOCK", "/bucket/f", Lock_Token=f"<{token}>")).status == 204
    assert (await dav("PUT", "/bucket/f", b"y")).status == 201


async def test_a_lock_is_refreshed_through_any_member_of_its_scope(dav: WebdavServer) -> None:
    """Section 9.10.2; the answer shows the lock where it is."""
    await dav("MKCOL", "/bucket/d")
    await dav("PUT", "/bucket/d/x", b"1")
    token = await lock(dav, "/bucket/d", Depth="infinity")
    renewed = await dav("LOCK", "/bucket/d/x", If=f"(<{token}>)")
    assert renewed.status == 200
    assert "<D:href>/bucket/d</D:href>" in renewed.text


@pytest.mark.parametrize("scope", ["exclusive", "shared"])
async def test_the_root_cannot_be_locked_but_a_bucket_can(dav: WebdavServer, scope: str) -> None:
    """The root holds what several users own."""
    assert (await dav("LOCK", "/", lock_info(scope))).status == 403
    token = await lock(dav, "/bucket", scope)
    assert (await dav("PUT", "/bucket/f", b"x")).status == 423
    assert (await dav("DELETE", "/bucket")).status == 423
    assert (await dav("DELETE", "/bucket", If=f"(<{token}>)")).status == 204
    assert await dav.world.locks.find("/", below=True) == []


async def test_a_lock_whose_file_cannot_be_made_is_not_kept(dav: WebdavServer) -> None:
    """A full disk: 507, and the name is free."""

    async def full(*_args: object, **_fields: object) -> None:
        raise DiskFull("no space is left")

    put = dav.world.objects.put
    dav.world.objects.put = full  # type: ignore[method-assign,assignment]  # a disk that is full
    assert (await dav("LOCK", "/bucket/new", lock_info())).status == 507
    dav.world.objects.put = put  # type: ignore[method-assign]  # as above
    assert (await dav("PUT", "/bucket/new", b"x")).status == 201


async def test_a_file_that_appears_while_its_name_is_locked(dav: WebdavServer) -> None:
    """Another protocol was quicker: the lock is granted, and the file stays as that one made it."""
    put = dav.world.objects.put

    async def late(*args: object, **fields: object) -> object:
        await put(dav.who, BUCKET, "new", stream(b"quick"), Attributes())
        return await put(*args, **fields)  # type: ignore[arg-type]  # whatever they were

    dav.world.objects.put = late  # type: ignore[method-assign,assignment]  # somebody quicker
    assert (await dav("LOCK", "/bucket/new", lock_info())).status == 201
    dav.world.objects.put = put  # type: ignore[method-assign]  # as above
    assert (await dav("GET", "/bucket/new")).body == b"quick"
    assert (await dav("PUT", "/bucket/new", b"x")).status == 423


async def test_a_lock_taken_while_a_body_comes_in_holds_for_it(dav: WebdavServer) -> None:
    """The check before the first byte is repeated after the last: the holder's view does not change under it."""
    await dav("PUT", "/bucket/f", b"old")
    locked = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"n" * 70_000
        await locked.wait()
        yield b"ew"

    uploading = asyncio.create_task(dav("PUT", "/bucket/f", body()))
    while dav.adapter.open_requests == 0:
        await asyncio.sleep(0)
    await lock(dav, "/bucket/f")
    locked.set()
    assert (await uploading).status == 423
    assert (await dav("GET", "/bucket/f")).body == b"old"


async def test_a_listing_with_many_locks_below_shows_each_its_own(dav: WebdavServer) -> None:
    """However many they are, here and deeper: those that cover a resource, and no others."""
    await dav("MKCOL", "/bucket/d")
    tokens = {number: await lock(dav, f"/bucket/f{number}") for number in range(40)}
    deeper = [await lock(dav, f"/bucket/d/{number}") for number in range(40)]
    await dav("PUT", "/bucket/free")
    reply = await dav("PROPFIND", "/bucket/", Depth="1")
    assert reply.status == 207
    shown = {
        response.findtext(f"{D}href"): [href.text for href in response.iterfind(f".//{D}locktoken/{D}href")]
        for response in ET.fromstring(reply.body)
    }
    assert {shown[f"/bucket/f{number}"][0] for number in tokens} == set(tokens.values())
    assert all(len(shown[f"/bucket/f{number}"]) == 1 for number in tokens)
    assert shown["/bucket/free"] == shown["/bucket/d/"] == []
    assert not any(token in reply.text for token in deeper)


# ---------------------------------------------------------------- the If header


async def test_if_with_entity_tags(dav: WebdavServer) -> None:
    """Strong, quoted; Not turns a test round."""
    etag = (await dav("PUT", "/bucket/f", b"1")).headers["ETag"]
    assert (await dav("PUT", "/bucket/f", b"2", If='(["other"])')).status == 412
    assert (await dav("PUT", "/bucket/f", b"2", If=f"([W/{etag}])")).status == 412
    assert (await dav("PUT", "/bucket/f", b"2", If=f"(Not [{etag}])")).status == 412
    assert (await dav("PUT", "/bucket/f", b"1", If=f'(["other"]) ([{etag}])')).status == 204
    assert (await dav("GET", "/bucket/f", If='(["other"])')).status == 412
    assert (await dav("GET", "/bucket/f", If=f"([{etag}])")).status == 200


async def test_if_about_other_resources(dav: WebdavServer) -> None:
    """Whole URLs and paths; one that holds is enough; WsgiDAV ignores lists with whole URLs."""
    etag = (await dav("PUT", "/bucket/a", b"1")).headers["ETag"]
    url = f"http://127.0.0.1:{dav.port}/bucket/a"
    assert (await dav("PUT", "/bucket/f", b"2", If=f'<{url}> (["other"])')).status == 412
    assert (await dav("PUT", "/bucket/f", b"2", If=f"<{url}> ([{etag}])")).status == 201
    assert (await dav("PUT", "/bucket/f", b"2", If=f'</bucket/none> (["x"]) <{url}> ([{etag}])')).status == 204
    assert (await dav("PUT", "/bucket/f", b"2", If=f"<http://elsewhere.example/bucket/a> ([{etag}])")).status == 412
    assert (await dav("PUT", "/bucket/f", b"2", If="<http://elsewhere.example/x> (Not <DAV:no-lock>)")).status == 204
    assert (await dav("PUT", "/bucket/f", b"2", If="</bucket/..> (Not <DAV:no-lock>)")).status == 400


async def test_if_not_no_lock_is_always_true(dav: WebdavServer) -> None:
    """How clients say: if locked, then by this, else anyhow (section 10.4.8)."""
    await dav("PUT", "/bucket/f", b"1")
    token = await lock(dav, "/bucket/f")
    assert (await dav("PUT", "/bucket/f", b"2", If=f"(<{token}>) (Not <DAV:no-lock>)")).status == 204
    assert (await dav("PUT", "/bucket/f", b"2", If="(<DAV:no-lock>)")).status == 412


@pytest.mark.parametrize(
    "header",
    [
        "",
        "()",
        "(",
        "(<a>",
        "<a>",
        "x",
        "(<a>) <b> (<c>)",
        "(Not Not <a>)",
        "(Not)",
        "<a> <b> (<c>)",
        "([a])",
        "(<a>)" * 3000,
    ],
)
async def test_a_malformed_if_is_refused(dav: WebdavServer, header: str) -> None:
    """400 for every method, never 500."""
    await dav("PUT", "/bucket/f", b"1")
    for method in ("GET", "PUT", "DELETE", "PROPFIND", "LOCK", "MKCOL"):
        assert (await dav(method, "/bucket/f", Depth="0", If=header)).status == 400, method


# ---------------------------------------------------------------- over a restart


async def test_locks_survive_a_restart(dav: WebdavServer) -> None:
    """They are in the index."""
    await dav("PUT", "/bucket/f", b"1")
    token = await lock(dav, "/bucket/f")
    async with serve(world=dav.world) as again:
        assert (await again("PUT", "/bucket/f", b"2")).status == 423
        assert token in (await again("PROPFIND", "/bucket/f", Depth="0")).text
        assert (await again("PUT", "/bucket/f", b"2", If=f"(<{token}>)")).status == 204


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_deep_lock_where_a_member_is_locked(dav: WebdavServer, slash: str) -> None:
    """A 207 that names the member, and the collection as what depends on it (section 9.10.3); nothing is locked."""
    await dav("MKCOL", "/bucket/d")
    await dav("PUT", "/bucket/d/x & y", b"1")
    token = await lock(dav, "/bucket/d/x%20&%20y", "shared")
    refused = await dav("LOCK", f"/bucket/d{slash}", lock_info(), Depth="infinity")
    told = [
        (response.findtext(f"{D}href"), (response.findtext(f"{D}status") or "")[9:12])
        for response in ET.fromstring(refused.body)
    ]
    assert (refused.status, told) == (207, [("/bucket/d/x%20%26%20y", "423"), ("/bucket/d/", "424")])
    assert "Lock-Token" not in refused.headers
    assert (await dav("PUT", "/bucket/d/z", b"1")).status == 201
    assert (await dav("LOCK", f"/bucket/d{slash}", lock_info("shared"), Depth="infinity")).status == 200
    assert (await dav("PUT", "/bucket/d/x%20&%20y", b"2", If=f"(<{token}>)")).status == 204


async def test_a_lock_of_a_file_whose_url_ends_in_a_slash(dav: WebdavServer) -> None:
    """It is the file that is meant: nothing comes into being."""
    await dav("PUT", "/bucket/f", b"1")
    reply = await dav("LOCK", "/bucket/f/", lock_info())
    assert reply.status == 200
    assert (await dav("PUT", "/bucket/f", b"2")).status == 423
    assert (await dav("GET", "/bucket/f")).body == b"1"


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_what_is_not_replaced_may_be_locked(dav: WebdavServer, method: str) -> None:
    """``Overwrite: F`` is the reason that is told."""
    await dav("MKCOL", "/bucket/d")
    await lock(dav, "/bucket/d/x")
    await dav("PUT", "/bucket/f", b"1")
    for overwrite, status in (("F", 412), ("f", 412), ("T", 423)):
        assert (await dav(method, "/bucket/f", Destination="/bucket/d", Overwrite=overwrite)).status == status
