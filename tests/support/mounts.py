"""Shares that are mounted as folders, by programs that do so. Needs ``/dev/fuse`` and the right to mount.

The server under test runs in this process, so nothing here may touch a mounted folder but in a program or a thread.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tools import components

LIMIT_S = 120.0
_LOOK_AGAIN_S = 0.05
_QUIET_LOOKS = 10
"""The kernel tells of a closed file a little later."""


async def run(*command: str | Path, cwd: Path | None = None, stdin: str = "", **env: str) -> str:
    """Run a program; what it printed. It must succeed."""
    code, text = await attempt(*command, cwd=cwd, stdin=stdin, **env)
    assert code == 0, f"{command}: {text}"
    return text


async def attempt(*command: str | Path, cwd: Path | None = None, stdin: str = "", **env: str) -> tuple[int, str]:
    """Run a program; its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd or "/"), "LC_ALL": "C.UTF-8", **env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(stdin.encode()), LIMIT_S)
    except TimeoutError:
        process.kill()
        raise
    return process.returncode or 0, output.decode(errors="replace")


def check_fuse() -> None:
    """Skip where file systems of programs cannot be mounted at all."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as exc:
        pytest.skip(f"needs /dev/fuse: {exc}")


@asynccontextmanager
async def rclone_mount(remote: str, folder: Path, env: dict[str, str]) -> AsyncIterator[Path]:
    """A remote of rclone's, mounted; what was written is uploaded when it ends.

    Uploads begin a second after a file is closed: one that is renamed while it is uploaded, as git does with its index
    at once, rclone may take for damaged and never upload.
    """
    check_fuse()
    mounted, cache = folder / "mounted", folder / "cache"
    log = folder / "rclone.log"
    log.touch()
    mounted.mkdir()
    words = ["mount", remote, mounted, "--vfs-cache-mode", "full", "--vfs-write-back", "1s", "--cache-dir", cache]
    process = await asyncio.create_subprocess_exec(
        *map(str, (components.find("rclone"), *words, "--attr-timeout", "0s", "--links", "-v", "--log-file", log)),
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await asyncio.to_thread(os.path.ismount, mounted):
                if process.returncode is not None:
                    said = log.read_text()
                    if "fusermount" in said or "permitted" in said:
                        pytest.skip(f"needs the right to mount: {said.strip()}")
                    raise AssertionError(said)
                await asyncio.sleep(_LOOK_AGAIN_S)
        yield mounted
        try:
            async with asyncio.timeout(LIMIT_S):
                quiet = 0
                while quiet < _QUIET_LOOKS:
                    quiet = 0 if await _waiting(cache) else quiet + 1
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError as exc:
            raise AssertionError(f"rclone does not come to an end: {log.read_text()[-4000:]}") from exc
    finally:
        await attempt("fusermount3", "-u", "-z", mounted)
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _waiting(cache: Path) -> bool:
    """Whether rclone still has something to upload: it notes that of each file, and writes the notes in place.

    The note of a file that was removed while it was uploaded (a database's journal) may stay.
    """

    def look() -> bool:
        try:
            notes = {note: json.loads(note.read_text()) for note in cache.rglob("vfsMeta/**/*") if note.is_file()}
        except (ValueError, FileNotFoundError):  # one is being written, or gone
            return True
        return any(told["Dirty"] and _cached(note).exists() for note, told in notes.items())

    return await asyncio.to_thread(look)


def _cached(note: Path) -> Path:
    return Path(str(note).replace("/vfsMeta/", "/vfs/"))


@asynccontextmanager
async def davfs_mount(url: str, user: str, password: str, folder: Path) -> AsyncIterator[Path]:
    """A share mounted by davfs2; it uploads when a file is closed."""
    check_fuse()
    if os.geteuid() != 0:
        pytest.skip("needs root: davfs2 mounts for nobody else without an entry in /etc/fstab")
    mounted, settings, secrets = folder / "mounted", folder / "davfs2.conf", folder / "secrets"
    mounted.mkdir()
    settings.write_text(f"ask_auth 0\nsecrets {secrets}\ndelay_upload 0\nuse_locks 1\n")
    secrets.write_text(f'{url} {user} "{password}"\n')
    secrets.chmod(0o600)
    code, said = await attempt(components.find("mount.davfs") or "", "-o", f"conf={settings}", url, mounted)
    if code and ("permitted" in said or "denied" in said):
        pytest.skip(f"needs the right to mount: {said.strip()}")
    assert code == 0, said
    try:
        yield mounted
    finally:
        await run("umount", mounted)
