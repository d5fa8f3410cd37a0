"""Older versions and deleted files of a bucket that keeps versions."""

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from noisefs.adapters.inbound.webdav import WebdavSettings
from noisefs.core.domain.buckets.object_lock import COMPLIANCE
from noisefs.core.domain.records import LockRule
from noisefs.core.domain.requests import Attributes
from tests.support.namespace import stream
from tests.support.webdav_server import BOB, BUCKET, WebdavServer, allow, serve

_TRASH, _VERSIONS = f"/{BUCKET}/.trash", f"/{BUCKET}/.versions"
_LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


@pytest.fixture
async def dav() -> AsyncIterator[WebdavServer]:
    async with serve(WebdavSettings(list_page=3)) as server:
        await server.world.versions.configure(server.who, BUCKET, enabled=True)
        yield server


async def hrefs(dav: WebdavServer, path: str, **headers: str) -> list[str]:
    """Members of a collection, itself left out."""
    reply = await dav("PROPFIND", path, Depth="1", **headers)
    assert reply.status == 207, reply.text
    return sorted(re.findall("<D:href>(/[^<]*)</D:href><D:propstat>", reply.text))[1:]


async def versions(dav: WebdavServer, key: str) -> list[str]:
    """Ids of a key's versions with bytes, the newest first."""
    page = await dav.world.objects.list_history(dav.who, BUCKET, prefix=key)
    return [entry.version_id for entry in page.entries if entry.key == key and not entry.version.delete_marker]


async def deleted(dav: WebdavServer, *paths: str) -> None:
    """Make files, and delete them."""
    for path in paths:
        folders = path.split("/")[:-1]
        for depth in range(len(folders)):
            await dav("MKCOL", f"/{BUCKET}/{quote('/'.join(folders[: depth + 1]))}")
        await dav("PUT", f"/{BUCKET}/{quote(path)}", path.encode())
        assert (await dav("DELETE", f"/{BUCKET}/{quote(path)}")).status == 204


async def test_every_version_can_be_read(dav: WebdavServer) -> None:
    """By its id below its key; with ranges, types and tags; and no ordinary listing shows them."""
    await dav("MKCOL", f"/{BUCKET}/d")
    for body in (b"one", b"two", b"three"):
        await dav("PUT", f"/{BUCKET}/d/f.txt", body)
    ids = await versions(dav, "d/f.txt")
    assert await hrefs(dav, f"{_VERSIONS}/") == [f"{_VERSIONS}/d/"]
    assert await hrefs(dav, f"{_VERSIONS}/d/") == [f"{_VERSIONS}/d/f.txt/"]
    assert await hrefs(dav, f"{_VERSIONS}/d/f.txt/") == sorted(f"{_VERSIONS}/d/f.txt/{one}" for one in ids)
    bodies = [await dav("GET", f"{_VERSIONS}/d/f.txt/{one}") for one in ids]
    assert [reply.body for reply in bodies] == [b"three", b"two", b"one"]
    assert bodies[0].headers["Content-Type"] == "text/plain"
    assert (await dav("GET", f"{_VERSIONS}/d/f.txt/{ids[1]}", Range="bytes=1-")).body == b"wo"
    assert (await dav("HEAD", f"{_VERSIONS}/d/f.txt/{ids[2]}")).headers["Content-Length"] == "3"
    told = (await dav("PROPFIND", f"{_VERSIONS}/d/f.txt/{ids[2]}", Depth="0")).text
    assert "<D:getcontentlength>3<" in told
    assert (await dav("GET", f"{_VERSIONS}/d/f.txt/{'0' * 32}")).status == 404
    assert (await dav("GET", f"{_VERSIONS}/none/")).status == 404
    assert await hrefs(dav, f"/{BUCKET}/") == [f"/{BUCKET}/d/"]
    assert ".versions" not in (await dav("PROPFIND", f"/{BUCKET}/", Depth="infinity")).text


