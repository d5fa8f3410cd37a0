"""Runs the programs that people use as clients, on files that a backup might have."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.server import ACCESS_KEY, SECRET_KEY
from tools import components

REGION = "us-east-1"
BUCKET = "backup"
NAMES = ["plain.txt", "sub/dir/ümläut & space+plus%20.bin", "sub/#hash?.txt", "empty", "big.bin"]

CLIENT_LIMIT_S = 120


def make_tree(folder: Path) -> Path:
    """Files with names that need encoding, one of them larger than a part."""
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes({"empty": b"", "big.bin": os.urandom(17 << 20)}.get(name, name.encode() * (number + 1)))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def aws_environment(endpoint: str) -> dict[str, str]:
    """What makes AWS's own clients talk to this endpoint as the first user, and to nobody else."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def run(program: str, *words: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a client; its output. A failure shows what it said."""
    path = components.find(program)
    assert path is not None
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_", "RESTIC_"))}
    done = subprocess.run(
        [str(path), *map(str, words)],
        env={**own, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=CLIENT_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout
