"""Real clients: curl, cadaver and rclone, as programs of their own against the server."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from tests.support.webdav_server import BUCKET, PASSWORD, USER, WebdavServer
from tools import components

LIMIT_S = 120


async def run(*command: str, cwd: Path, stdin: str = "", **env: str) -> str:
    """Run a program; returns what it printed. It must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(stdin.encode()), LIMIT_S)
    text = output.decode(errors="replace")
    assert process.returncode == 0, f"{command}: {text}"
    return text


def fill(folder: Path) -> dict[str, bytes]:
    """A tree of files whose names and sizes are awkward; returns contents by relative path."""
    names = (
        "plain.txt",
        "deep/er/file",
        "with space",
        "ümläut/ß",
        "50%25 off?#;&=+",
        "quote'\"<>",
        "empty",
        "(paren)",
        "a,b|c",
    )
    contents = {name: hashlib.shake_128(name.encode()).digest(number * 70_001) for number, name in enumerate(names)}
    contents["empty"] = b""
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return contents


def read(folder: Path) -> dict[str, bytes]:
    """Contents of all files below a folder by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.needs("curl")
async def test_curl(dav: WebdavServer, tmp_path: Path) -> None:
    """Uploads with Expect, resumes a download, and sees errors as errors."""
    data = hashlib.shake_128(b"curl").digest(3 << 20)
    (tmp_path / "up").write_bytes(data)
    curl = ("curl", "-sS", "-f", "-u", f"{USER}:{PASSWORD}")
    url = f"{dav.url}/{BUCKET}/big%3Bfile"
    await run(*curl, "-H", "Expect: 100-continue", "-T", "up", url, cwd=tmp_path)
    await run(*curl, "-o", "down", "-r", "0-999999", url, cwd=tmp_path)
    await run(*curl, "-o", "down", "-C", "-", url, cwd=tmp_path)
    assert (tmp_path / "down").read_bytes() == data
    await run(*curl, "-T", "-", f"{url}2", cwd=tmp_path, stdin="from a pipe, in chunks")
    assert await run(*curl, f"{url}2", cwd=tmp_path) == "from a pipe, in chunks"
    status = await run(
        "curl",
        "-sS",
        "-o",
        "body",
        "-w",
        "%{http_code}",
        "-T",
        "up",
        "-u",
        "a:b",
        f"{dav.url}/{BUCKET}/x",
        cwd=tmp_path,
    )
    assert status == "401"


@pytest.mark.needs("cadaver")
async def test_cadaver(dav: WebdavServer, tmp_path: Path) -> None:
    """A session as a person types it: folders, upload, rename, lock, properties, download."""
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD.replace(' ', '')}\n")
    await dav.world.accounts.set_password(USER, PASSWORD.replace(" ", ""))
    (tmp_path / "one").write_bytes(b"first\n" * 1000)
    script = """
        mkcol folder
        cd folder
        put one
        copy one two
        move two three
        lock one
        propset one author somebody
        propget one author
        unlock one
        ls
        get three fetched
        delete one
        cd ..
        rmcol folder
        quit
    """
    shown = await run(
        "cadaver", f"{dav.url}/{BUCKET}/", cwd=tmp_path, stdin="\n".join(map(str.strip, script.splitlines()))
    )
    assert "failed" not in shown.lower(), shown
    assert "somebody" in shown
    assert (tmp_path / "fetched").read_bytes() == b"first\n" * 1000
    assert (await dav.world.objects.list(dav.who, BUCKET)).entries == []


@pytest.fixture
def rclone(dav: WebdavServer) -> dict[str, str]:
    """Environment that gives rclone a remote ``dav:``."""
    return {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_DAV_TYPE": "webdav",
        "RCLONE_CONFIG_DAV_URL": dav.url,
        "RCLONE_CONFIG_DAV_VENDOR": "owncloud",
        "RCLONE_CONFIG_DAV_USER": USER,
        "RCLONE_CONFIG_DAV_PASS": "",
    }


@pytest.mark.needs("rclone")
@pytest.mark.parametrize("vendor", ["other", "owncloud", "nextcloud"])
async def test_rclone_syncs_both_ways(dav: WebdavServer, rclone: dict[str, str], vendor: str, tmp_path: Path) -> None:
    """Up, changed, down, checked, moved, purged; with times where the vendor's header carries them."""
    program = str(components.find("rclone"))
    obscured = (await run(program, "obscure", PASSWORD, cwd=tmp_path)).strip()
    env = {**rclone, "RCLONE_CONFIG_DAV_PASS": obscured, "RCLONE_CONFIG_DAV_VENDOR": vendor, "TZ": "UTC"}
    if vendor == "nextcloud":
        env["RCLONE_CONFIG_DAV_URL"] = f"{dav.url}/remote.php/dav/files/{USER}/"
        env["RCLONE_CONFIG_DAV_NEXTCLOUD_CHUNK_SIZE"] = "64k"
    local, back = tmp_path / "local", tmp_path / "back"
    contents = fill(local)
    os.utime(local / "plain.txt", (1_000_000_000, 1_000_000_000))
    await run(program, "sync", str(local), f"dav:{BUCKET}/tree", "--transfers", "4", cwd=tmp_path, **env)
    keys = {key.removeprefix("tree/") for key, _ in (await dav.world.objects.list(dav.who, BUCKET)).entries}
    assert set(contents) <= keys
    (local / "plain.txt").write_bytes(b"changed")
    (local / "empty").unlink()
    await run(program, "sync", str(local), f"dav:{BUCKET}/tree", cwd=tmp_path, **env)
    await run(program, "moveto", f"dav:{BUCKET}/tree/deep", f"dav:{BUCKET}/tree/moved?;#", cwd=tmp_path, **env)
    await run(program, "sync", f"dav:{BUCKET}/tree", str(back), cwd=tmp_path, **env)
    (local / "deep").rename(local / "moved?;#")
    assert read(back) == read(local)
    if vendor != "other":
        assert (back / "with space").stat().st_mtime_ns // 10**9 == (local / "with space").stat().st_mtime_ns // 10**9
        await run(program, "check", str(local), f"dav:{BUCKET}/tree", cwd=tmp_path, **env)
        await run(program, "touch", "-t", "2001-02-03T04:05:06", f"dav:{BUCKET}/tree/plain.txt", cwd=tmp_path, **env)
        await run(program, "copyto", f"dav:{BUCKET}/tree/plain.txt", f"dav:{BUCKET}/tree/copy", cwd=tmp_path, **env)
        shown = await run(program, "lsf", "--format", "tp", f"dav:{BUCKET}/tree", cwd=tmp_path, **env)
        assert shown.count("2001-02-03 04:05:06") == 2
        await run(program, "deletefile", f"dav:{BUCKET}/tree/copy", cwd=tmp_path, **env)
    if vendor == "nextcloud":
        large = await dav.world.objects.head(dav.who, BUCKET, "tree/a,b|c")
        assert (large.parts_count, large.size) == (9, 560_008)
    await run(program, "check", str(local), f"dav:{BUCKET}/tree", "--download", cwd=tmp_path, **env)
    await run(program, "purge", f"dav:{BUCKET}/tree", cwd=tmp_path, **env)
    left = [key for key, _ in (await dav.world.objects.list(dav.who, BUCKET)).entries]
    assert left == []


@pytest.mark.needs("rclone")
async def test_rclone_lists_the_root_and_makes_buckets(
    dav: WebdavServer, rclone: dict[str, str], tmp_path: Path
) -> None:
    """Buckets are folders of the root."""
    program = str(components.find("rclone"))
    obscured = (await run(program, "obscure", PASSWORD, cwd=tmp_path)).strip()
    env = {**rclone, "RCLONE_CONFIG_DAV_PASS": obscured}
    await run(program, "mkdir", "dav:second/folder", cwd=tmp_path, **env)
    assert (await run(program, "lsf", "dav:", cwd=tmp_path, **env)).split() == ["bucket/", "second/"]