async def test_deleted_files_are_in_the_trash(dav: WebdavServer) -> None:
    """In their folders, of which only those are shown that have some."""
    await deleted(dav, "a", "d/b", "d/e/c", "x y/ä&b")
    await dav("MKCOL", f"/{BUCKET}/alive")
    for number in range(8):
        await dav("PUT", f"/{BUCKET}/alive/{number}", b"x")
        await deleted(dav, f"many/{number}")
    assert await hrefs(dav, f"{_TRASH}/") == [f"{_TRASH}/{one}" for one in ("a", "d/", "many/", "x%20y/")]
    assert await hrefs(dav, f"{_TRASH}/d/") == [f"{_TRASH}/d/b", f"{_TRASH}/d/e/"]
    assert await hrefs(dav, f"{_TRASH}/x%20y") == [f"{_TRASH}/x%20y/%C3%A4%26b"]
    assert len(await hrefs(dav, f"{_TRASH}/many/")) == 8
    assert (await dav("GET", f"{_TRASH}/d/e/c")).body == b"d/e/c"
    assert (await dav("GET", f"{_TRASH}/alive/1")).status == 404
    assert (await dav("PROPFIND", f"{_TRASH}/alive/", Depth="0")).status == 404
    assert (await dav("PROPFIND", f"{_TRASH}/", Depth="infinity")).status == 403
    assert ".trash" not in (await dav("PROPFIND", f"/{BUCKET}/", Depth="infinity")).text


async def test_a_move_restores(dav: WebdavServer) -> None:
    """To where it was, with all its versions; to another place, the newest bytes and nothing left behind."""
    for body in (b"one", b"two"):
        await dav("PUT", f"/{BUCKET}/f", body)
    await dav("DELETE", f"/{BUCKET}/f")
    assert (await dav("MOVE", f"{_TRASH}/f", Destination=f"{dav.url}/{BUCKET}/f")).status == 201
    assert (await dav("GET", f"/{BUCKET}/f")).body == b"two"
    assert len(await versions(dav, "f")) == 2
    assert await hrefs(dav, f"{_TRASH}/") == []
    await dav("DELETE", f"/{BUCKET}/f")
    await dav("PUT", f"/{BUCKET}/g", b"g")
    assert (await dav("MOVE", f"{_TRASH}/f", Destination=f"/{BUCKET}/g", Overwrite="F")).status == 412
    assert (await dav("MOVE", f"{_TRASH}/f", Destination=f"/{BUCKET}/none/g")).status == 409
    assert (await dav("MOVE", f"{_TRASH}/f", Destination=f"/{BUCKET}/g")).status == 204
    assert (await dav("GET", f"/{BUCKET}/g")).body == b"two"
    assert await versions(dav, "f") == []
    assert await hrefs(dav, f"{_TRASH}/") == []
    dav.world.check()


async def test_a_file_comes_back_with_its_folder(dav: WebdavServer) -> None:
    """Which was deleted after it; not over a folder that has its name now."""
    await deleted(dav, "d/a", "e")
    await dav("DELETE", f"/{BUCKET}/d")
    assert (await dav("MOVE", f"{_TRASH}/d/a", Destination=f"/{BUCKET}/d/a")).status == 201
    assert (await dav("GET", f"/{BUCKET}/d/a")).body == b"d/a"
    await dav("MKCOL", f"/{BUCKET}/e")
    await dav("PUT", f"/{BUCKET}/e/x", b"x")
    assert (await dav("MOVE", f"{_TRASH}/e", Destination=f"/{BUCKET}/e")).status == 409


async def test_a_folder_may_come_back_elsewhere(dav: WebdavServer) -> None:
    """Where nothing is; a copy leaves the trash as it is, a move empties it of the folder."""
    await deleted(dav, "d/a", "d/e/b", "other")
    await dav("PUT", f"/{BUCKET}/file", b"x")
    await dav("MKCOL", f"/{BUCKET}/folder")
    assert (await dav("MOVE", f"{_TRASH}/d/", Destination=f"/{BUCKET}/file")).status == 409
    assert (await dav("MOVE", f"{_TRASH}/d/", Destination=f"/{BUCKET}/folder/")).status == 409
    assert (await dav("MOVE", f"{_TRASH}/d/", Destination=f"/{BUCKET}/none/z/")).status == 409
    assert (await dav("COPY", f"{_TRASH}/d/", Destination=f"/{BUCKET}/y/")).status == 201
    assert len(await hrefs(dav, f"{_TRASH}/")) == 2
    assert (await dav("MOVE", f"{_TRASH}/d/", Destination=f"/{BUCKET}/folder/z/")).status == 201
    for path in ("y", "folder/z"):
        assert (await dav("GET", f"/{BUCKET}/{path}/e/b")).body == b"d/e/b"
    assert await hrefs(dav, f"{_TRASH}/") == [f"{_TRASH}/other"]
    dav.world.check()


