"""Shares that are mounted as folders, by programs that do so. Needs ``/dev/fuse`` and the right to mount.

The server under test runs in this process, so nothing here may touch a mounted folder but in a program or a thread.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tools import components

LIMIT_S = 120.0
_LOOK_AGAIN_S = 0.05


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
    """A remote of rclone's, mounted; what was written is uploaded when it ends."""
    check_fuse()
    mounted, cache = folder / "mounted", folder / "cache"
    mounted.mkdir()
    words = ["mount", remote, mounted, "--vfs-cache-mode", "full", "--vfs-write-back", "0s", "--cache-dir", cache]
    process = await asyncio.create_subprocess_exec(
        *map(str, (components.find("rclone"), *words, "--attr-timeout", "0s", "--links")),
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await asyncio.to_thread(os.path.ismount, mounted):
                if process.returncode is not None:
                    assert process.stdout is not None
                    said = (await process.stdout.read()).decode(errors="replace")
                    if "fusermount" in said or "permitted" in said:
                        pytest.skip(f"needs the right to mount: {said.strip()}")
                    raise AssertionError(said)
                await asyncio.sleep(_LOOK_AGAIN_S)
        yield mounted
        async with asyncio.timeout(LIMIT_S):
            while await _waiting(cache):
                await asyncio.sleep(_LOOK_AGAIN_S)
    finally:
        await attempt("fusermount3", "-u", "-z", mounted)
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _waiting(cache: Path) -> bool:
    """Whether rclone still has something to upload: it notes that of each file."""

    def look() -> bool:
        return any(
            '"Dirty":true' in note.read_text().replace(" ", "")
            for note in cache.rglob("vfsMeta/**/*")
            if note.is_file()
        )

    return await asyncio.to_thread(look)


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
