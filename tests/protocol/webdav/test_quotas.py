"""Quotas as WebDAV clients meet them."""

import pytest

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.requests import Principal
from tests.support.webdav_server import WebdavServer

ROOT = Principal(UserId("0" * 32), "root", admin=True)


@pytest.mark.parametrize("size", [10, 300_000])
async def test_a_write_beyond_the_quota_finds_no_room_and_changes_nothing(dav: WebdavServer, size: int) -> None:
    await dav.world.store.quotas.set_bucket(ROOT, "bucket", max_bytes=size)
    assert (await dav("PUT", "/bucket/k", b"x" * size)).status == 201
    for path in ("/bucket/k", "/bucket/other"):
        assert (await dav("PUT", path, b"y" * (size + 1))).status == 507
    assert (await dav("GET", "/bucket/k")).body == b"x" * size
    refused = await dav("COPY", "/bucket/k", Destination=f"{dav.url}/bucket/copy")
    assert refused.status == 507
    assert (await dav("DELETE", "/bucket/k")).status == 204
    assert (await dav("PUT", "/bucket/other", b"y" * size)).status == 201


async def test_what_a_quota_leaves_is_told(dav: WebdavServer) -> None:
    ask = '<propfind xmlns="DAV:"><prop><quota-available-bytes/></prop></propfind>'
    assert (await dav("PUT", "/bucket/k", b"x" * 30)).status == 201
    for left, size in ((70, 100), (0, 20)):
        await dav.world.store.quotas.set_bucket(ROOT, "bucket", max_bytes=size)
        told = (await dav("PROPFIND", "/bucket/", ask, Depth="0")).text
        assert f"quota-available-bytes>{left}<" in told


async def test_the_root_has_what_all_of_a_users_buckets_have(dav: WebdavServer) -> None:
    """Used and free bytes of a share that is mounted as a whole; its members are asked one by one."""
    ask = '<propfind xmlns="DAV:"><prop><quota-available-bytes/><quota-used-bytes/></prop></propfind>'
    assert (await dav("MKCOL", "/second/")).status == 201
    for path in ("/bucket/k", "/second/k"):
        assert (await dav("PUT", path, b"x" * 30)).status == 201
    told = (await dav("PROPFIND", "/", ask, Depth="0")).text
    assert "quota-used-bytes>60<" in told
    assert "quota-available-bytes>1000000<" in told
    await dav.world.store.quotas.set_user(ROOT, "alice", max_bytes=100)
    told = (await dav("PROPFIND", "/", ask, Depth="1")).text
    assert told.count("quota-available-bytes>40<") == told.count("quota-used-bytes>60<") == 1
    told = (await dav("PROPFIND", "/second/", ask, Depth="1")).text
    assert "quota-available-bytes>40<" in told
    assert "quota-used-bytes>30<" in told