async def test_a_folder_is_restored_to_where_it_was(dav: WebdavServer) -> None:
    """Everything deleted below it."""
    await deleted(dav, "d/a", "d/e/b", "other")
    await dav("DELETE", f"/{BUCKET}/d")
    assert (await dav("MOVE", f"{_TRASH}/d/", Destination=f"/{BUCKET}/d/")).status == 201
    assert (await dav("GET", f"/{BUCKET}/d/e/b")).body == b"d/e/b"
    assert (await dav("GET", f"/{BUCKET}/d/a")).body == b"d/a"
    assert await hrefs(dav, f"{_TRASH}/") == [f"{_TRASH}/other"]
    dav.world.check()


async def test_a_copy_brings_an_older_version_back(dav: WebdavServer) -> None:
    """From versions and from the trash, which stay as they are."""
    for body in (b"one", b"two"):
        await dav("PUT", f"/{BUCKET}/f", body)
    old = (await versions(dav, "f"))[1]
    assert (await dav("COPY", f"{_VERSIONS}/f/{old}", Destination=f"/{BUCKET}/f")).status == 204
    assert (await dav("GET", f"/{BUCKET}/f")).body == b"one"
    assert len(await versions(dav, "f")) == 3
    await dav("DELETE", f"/{BUCKET}/f")
    assert (await dav("COPY", f"{_TRASH}/f", Destination=f"/{BUCKET}/g")).status == 201
    assert (await dav("GET", f"/{BUCKET}/g")).body == b"one"
    assert await hrefs(dav, f"{_TRASH}/") == [f"{_TRASH}/f"]


async def test_deleting_from_the_trash_is_for_good(dav: WebdavServer) -> None:
    """One file, a folder, or all; what is there is never touched."""
    await dav("PUT", f"/{BUCKET}/alive", b"x")
    await deleted(dav, "a", "b", "d/c", "d/e/f")
    assert (await dav("DELETE", f"{_TRASH}/a")).status == 204
    assert (await dav("GET", f"{_TRASH}/a")).status == 404
    assert await versions(dav, "a") == []
    assert (await dav("DELETE", f"{_TRASH}/d/")).status == 204
    assert await hrefs(dav, f"{_TRASH}/") == [f"{_TRASH}/b"]
    assert (await dav("DELETE", f"{_TRASH}/alive")).status == 404
    assert (await dav("DELETE", f"{_TRASH}/")).status == 204
    assert await hrefs(dav, f"{_TRASH}/") == []
    assert (await dav("GET", f"/{BUCKET}/alive")).body == b"x"
    dav.world.check()


async def test_nothing_else_is_changed(dav: WebdavServer) -> None:
    """403, which says why; also as a destination."""
    await deleted(dav, "a")
    await dav("PUT", f"/{BUCKET}/k", b"x")
    version = (await versions(dav, "k"))[0]
    for path in (f"{_VERSIONS}/k/{version}", f"{_VERSIONS}/k/", f"{_VERSIONS}/", f"{_TRASH}/a", f"{_TRASH}/new"):
        for method in ("PUT", "PATCH", "MKCOL", "PROPPATCH", "LOCK", "UNLOCK"):
            reply = await dav(method, path, _LOCK if method == "LOCK" else None, Lock_Token="<x:y>")
            assert reply.status == 403, (method, path, reply.text)
        for method in ("COPY", "MOVE"):
            assert (await dav(method, f"/{BUCKET}/k", Destination=path)).status == 403, (method, path)
    for path in (f"{_VERSIONS}/k/{version}", f"{_VERSIONS}/k/", f"{_VERSIONS}/"):
        assert (await dav("DELETE", path)).status == 403
        assert (await dav("MOVE", path, Destination=f"/{BUCKET}/z")).status == 403
    assert (await dav("MOVE", f"{_TRASH}/", Destination=f"/{BUCKET}/z")).status == 403
    assert (await dav("GET", f"/{BUCKET}/k")).body == b"x"


async def test_chunks_are_not_joined_there(dav: WebdavServer) -> None:
    """Which would be a real file of that name."""
    uploads = "/remote.php/dav/uploads/alice/one"
    await dav("MKCOL", uploads)
    await dav("PUT", f"{uploads}/00001", b"x")
    target = f"{dav.url}/remote.php/dav/files/alice{_TRASH}/k"
    assert (await dav("MOVE", f"{uploads}/.file", Destination=target)).status == 403


