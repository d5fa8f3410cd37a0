"""The same rights count here as for S3."""

import json

import pytest

from noisefs.core.domain.rights.acl import AclWish
from noisefs.core.domain.rights.ownership import Ownership
from tests.support.namespace import ACCOUNT
from tests.support.webdav_server import BOB, BUCKET, PASSWORD, USER, WebdavServer, allow, basic

USER_ARN = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{USER}"}

_ARN = f"arn:aws:s3:::{BUCKET}"


async def test_a_policy_lets_another_user_read_by_path(dav: WebdavServer) -> None:
    await dav("PUT", f"/{BUCKET}/k", b"x")
    assert (await dav("GET", f"/{BUCKET}/k", auth=BOB)).status == 403
    await allow(dav, {"Action": "s3:GetObject"})
    assert (await dav("GET", f"/{BUCKET}/k", auth=BOB)).body == b"x"
    assert (await dav("HEAD", f"/{BUCKET}/k", auth=BOB)).status == 200
    assert (await dav("PUT", f"/{BUCKET}/k", b"y", auth=BOB)).status == 403
    assert (await dav("DELETE", f"/{BUCKET}/k", auth=BOB)).status == 403
    assert (await dav("PROPFIND", f"/{BUCKET}/", auth=BOB, Depth="1")).status == 403
    assert (await dav("GET", f"/{BUCKET}/", auth=BOB)).status == 403
    assert BUCKET not in (await dav("PROPFIND", "/", auth=BOB, Depth="1")).text


async def test_listing_is_a_right_of_its_own(dav: WebdavServer) -> None:
    await dav("MKCOL", f"/{BUCKET}/in")
    await dav("PUT", f"/{BUCKET}/in/k", b"x")
    await allow(dav, {"Action": "s3:ListBucket", "Condition": {"StringLike": {"s3:prefix": "in/*"}}})
    assert "in/k" in (await dav("PROPFIND", f"/{BUCKET}/in/", auth=BOB, Depth="1")).text
    assert (await dav("PROPFIND", f"/{BUCKET}/", auth=BOB, Depth="1")).status == 403
    assert (await dav("GET", f"/{BUCKET}/in/k", auth=BOB)).status == 403


