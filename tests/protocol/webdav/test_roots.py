"""A user's own root: where their paths begin, in requests, headers and answers."""

import pytest

from tests.support.webdav_server import BOB, BUCKET, WebdavServer, allow

_LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


async def root(dav: WebdavServer, bucket: str = BUCKET, prefix: str = "") -> None:
    """Let alice's paths begin there."""
    if prefix:
        await dav.world.trees.make(dav.who, bucket, f"{prefix}/")
    await dav.world.accounts.set_root("alice", bucket, prefix)


@pytest.mark.parametrize("prefix", ["", "home", "homes/álice & co"])
async def test_every_method_begins_there(dav: WebdavServer, prefix: str) -> None:
    """PUT, GET, MKCOL, PROPFIND, COPY, MOVE, LOCK, PROPPATCH, DELETE: by paths below the root alone."""
    await root(dav, prefix=prefix)
    assert (await dav("MKCOL", "/d")).status == 201
    assert (await dav("PUT", "/d/f", b"one")).status == 201
    assert (await dav("PUT", "/d/f", b"two")).status == 204
    assert (await dav("GET", "/d/f")).body == b"two"
    assert (await dav("COPY", "/d/f", Destination="/d/g")).status == 201
    assert (await dav("MOVE", "/d/g", Destination=f"{dav.url}/h")).status == 201
    listed = (await dav("PROPFIND", "/", Depth="infinity")).text
    assert [path in listed for path in ("href>/<", "href>/d/<", "href>/d/f<", "href>/h<")] == [True] * 4
    assert f"href>/{BUCKET}" not in listed
    locked = await dav("LOCK", "/h", _LOCK, Depth="0")
    assert locked.status == 200
    assert "<D:lockroot><D:href>/h</D:href>" in locked.text.replace("ns0:", "D:")
    refused = await dav("DELETE", "/h")
    assert refused.status == 423
    assert "href>/h<" in refused.text
    token = locked.headers["Lock-Token"]
    assert (await dav("PUT", "/h", b"x", If=f"<{dav.url}/h> ({token})")).status == 204
    assert (await dav("UNLOCK", "/h", Lock_Token=token)).status == 204
    patch = '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="y">z</x></D:prop></D:set></D:propertyupdate>'
    patched = await dav("PROPPATCH", "/h", patch)
    assert (patched.status, "href>/h<" in patched.text.replace(f"{dav.url}", "")) == (207, True)
    assert (await dav("DELETE", "/h")).status == 204
    keys = await dav.world.keys()
    assert f"{prefix}/d/f".lstrip("/") in keys


async def test_the_root_itself_stays(dav: WebdavServer) -> None:
    """It is neither removed, moved nor replaced."""
    await root(dav, prefix="home")
    await dav("MKCOL", "/d")
    assert (await dav("DELETE", "/")).status == 403
    assert (await dav("MOVE", "/", Destination="/d/e")).status == 403
    assert (await dav("MOVE", "/d", Destination="/")).status == 403
    assert (await dav("COPY", "/d", Destination="/")).status == 403
    assert (await dav("MKCOL", "/")).status == 405
    assert (await dav("PROPFIND", "/", Depth="0")).status == 207
    assert (await dav("GET", "/../other")).status == 400


async def test_it_gives_no_rights(dav: WebdavServer) -> None:
    """A root in a bucket of somebody else's: what a policy allows, and no more."""
    await dav("MKCOL", f"/{BUCKET}/in")
    await dav("PUT", f"/{BUCKET}/in/k", b"x")
    await dav("PUT", f"/{BUCKET}/out", b"x")
    await dav.world.accounts.set_root("bob", BUCKET, "in")
    assert (await dav("PROPFIND", "/", auth=BOB, Depth="1")).status == 403
    await allow(
        dav,
        {"Action": "s3:ListBucket", "Condition": {"StringLike": {"s3:prefix": "in/*"}}},
        {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/in/*"},
    )
    assert "href>/k<" in (await dav("PROPFIND", "/", auth=BOB, Depth="1")).text
    assert (await dav("GET", "/k", auth=BOB)).body == b"x"
    assert (await dav("PUT", "/k", b"y", auth=BOB)).status == 403
    assert (await dav("GET", f"/{BUCKET}/out", auth=BOB)).status in (403, 404)


async def test_it_changes_within_a_second(dav: WebdavServer) -> None:
    """The next request begins elsewhere, also one that takes the short way."""
    await dav("PUT", f"/{BUCKET}/k", b"x")
    assert (await dav("GET", f"/{BUCKET}/k")).status == 200
    await root(dav)
    assert (await dav("GET", "/k")).body == b"x"
    await dav.world.accounts.set_root("alice", "")
    assert (await dav("GET", f"/{BUCKET}/k")).body == b"x"
