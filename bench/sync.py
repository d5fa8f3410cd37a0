"""The cell that a program drives: many small files by ``rclone sync``."""

import os
import random
import subprocess
import time
from pathlib import Path

from bench.failures import BenchError
from bench.peers import ACCESS_KEY, SECRET_KEY, find_program
from bench.sites import BUCKET, Site
from bench.wire import Outcome

FILES = 1500
_FOLDERS = 15
_LARGEST_BYTES = 16 << 10


def make_source(folder: Path) -> Path:
    """Small files in a few folders; the same every time. Made once."""
    source = folder / "sync-source"
    if not source.exists():
        draw = random.Random(1)
        for number in range(FILES):
            below = source / f"folder{number % _FOLDERS:02d}"
            below.mkdir(parents=True, exist_ok=True)
            (below / f"file{number:05d}.bin").write_bytes(draw.randbytes(draw.randint(64, _LARGEST_BYTES)))
    return source


def remote_environment(site: Site, rclone: str) -> dict[str, str]:
    """rclone's remote ``peer:`` for a site, by environment variables."""
    url = f"http://{site.host}"
    if site.protocol == "s3":
        fields = {
            "type": "s3",
            "provider": "Other",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
            "endpoint": url,
            "force_path_style": "true",
        }
    else:
        obscured = subprocess.run([rclone, "obscure", SECRET_KEY], capture_output=True, check=True, text=True)
        fields = {
            "type": "webdav",
            "vendor": "other",
            "url": url,
            "user": ACCESS_KEY,
            "pass": obscured.stdout.strip(),
        }
    named = {f"RCLONE_CONFIG_PEER_{name.upper()}": value for name, value in fields.items()}
    # Its WebDAV client waits 10 ms between any two calls by default: that would be all one measures.
    named["RCLONE_WEBDAV_PACER_MIN_SLEEP"] = "0s"
    return {**os.environ, **named, "RCLONE_CONFIG": "/dev/null"}


def run_sync(site: Site, source: Path, serial: int, connections: int) -> Outcome:
    """Sync ``source`` into a new place and time it.

    Raises:
        BenchError: rclone is not installed, or said that it failed.
    """
    rclone = find_program("rclone")
    if rclone is None:
        raise BenchError("rclone is not installed")
    argv = [rclone, "sync", str(source), f"peer:{BUCKET}/sync{serial}"]
    argv += ["--transfers", str(connections), "--checkers", str(connections)]
    begin = time.perf_counter()
    before = os.times()
    done = subprocess.run(
        argv, env=remote_environment(site, rclone), capture_output=True, text=True, check=False, timeout=600
    )
    after = os.times()
    elapsed = time.perf_counter() - begin
    if done.returncode:
        raise BenchError(f"rclone sync failed: {done.stderr[-400:]}")
    client = after.children_user + after.children_system - before.children_user - before.children_system
    return Outcome([elapsed / FILES] * FILES, elapsed_s=elapsed, client_cpu_s=client)
