"""Collections: MKCOL, DELETE, COPY, MOVE, and buckets in the root."""

import pytest

from noisefs.core.domain.requests import Attributes
from noisefs.core.ports.telemetry import Counter
from tests.support.namespace import stream
from tests.support.webdav_server import OTHER, OTHER_PASSWORD, WebdavServer, basic


async def put(dav: WebdavServer, *keys: str, bucket: str = "bucket") -> None:
    """Store objects as another protocol would: each holds its own key."""
    for key in keys:
        await dav.world.objects.put(dav.who, bucket, key, stream(key.encode()), Attributes())


async def keys(dav: WebdavServer, bucket: str = "bucket") -> list[str]:
    """Every key, as another protocol sees them."""
    return [key for key, _ in (await dav.world.objects.list(dav.who, bucket)).entries]


# ---------------------------------------------------------------- root and buckets


async def test_mkcol_in_the_root_makes_a_bucket(dav: WebdavServer) -> None:
    """With or without a slash at the end, and never twice."""
    assert (await dav("MKCOL", "/fresh")).status == 201
    assert (await dav("MKCOL", "/fresh2/")).status == 201
    assert (await dav("MKCOL", "/fresh")).status == 405
    assert [name for name, _ in await dav.world.buckets.list(dav.who)] == ["bucket", "fresh", "fresh2"]


@pytest.mark.parametrize("name", ["Fresh", "ab", "a_b", "192.168.0.1", "with%20space", "xn--x", "%C3%A4%C3%B6%C3%BC"])
async def test_an_illegal_bucket_name_is_refused_with_a_reason(dav: WebdavServer, name: str) -> None:
    """403 and a sentence, not an empty 403 that looks like missing rights."""
    reply = await dav("MKCOL", f"/{name}")
    assert reply.status == 403
    assert "bucket name" in reply.text


async def test_a_bucket_of_somebody_else_is_neither_made_nor_shown(dav: WebdavServer) -> None:
    """The root lists the user's own."""
    auth = basic(OTHER, OTHER_PASSWORD)
    assert (await dav("MKCOL", "/bucket", auth=auth)).status == 403
    assert "/bucket/" not in (await dav("PROPFIND", "/", auth=auth, Depth="1")).text


async def test_deleting_a_bucket_deletes_what_is_in_it(dav: WebdavServer) -> None:
    """As a collection, with DAV's meaning."""
    await put(dav, "a", "d/x", "d//hidden")
    assert (await dav("DELETE", "/bucket/")).status == 204
    assert (await dav("PROPFIND", "/bucket/", Depth="0")).status == 404
    assert await dav.world.buckets.list(dav.who) == []


@pytest.mark.parametrize("method", ["DELETE", "MOVE", "COPY", "LOCK", "PROPPATCH"])
async def test_the_root_stays(dav: WebdavServer, method: str) -> None:
    """It is nobody's."""
    assert (await dav(method, "/", Destination="/bucket/x")).status == 403


async def test_mkcol_of_the_root(dav: WebdavServer) -> None:
    """It is there."""
    assert (await dav("MKCOL", "/")).status == 405


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
async def test_buckets_are_neither_moved_nor_replaced(dav: WebdavServer, method: str) -> None:
    """403 with a reason: another name may be another owner's, and a bucket has settings of its own."""
    await dav("MKCOL", "/other")
    await put(dav, "d/x")
    assert (await dav(method, "/bucket", Destination="/third")).status == 403
    assert (await dav(method, "/bucket/d", Destination="/other")).status == 403
    assert (await dav(method, "/bucket/d", Destination="/third")).status == 403
    assert (await dav(method, "/bucket/d", Destination="/")).status == 403
    assert await keys(dav) == ["d/x"]


# ---------------------------------------------------------------- mkcol and delete


async def test_mkcol_makes_a_marker(dav: WebdavServer) -> None:
    """An empty object whose key ends in a slash, as S3 tools make folders."""
    assert (await dav("MKCOL", "/bucket/d")).status == 201
    assert await keys(dav) == ["d/"]
    assert (await dav("MKCOL", "/bucket/d/")).status == 405
    assert (await dav("MKCOL", "/bucket/no/d")).status == 409


async def test_an_implicit_collection_is_there(dav: WebdavServer) -> None:
    """A prefix without a marker."""
    await put(dav, "d/e/x")
    assert (await dav("PROPFIND", "/bucket/d/e/", Depth="0")).status == 207
    assert (await dav("MKCOL", "/bucket/d/e")).status == 405
    assert (await dav("PUT", "/bucket/d/e/y", b"1")).status == 201


