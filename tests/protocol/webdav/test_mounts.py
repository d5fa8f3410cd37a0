"""Mounted shares at work: a clone of a repository, a tar archive, a database, by rclone and by davfs2."""

import hashlib
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from noisefs.core.domain.requests import Attributes
from tests.support.mounts import attempt, davfs_mount, rclone_mount, run
from tests.support.namespace import stream
from tests.support.webdav_server import BUCKET, PASSWORD, USER, WebdavServer
from tools import components

GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
AUTHOR = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")


async def repository(folder: Path) -> dict[str, bytes]:
    """A bare repository ``repo.git`` and an archive ``tree.tar`` in a folder; contents by path."""
    work = folder / "work"
    contents = {
        f"d{number % 3}/file {number} é": hashlib.shake_128(str(number).encode()).digest(number * 5001)
        for number in range(12)
    }
    for name, data in contents.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(data)
    await run("tar", "cf", folder / "tree.tar", "-C", work, ".", cwd=folder)
    await run("git", "init", "-q", "-b", "main", cwd=work, **GIT)
    await run("git", "add", "-A", cwd=work, **GIT)
    await run("git", *AUTHOR, "commit", "-q", "-m", "one", cwd=work, **GIT)
    await run("git", "clone", "-q", "--bare", work, folder / "repo.git", cwd=folder, **GIT)
    return contents


async def served(dav: WebdavServer, below: str) -> dict[str, bytes]:
    """Contents of all files below a collection, as the server has them."""
    keys = [key for key, _ in (await dav.world.objects.list(dav.who, BUCKET, prefix=f"{below}/")).entries]
    found = {}
    for key in keys:
        if not key.endswith("/"):
            async with await dav.world.objects.open(dav.who, BUCKET, key) as opened:
                found[key.removeprefix(f"{below}/")] = b"".join([bytes(chunk) async for chunk in opened.chunks()])
    return found


# The journal stays: rclone may trip over a file of its own that is removed while it uploads it.
DATABASE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as base:
    base.execute("pragma journal_mode=truncate")
    base.execute("create table if not exists kept (number integer primary key, text)")
    base.executemany("insert into kept (text) values (?)", [("row " * 50,)] * 500)
with sqlite3.connect(sys.argv[1]) as base:
    base.execute("pragma journal_mode=truncate")
    base.execute("delete from kept where number % 3 = 0")
    assert base.execute("pragma integrity_check").fetchone() == ("ok",)
    print(base.execute("select count(*) from kept").fetchone()[0])