async def test_every_member_of_a_tree_is_asked_for(dav: WebdavServer) -> None:
    for path in ("a", "a/deep"):
        await dav("MKCOL", f"/{BUCKET}/{path}")
    for path in ("a/k", "a/deep/k"):
        await dav("PUT", f"/{BUCKET}/{path}", b"x")
    all_of_a = {"Action": ["s3:*Object"], "Resource": [f"{_ARN}/a/*", f"{_ARN}/b/*"]}
    await allow(dav, all_of_a, {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": f"{_ARN}/a/deep/k"})
    assert (await dav("DELETE", f"/{BUCKET}/a/", auth=BOB)).status == 403
    assert (await dav("MOVE", f"/{BUCKET}/a", auth=BOB, Destination=f"{dav.url}/{BUCKET}/b")).status == 403
    assert (await dav("COPY", f"/{BUCKET}/a", auth=BOB, Destination=f"{dav.url}/{BUCKET}/c")).status == 403
    assert (await dav("COPY", f"/{BUCKET}/a", auth=BOB, Destination=f"{dav.url}/{BUCKET}/b")).status == 201
    assert (await dav("DELETE", f"/{BUCKET}/b", auth=BOB)).status == 204
    assert (await dav("GET", f"/{BUCKET}/a/deep/k")).body == b"x"


async def test_nothing_is_made_beside_what_is_allowed(dav: WebdavServer) -> None:
    await allow(dav, {"Action": "s3:PutObject", "Resource": f"{_ARN}/in/*"})
    lock = (
        '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
        "<D:locktype><D:write/></D:locktype></D:lockinfo>"
    )
    assert (await dav("LOCK", f"/{BUCKET}/in", lock, auth=BOB)).status == 403
    assert (await dav("MKCOL", f"/{BUCKET}/other", auth=BOB)).status == 403
    assert (await dav("MKCOL", f"/{BUCKET}/in", auth=BOB)).status == 201
    assert (await dav("LOCK", f"/{BUCKET}/in/k", lock, auth=BOB)).status == 201
    assert (await dav("GET", f"/{BUCKET}/in/k", auth=BOB)).status == 403


@pytest.mark.parametrize("size", [5, 300_000])
async def test_a_deny_binds_the_owner_whatever_the_way(dav: WebdavServer, size: int) -> None:
    await dav("PUT", f"/{BUCKET}/k", b"x" * size)
    everybody = {"Effect": "Deny", "Principal": "*"}
    await allow(dav, {**everybody, "Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": f"{_ARN}/k"})
    assert (await dav("PUT", f"/{BUCKET}/k", b"y" * size)).status == 403
    assert (await dav("DELETE", f"/{BUCKET}/k")).status == 403
    assert (await dav("PUT", f"/{BUCKET}/other", b"y" * size)).status == 201
    assert (await dav("GET", f"/{BUCKET}/k")).body == b"x" * size


async def test_a_whole_bucket_goes_only_where_every_object_may(dav: WebdavServer) -> None:
    await dav("PUT", f"/{BUCKET}/k", b"x")
    await allow(dav, {"Action": "s3:DeleteBucket"})
    assert (await dav("DELETE", f"/{BUCKET}/", auth=BOB)).status == 403
    await allow(dav, {"Action": ["s3:DeleteBucket", "s3:DeleteObject"]})
    assert (await dav("DELETE", f"/{BUCKET}/", auth=BOB)).status == 204


_LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
_PATCH = '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="y">z</x></D:prop></D:set></D:propertyupdate>'
_REQUESTS: dict[str, tuple[str, str, str | None, dict[str, str]]] = {
    "GET": ("GET", "k", None, {}),
    "HEAD": ("HEAD", "k", None, {}),
    "PROPFIND of a file": ("PROPFIND", "k", None, {"Depth": "0"}),
    "PROPFIND of a collection": ("PROPFIND", "", None, {"Depth": "1"}),
    "GET of a collection": ("GET", "", None, {}),
    "PUT of a new file": ("PUT", "new", "x", {}),
    "PUT of an old file": ("PUT", "k", "x", {}),
    "MKCOL": ("MKCOL", "newdir", None, {}),
    "PROPPATCH": ("PROPPATCH", "k", _PATCH, {}),
    "LOCK": ("LOCK", "k", _LOCK, {}),
    "LOCK of a new file": ("LOCK", "new", _LOCK, {}),
    "COPY": ("COPY", "k", None, {"Destination": f"/{BUCKET}/copy"}),
    "MOVE": ("MOVE", "k", None, {"Destination": f"/{BUCKET}/moved"}),
    "DELETE": ("DELETE", "k", None, {}),
}
_WRITES = {"PUT of a new file", "PUT of an old file", "MKCOL", "PROPPATCH", "LOCK", "LOCK of a new file"}
_GRANTS: dict[str, tuple[str, set[str]]] = {
    "nothing": ("s3:GetBucketLocation", set()),
    "reading": ("s3:GetObject", {"GET", "HEAD", "PROPFIND of a file"}),
    "listing": ("s3:ListBucket", {"PROPFIND of a file", "PROPFIND of a collection", "GET of a collection"}),
    "writing": ("s3:PutObject", _WRITES),
    "deleting": ("s3:DeleteObject", {"DELETE"}),
}


@pytest.mark.parametrize("grant", _GRANTS)
async def test_each_method_needs_what_it_does(dav: WebdavServer, grant: str) -> None:
    """Every method, by somebody who has exactly one right in the bucket."""
    action, allowed = _GRANTS[grant]
    await dav("PUT", f"/{BUCKET}/k", b"x")
    await allow(dav, {"Action": action})
    for name, (method, path, body, headers) in _REQUESTS.items():
        reply = await dav(method, f"/{BUCKET}/{path}", body, auth=BOB, **headers)
        assert (reply.status < 300) is (name in allowed), (name, reply.status)
        assert name in allowed or reply.status == 403, (name, reply.status)
        if "Lock-Token" in reply.headers:
            await dav("UNLOCK", f"/{BUCKET}/{path}", auth=BOB, Lock_Token=reply.headers["Lock-Token"])


@pytest.mark.parametrize(
    ("actions", "copied", "moved"),
    [
        (["s3:GetObject", "s3:PutObject"], 201, 403),
        (["s3:GetObject", "s3:DeleteObject"], 403, 403),
        (["s3:PutObject", "s3:DeleteObject"], 403, 403),
        (["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], 201, 201),
    ],
)
async def test_copies_and_moves_need_all_that_they_do(
    dav: WebdavServer, actions: list[str], copied: int, moved: int
) -> None:
    """A copy reads and writes; a move deletes too."""
    await dav("PUT", f"/{BUCKET}/k", b"x")
    await allow(dav, {"Action": actions})
    assert (await dav("COPY", f"/{BUCKET}/k", auth=BOB, Destination=f"/{BUCKET}/copy")).status == copied
    assert (await dav("MOVE", f"/{BUCKET}/k", auth=BOB, Destination=f"/{BUCKET}/moved")).status == moved


async def test_a_policy_of_the_user_makes_them_read_only(dav: WebdavServer) -> None:
    """In their own bucket, whichever way a request takes, with the password as with a key."""
    await dav("PUT", f"/{BUCKET}/k", b"x")
    write = ["s3:Put*", "s3:Delete*", "s3:CreateBucket"]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": write, "Resource": "*"}]}
    await dav.world.user_policies.put("alice", "read-only", json.dumps(document).encode())
    key = await dav.world.accounts.add_key("alice")
    for auth in (basic(USER, PASSWORD), basic(key.access_key_id, key.secret)):
        for name, (method, path, body, headers) in _REQUESTS.items():
            reply = await dav(method, f"/{BUCKET}/{path}", body, auth=auth, **headers)
            reads = name.startswith(("GET", "HEAD", "PROPFIND"))
            assert reply.status in ((200, 207) if reads else (403,)), (name, reply.status)
        assert (await dav("MKCOL", "/another", auth=auth)).status == 403


async def test_the_list_of_buckets_has_those_that_may_be_listed(dav: WebdavServer) -> None:
    """Other people's too, and not one's own where a policy forbids it."""
    await dav("MKCOL", "/theirs", auth=BOB)
    assert "/theirs/" not in (await dav("PROPFIND", "/", Depth="1")).text
    assert f"/{BUCKET}/" not in (await dav("PROPFIND", "/", Depth="1", auth=BOB)).text
    await dav("PUT", f"/{BUCKET}/k", b"x")
    await allow(dav, {"Action": "s3:ListBucket"}, {"Effect": "Deny", "Action": "s3:ListBucket", "Principal": USER_ARN})
    for depth in ("1", "infinity"):
        found = (await dav("PROPFIND", "/", Depth=depth, auth=BOB)).text
        assert f"href>/{BUCKET}/<" in found
        assert "href>/theirs/<" in found
        assert (f"href>/{BUCKET}/k<" in found) is (depth == "infinity")
    assert f"/{BUCKET}/" not in (await dav("PROPFIND", "/", Depth="1")).text


async def test_an_access_control_list_counts_too(dav: WebdavServer) -> None:
    """Where lists count: a file that everybody may read is read, and not written."""
    await dav.world.store.bucket_rights.put_ownership(dav.who, BUCKET, Ownership.WRITER)
    await dav("PUT", f"/{BUCKET}/k", b"x")
    assert (await dav("GET", f"/{BUCKET}/k", auth=BOB)).status == 403
    owner = await dav.world.accounts.principal_of_name(USER)
    await dav.world.store.object_acls.put(owner, BUCKET, "k", None, AclWish(canned="public-read"))
    assert (await dav("GET", f"/{BUCKET}/k", auth=BOB)).body == b"x"
    assert (await dav("PUT", f"/{BUCKET}/k", b"y", auth=BOB)).status == 403
    assert (await dav("DELETE", f"/{BUCKET}/k", auth=BOB)).status == 403