async def test_removing_the_last_member_leaves_the_collection(dav: WebdavServer) -> None:
    """It was there before, so it is there after."""
    await put(dav, "d/x")
    assert (await dav("DELETE", "/bucket/d/x")).status == 204
    assert (await dav("PROPFIND", "/bucket/d/", Depth="0")).status == 207
    assert await keys(dav) == ["d/"]


async def test_deleting_a_collection_takes_all_below_and_nothing_beside(dav: WebdavServer) -> None:
    """Also names WebDAV cannot express."""
    await put(dav, "d/x", "d/e/y", "d//z", "d-", "d0", "da/x")
    assert (await dav("DELETE", "/bucket/d")).status == 204
    assert await keys(dav) == ["d-", "d0", "da/x"]


async def test_a_collection_is_deleted_whole_or_not_at_all(dav: WebdavServer) -> None:
    """Depth must be infinity (RFC 4918 section 9.6.1)."""
    await put(dav, "d/x")
    assert (await dav("DELETE", "/bucket/d/", Depth="0")).status == 400
    assert await keys(dav) == ["d/x"]


async def test_a_collection_has_no_tag_to_match(dav: WebdavServer) -> None:
    """412 for any but the star (RFC 9110 section 13.1.1)."""
    await put(dav, "d/x")
    assert (await dav("DELETE", "/bucket/d", If_Match='"a"')).status == 412
    assert (await dav("DELETE", "/bucket/d", If_None_Match="*")).status == 412
    assert (await dav("DELETE", "/bucket/d", If_Match="*")).status == 204


# ---------------------------------------------------------------- copy and move


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_201_for_a_new_target_and_204_for_a_replaced_one(dav: WebdavServer, method: str) -> None:
    """RFC 4918 sections 9.8.5 and 9.9.4."""
    await put(dav, "a", "b")
    assert (await dav(method, "/bucket/a", Destination="/bucket/new")).status == 201
    assert (await dav(method, "/bucket/b", Destination="/bucket/new")).status == 204
    assert (await dav("GET", "/bucket/new")).body == b"b"
    assert await keys(dav) == (["new"] if method == "MOVE" else ["a", "b", "new"])


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_overwrite_f_protects_the_target(dav: WebdavServer, method: str) -> None:
    """412, and both stay."""
    await put(dav, "a", "b", "d/x")
    assert (await dav(method, "/bucket/a", Destination="/bucket/b", Overwrite="F")).status == 412
    assert (await dav(method, "/bucket/a", Destination="/bucket/d", Overwrite="f")).status == 412
    assert (await dav(method, "/bucket/a", Destination="/bucket/b", Overwrite="maybe")).status == 400
    assert await keys(dav) == ["a", "b", "d/x"]
    assert (await dav(method, "/bucket/a", Destination="/bucket/new", Overwrite="F")).status == 201


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_where_things_cannot_go(dav: WebdavServer, method: str) -> None:
    """409 without a parent, 403 onto or into itself, 502 to another server, 400 without or with a bad Destination."""
    await put(dav, "a", "d/x")
    assert (await dav(method, "/bucket/a", Destination="/bucket/no/a")).status == 409
    assert (await dav(method, "/bucket/a", Destination="/nobucket/a")).status == 409
    assert (await dav(method, "/bucket/a", Destination="/bucket/a")).status == 403
    assert (await dav(method, "/bucket/d", Destination="/bucket/d/")).status == 403
    assert (await dav(method, "/bucket/d/", Destination="/bucket/d/e")).status == 403
    assert (await dav(method, "/bucket/a", Destination="http://elsewhere.example/bucket/b")).status == 502
    assert (await dav(method, "/bucket/a", Destination="ftp://127.0.0.1/bucket/b")).status == 400
    assert (await dav(method, "/bucket/a", Destination="/bucket/../x")).status == 400
    assert (await dav(method, "/bucket/a", Destination="/bucket/%ff")).status == 400
    assert (await dav(method, "/bucket/a")).status == 400
    assert (await dav(method, "/bucket/nothing", Destination="/bucket/b")).status == 404
    assert await keys(dav) == ["a", "d/x"]