async def test_locks_and_conditions_of_the_target_count(dav: WebdavServer) -> None:
    """A lock on what is replaced, or on the folder that gets a member."""
    await deleted(dav, "a")
    await dav("PUT", f"/{BUCKET}/k", b"x")
    token = (await dav("LOCK", f"/{BUCKET}/k", _LOCK)).headers["Lock-Token"]
    assert (await dav("MOVE", f"{_TRASH}/a", Destination=f"/{BUCKET}/k")).status == 423
    tagged = f"<{dav.url}/{BUCKET}/k> ({token})"
    assert (await dav("MOVE", f"{_TRASH}/a", Destination=f"/{BUCKET}/k", If=tagged)).status == 204
    assert (await dav("GET", f"/{BUCKET}/k")).body == b"a"
    await deleted(dav, "b")
    await dav("LOCK", f"/{BUCKET}/", _LOCK, Depth="0")
    assert (await dav("MOVE", f"{_TRASH}/b", Destination=f"/{BUCKET}/b")).status == 423


async def test_object_lock_keeps_what_it_protects(dav: WebdavServer) -> None:
    """Emptying the trash says so; the rest goes."""
    await deleted(dav, "free")
    await dav.world.versions.set_lock(dav.who, BUCKET, LockRule(COMPLIANCE, days=1))
    await deleted(dav, "kept")
    assert (await dav("DELETE", f"{_TRASH}/kept")).status == 403
    emptied = await dav("DELETE", f"{_TRASH}/")
    assert emptied.status == 207
    assert re.findall("<D:href>([^<]*)<", emptied.text) == [f"{_TRASH}/kept"]
    assert await hrefs(dav, f"{_TRASH}/") == [f"{_TRASH}/kept"]
    assert (await dav("GET", f"{_TRASH}/kept")).body == b"kept"
    dav.world.check()