"""


async def database(mounted: Path, python: str) -> None:
    """Two programs, one behind the other, write one database."""
    kept = [int(await run(python, "-c", DATABASE, mounted / "base.sqlite", cwd=mounted.parent)) for _ in range(2)]
    assert kept[0] == 334 < kept[1]


def check_database(data: bytes, folder: Path) -> None:
    """What the server has is the database that was written."""
    (folder / "copy.sqlite").write_bytes(data)
    base = sqlite3.connect(folder / "copy.sqlite")
    try:
        assert base.execute("pragma integrity_check").fetchone() == ("ok",)
        assert base.execute("select count(*) from kept where number % 3 = 0").fetchone() == (0,)
        assert base.execute("select count(*) from kept").fetchone()[0] > 334
    finally:
        base.close()


@pytest.mark.needs("rclone", "fusermount3", "git")
@pytest.mark.parametrize("vendor", ["other", "nextcloud"])
async def test_rclone_mount(dav: WebdavServer, vendor: str, tmp_path: Path) -> None:
    """git clones into it and finds its objects whole, tar unpacks, a database is written; all of it is served."""
    contents = await repository(tmp_path)
    obscured = (await run(_rclone(), "obscure", PASSWORD, cwd=tmp_path)).strip()
    alias = f"/remote.php/dav/files/{USER}/" if vendor == "nextcloud" else ""
    env = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_DAV_TYPE": "webdav",
        "RCLONE_CONFIG_DAV_URL": f"{dav.url}{alias}",
        "RCLONE_CONFIG_DAV_VENDOR": vendor,
        "RCLONE_CONFIG_DAV_USER": USER,
        "RCLONE_CONFIG_DAV_PASS": obscured,
        "RCLONE_CONFIG_DAV_NEXTCLOUD_CHUNK_SIZE": "16k",
        "RCLONE_CONFIG_DAV_PACER_MIN_SLEEP": "1ms",
    }
    async with rclone_mount(f"dav:{BUCKET}", tmp_path, env) as mounted:
        await run("git", "clone", "-q", tmp_path / "repo.git", mounted / "clone", cwd=tmp_path, **GIT)
        await run("git", "-C", mounted / "clone", "fsck", "--full", cwd=tmp_path, **GIT)
        assert await run("git", "-C", mounted / "clone", "status", "--porcelain", cwd=tmp_path, **GIT) == ""
        await run("mkdir", mounted / "tree", cwd=tmp_path)
        await run("tar", "xf", tmp_path / "tree.tar", "-C", mounted / "tree", "--no-same-owner", cwd=tmp_path)
        await run("diff", "-r", tmp_path / "work", mounted / "tree", "-x", ".git", cwd=tmp_path)
        await database(mounted, sys.executable)
    assert await served(dav, "tree") == contents
    clone = await served(dav, "clone")
    assert {name: data for name, data in clone.items() if not name.startswith(".git/")} == contents
    check_database((await dav("GET", f"/{BUCKET}/base.sqlite")).body, tmp_path)


@pytest.mark.needs("mount.davfs", "git")
async def test_davfs2_mount(dav: WebdavServer, tmp_path: Path) -> None:
    """The same by davfs2, which locks each file that it writes; looked at from the server's side."""
    contents = await repository(tmp_path)
    async with davfs_mount(f"{dav.url}/{BUCKET}", USER, PASSWORD, tmp_path) as mounted:
        await run("git", "clone", "-q", tmp_path / "repo.git", mounted / "clone", cwd=tmp_path, **GIT)
        await run("mkdir", mounted / "tree", cwd=tmp_path)
        await run("tar", "xf", tmp_path / "tree.tar", "-C", mounted / "tree", "--no-same-owner", cwd=tmp_path)
        await database(mounted, sys.executable)
    assert await served(dav, "tree") == contents
    clone = await served(dav, "clone")
    assert {name: data for name, data in clone.items() if not name.startswith(".git/")} == contents
    git = tmp_path / "fetched" / ".git"
    for name, data in clone.items():
        (git.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (git.parent / name).write_bytes(data)
    for folder in ("objects", "refs"):
        (git / folder).mkdir(parents=True, exist_ok=True)
    await run("git", "-C", git.parent, "fsck", "--full", cwd=tmp_path, **GIT)
    check_database((await dav("GET", f"/{BUCKET}/base.sqlite")).body, tmp_path)
    assert not await dav.world.locks.find("/", below=True)


@pytest.mark.needs("mount.davfs")
async def test_davfs2_lists(dav: WebdavServer, tmp_path: Path) -> None:
    """Folders, with names of all kinds."""
    names = {"plain", "with space", "é", "e\u0301", "50% #?;&+", ".hidden"}
    for name in names:
        await dav.world.objects.put(dav.who, BUCKET, f"d/{name}", stream(b"x"), Attributes())
    async with davfs_mount(f"{dav.url}/{BUCKET}", USER, PASSWORD, tmp_path) as mounted:
        code, said = await attempt("ls", "-A1", mounted / "d", cwd=tmp_path)
        if "Invalid argument" in said:
            pytest.skip("this kernel and this davfs2 do not get along: it cannot list folders of any server")
        assert (code, set(said.splitlines())) == (0, names)


def _rclone() -> Path:
    found = components.find("rclone")
    assert found is not None
    return found