async def test_a_whole_url_as_destination(dav: WebdavServer) -> None:
    """The usual form; the host in any case."""
    await put(dav, "a")
    url = f"HTTP://127.0.0.1:{dav.port}/bucket/b"
    assert (await dav("MOVE", "/bucket/a", Destination=url)).status == 201
    assert await keys(dav) == ["b"]


@pytest.mark.parametrize(
    "name",
    ["a?b", "a;b", "a#b", "100%", "a%2Fb".replace("%2F", "%"), "a b", "a+b", "ä€😀", "%41", "a&b<c>'\"", "\x01\x7f"],
)
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_no_character_of_a_name_is_lost(dav: WebdavServer, method: str, name: str) -> None:
    """Neither in a path nor in a Destination nor in an href."""
    from urllib.parse import quote

    encoded = quote(name, safe="")
    assert (await dav("PUT", f"/bucket/{encoded}", b"x")).status == 201
    assert (await dav("MKCOL", "/bucket/to")).status == 201
    assert (await dav(method, f"/bucket/{encoded}", Destination=f"/bucket/to/{encoded}")).status == 201
    assert f"to/{name}" in await keys(dav)
    listing = await dav("PROPFIND", "/bucket/to/", Depth="1")
    assert listing.status == 207
    href = listing.text.split("<D:href>")[-1].split("<")[0]
    assert (await dav("GET", href)).body == b"x"


async def test_a_tree_is_moved_with_everything_in_it(dav: WebdavServer) -> None:
    """Also from one bucket to another, without reading a block."""
    await dav("MKCOL", "/other")
    await put(dav, "d/x", "d/e/y", "d/f/")
    reads = dav.world.telemetry.counted(Counter.BLOCK_READS)
    assert (await dav("MOVE", "/bucket/d", Destination="/other/z")).status == 201
    assert await keys(dav) == []
    assert await keys(dav, "other") == ["z/e/y", "z/f/", "z/x"]
    assert dav.world.telemetry.counted(Counter.BLOCK_READS) == reads


async def test_a_copied_tree_replaces_the_target(dav: WebdavServer) -> None:
    """It is not merged into it (RFC 4918 section 9.8.4)."""
    await put(dav, "d/x", "t/old", "t/x")
    assert (await dav("COPY", "/bucket/d/", Destination="/bucket/t/")).status == 204
    assert await keys(dav) == ["d/x", "t/x"]


async def test_a_shallow_copy_is_an_empty_collection(dav: WebdavServer) -> None:
    """Depth 0."""
    await put(dav, "d/x")
    assert (await dav("COPY", "/bucket/d", Destination="/bucket/t", Depth="0")).status == 201
    assert await keys(dav) == ["d/x", "t/"]
    assert (await dav("COPY", "/bucket/d", Destination="/bucket/u", Depth="1")).status == 400
    assert (await dav("MOVE", "/bucket/d", Destination="/bucket/u", Depth="0")).status == 400


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_a_file_may_replace_a_tree_and_the_other_way_round(dav: WebdavServer, method: str) -> None:
    """With Overwrite."""
    await put(dav, "a", "b", "d/x", "e/x")
    assert (await dav(method, "/bucket/a", Destination="/bucket/d")).status == 204
    assert (await dav("GET", "/bucket/d")).body == b"a"
    assert (await dav(method, "/bucket/e", Destination="/bucket/b")).status == 204
    assert (await dav("GET", "/bucket/b/x")).body == b"e/x"
    assert {"d/x", "b"}.isdisjoint(await keys(dav))


async def test_a_moved_file_keeps_its_times_and_etag(dav: WebdavServer) -> None:
    """A rename changes the name."""
    before = await dav("PUT", "/bucket/a", b"1", X_OC_Mtime="1000")
    await dav("MOVE", "/bucket/a", Destination="/bucket/b")
    after = await dav("HEAD", "/bucket/b")
    assert after.headers["ETag"] == before.headers["ETag"]
    assert after.headers["Last-Modified"] == "Thu, 01 Jan 1970 00:16:40 GMT"


async def test_a_name_that_gets_too_long(dav: WebdavServer) -> None:
    """414 for a path, and nothing is moved where a member would not fit."""
    deep = "d/" + "x" * 1000
    await put(dav, deep)
    assert (await dav("PUT", "/bucket/" + "y" * 1025, b"")).status == 414
    assert (await dav("PUT", "/bucket/" + "y" * 1024, b"")).status == 201
    assert (await dav("MOVE", "/bucket/d", Destination="/bucket/" + "z" * 100)).status == 414
    assert deep in await keys(dav)