async def test_rights_to_versions_count(dav: WebdavServer) -> None:
    """To list, read and remove them: each of its own."""
    await deleted(dav, "a")
    await dav("PUT", f"/{BUCKET}/k", b"x")
    version = (await versions(dav, "k"))[0]
    await allow(dav, {"Action": ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"]})
    assert (await dav("PROPFIND", f"{_TRASH}/", auth=BOB, Depth="1")).status == 404
    await allow(dav, {"Action": ["s3:ListBucketVersions", "s3:GetObject", "s3:PutObject"]})
    assert (await dav("PROPFIND", f"{_TRASH}/", auth=BOB, Depth="1")).status == 207
    assert (await dav("GET", f"{_VERSIONS}/k/{version}", auth=BOB)).status == 403
    assert (await dav("COPY", f"{_VERSIONS}/k/{version}", auth=BOB, Destination=f"/{BUCKET}/l")).status == 403
    await allow(dav, {"Action": ["s3:ListBucketVersions", "s3:GetObjectVersion", "s3:PutObject", "s3:ListBucket"]})
    assert (await dav("GET", f"{_VERSIONS}/k/{version}", auth=BOB)).body == b"x"
    assert (await dav("COPY", f"{_VERSIONS}/k/{version}", auth=BOB, Destination=f"/{BUCKET}/l")).status == 201
    assert (await dav("MOVE", f"{_TRASH}/a", auth=BOB, Destination=f"/{BUCKET}/a")).status == 403
    assert (await dav("DELETE", f"{_TRASH}/a", auth=BOB)).status == 403
    assert (await dav("GET", f"{_TRASH}/a")).body == b"a"


async def test_real_files_of_the_name_come_first(dav: WebdavServer) -> None:
    """Nothing that somebody has is ever hidden by it."""
    await deleted(dav, "a")
    async with serve(WebdavSettings(trash_name="bin"), world=dav.world) as renamed:
        assert await hrefs(renamed, f"/{BUCKET}/bin/") == [f"/{BUCKET}/bin/a"]
        assert (await renamed("MKCOL", f"/{BUCKET}/.trash")).status == 201
        assert (await renamed("PUT", f"/{BUCKET}/.trash/mine", b"x")).status == 201
    assert await hrefs(dav, f"{_TRASH}/") == [f"{_TRASH}/mine"]
    assert (await dav("PUT", f"{_TRASH}/more", b"x")).status == 201


async def test_without_versions_there_is_neither() -> None:
    """Then the names are ordinary; so they are where they are switched off."""
    async with serve() as dav:
        assert (await dav("PROPFIND", f"{_TRASH}/", Depth="0")).status == 404
        assert (await dav("MKCOL", _TRASH)).status == 201
    async with serve(WebdavSettings(trash_name="", versions_name="")) as dav:
        await dav.world.versions.configure(dav.who, BUCKET, enabled=True)
        assert (await dav("PROPFIND", f"{_TRASH}/", Depth="0")).status == 404
        assert (await dav("MKCOL", _TRASH)).status == 201


async def test_they_are_below_a_users_root_too(dav: WebdavServer) -> None:
    """Where that is a whole bucket."""
    await deleted(dav, "a")
    await dav.world.accounts.set_root("alice", BUCKET)
    assert await hrefs(dav, "/.trash/") == ["/.trash/a"]
    assert (await dav("MOVE", "/.trash/a", Destination="/a")).status == 201
    assert (await dav("GET", "/a")).body == b"a"


@pytest.mark.parametrize("prefix", ["home", "homes/\u00e4 & co"])
async def test_they_are_below_a_root_inside_a_bucket(dav: WebdavServer, prefix: str) -> None:
    """With what was deleted there, and nothing else; a file called like the root is not in it."""
    await deleted(dav, "elsewhere", f"{prefix}/a", f"{prefix}/d/b")
    await dav("MKCOL", f"/{BUCKET}/{quote(prefix)}/d")
    await dav.world.objects.put(dav.who, BUCKET, prefix, stream(b"secret"), Attributes())
    outside = (await versions(dav, prefix))[0]
    await dav.world.accounts.set_root("alice", BUCKET, prefix)
    assert await hrefs(dav, "/.trash/") == ["/.trash/a", "/.trash/d/"]
    assert await hrefs(dav, "/.trash/d") == ["/.trash/d/b"]
    assert (await dav("GET", "/.trash/a")).body == f"{prefix}/a".encode()
    assert (await dav("GET", f"/.versions/{outside}")).status == 404
    page = await dav("GET", "/.trash/", Accept="text/html")
    assert 'data-target="/a"' in page.text
    assert ".trash" in (await dav("GET", "/")).text
    assert (await dav("PUT", "/.trash/new", b"x")).status == 403
    assert (await dav("MOVE", "/.trash/a", Destination="/a")).status == 201
    assert (await dav("GET", "/a")).body == f"{prefix}/a".encode()
    ids = await versions(dav, f"{prefix}/a")
    assert await hrefs(dav, "/.versions/a/") == [f"/.versions/a/{one}" for one in ids]
    assert (await dav("GET", f"/.versions/a/{ids[0]}")).body == f"{prefix}/a".encode()
    assert (await dav("MOVE", "/.trash/d", Destination="/again")).status == 201
    assert (await dav("GET", "/again/b")).body == f"{prefix}/d/b".encode()
    assert (await dav("DELETE", "/.trash/")).status == 204
    await dav.world.accounts.set_root("alice", "")
    assert await hrefs(dav, f"{_TRASH}/") == [f"{_TRASH}/elsewhere"]


async def test_a_folder_comes_back_whole_or_not_at_all(dav: WebdavServer) -> None:
    """One name that would be too long, and nothing of it is anywhere else: it is one commit."""
    await deleted(dav, "d/short", f"d/{'x' * 250}/{'y' * 250}")
    for depth in range(1, 4):
        await dav("MKCOL", f"/{BUCKET}/{'/'.join(['z' * 250] * depth)}")
    target = f"/{BUCKET}/{'/'.join(['z' * 250] * 3)}/new"
    await dav("DELETE", f"/{BUCKET}/d")
    before = await dav.world.keys()
    for method in ("COPY", "MOVE"):
        assert (await dav(method, f"{_TRASH}/d", Destination=target)).status == 414
        assert await dav.world.keys() == before
        assert f"{_TRASH}/d/short" in await hrefs(dav, f"{_TRASH}/d")
    assert (await dav("MOVE", f"{_TRASH}/d", Destination=f"/{BUCKET}/new")).status == 201
    assert (await dav("GET", f"/{BUCKET}/new/short")).body == b"d/short"


async def test_what_may_not_go_from_the_trash_is_told(dav: WebdavServer) -> None:
    """Its bytes are in both places then, and the marker still covers it."""
    await deleted(dav, "d/free")
    await dav.world.versions.set_lock(dav.who, BUCKET, LockRule(COMPLIANCE, days=1))
    await deleted(dav, "d/held")
    moved = await dav("MOVE", f"{_TRASH}/d", Destination=f"/{BUCKET}/new")
    assert (moved.status, re.findall("<D:href>([^<]*)<", moved.text)) == (207, [f"{_TRASH}/d/held"])
    for name in ("free", "held"):
        assert (await dav("GET", f"/{BUCKET}/new/{name}")).body == f"d/{name}".encode()
        assert (await dav("GET", f"/{BUCKET}/d/{name}")).status == 404
    assert await hrefs(dav, f"{_TRASH}/d") == [f"{_TRASH}/d/held"]
