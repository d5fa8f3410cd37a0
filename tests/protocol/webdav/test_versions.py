"""WebDAV in a bucket that keeps versions: it shows the current ones, and removes nothing for good."""

from noisefs.core.domain.buckets.object_lock import COMPLIANCE
from noisefs.core.domain.records import LockRule
from noisefs.core.domain.requests import Doomed
from noisefs.core.errors import NoisefsError
from tests.support.webdav_server import BUCKET, WebdavServer


async def history(dav: WebdavServer) -> list[tuple[str, bool]]:
    """Key of each version, and whether it is a delete marker; the newest of a key first."""
    page = await dav.world.objects.list_history(dav.who, BUCKET)
    return [(entry.key, entry.version.delete_marker) for entry in page.entries]


async def test_what_is_put_moved_and_deleted_stays_as_versions(dav: WebdavServer) -> None:
    await dav.world.versions.configure(dav.who, BUCKET, enabled=True)
    for body in (b"one", b"two"):
        await dav("PUT", "/bucket/f", body)
    assert await history(dav) == [("f", False), ("f", False)]
    assert (await dav("MKCOL", "/bucket/d")).status == 201
    moved = await dav("MOVE", "/bucket/f", Destination=f"http://127.0.0.1:{dav.port}/bucket/d/g")
    assert moved.status == 201
    assert (await dav("GET", "/bucket/f")).status == 404
    assert (await dav("GET", "/bucket/d/g")).body == b"two"
    assert (await dav("DELETE", "/bucket/d/")).status == 204
    assert (await dav("PROPFIND", "/bucket/d/", Depth="0")).status == 404
    assert await history(dav) == [
        ("d/", True),
        ("d/", False),
        ("d/g", True),
        ("d/g", False),
        ("f", True),
        ("f", False),
        ("f", False),
    ]
    version = (await dav.world.objects.list_history(dav.who, BUCKET, prefix="d/g")).entries[0]
    await dav.world.objects.delete(dav.who, BUCKET, "d/g", version_id=version.version_id)
    assert (await dav("GET", "/bucket/d/g")).body == b"two"


async def test_nothing_that_webdav_does_breaks_a_lock(dav: WebdavServer) -> None:
    await dav.world.versions.configure(dav.who, BUCKET, enabled=True)
    await dav.world.versions.set_lock(dav.who, BUCKET, LockRule(COMPLIANCE, days=1))
    await dav("PUT", "/bucket/f", b"kept")
    there = f"http://127.0.0.1:{dav.port}/bucket/g"
    assert (await dav("PUT", "/bucket/f", b"over it")).status == 204
    assert (await dav("COPY", "/bucket/f", Destination=there)).status == 201
    assert (await dav("MOVE", "/bucket/f", Destination=there, Overwrite="T")).status == 204
    assert (await dav("DELETE", "/bucket/g")).status == 204
    entries = (await dav.world.objects.list_history(dav.who, BUCKET)).entries
    versions = [entry for entry in entries if not entry.version.delete_marker]
    assert len(versions) == 4
    outcomes = await dav.world.objects.delete_many(
        dav.who, BUCKET, [Doomed(entry.key, entry.version_id) for entry in versions], bypass=True
    )
    assert all(isinstance(outcome, NoisefsError) for outcome in outcomes)
