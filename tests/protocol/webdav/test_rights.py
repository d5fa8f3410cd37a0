"""The same rights count here as for S3."""

import json
from typing import Any

import pytest

from tests.support.namespace import ACCOUNT
from tests.support.webdav_server import BUCKET, OTHER, OTHER_PASSWORD, WebdavServer, basic

BOB = basic(OTHER, OTHER_PASSWORD)
_ARN = f"arn:aws:s3:::{BUCKET}"


async def allow(dav: WebdavServer, *statements: dict[str, Any]) -> None:
    """Put a policy, as alice. Statements are about bob, the bucket and all in it unless they say something else."""
    about = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{OTHER}"},
        "Resource": [_ARN, f"{_ARN}/*"],
    }
    document = {"Version": "2012-10-17", "Statement": [{**about, **one} for one in statements]}
    owner = await dav.world.accounts.principal_of_name("alice")
    await dav.world.store.bucket_rights.put_policy(owner, BUCKET, json.dumps(document).encode())


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
