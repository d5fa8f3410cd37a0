"""Install and find the programs that the tests run as clients.

``python tools/components.py install`` gets what it can and tells about the rest; tests that need a missing one are
skipped with the reason told here (with ``CI=true`` they fail). Only the standard library is used.

Three sources: Debian packages (as root, or where sudo asks for no password), a Go build of rclone pinned by go.sum,
and Python programs in environments of their own, pinned by hash.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TOOLS: Final = ROOT / ".tools"
BIN: Final = TOOLS / "bin"
REPORT: Final = TOOLS / "components.json"

DEBIAN: Final = ("curl", "s3cmd", "litmus", "cadaver")
"""Programs that Debian packages under their own names."""

PYTHON_PROGRAMS: Final = {"aws": "awscli", "moto_server": "moto"}
"""Program to lock file (and environment) name."""

RCLONE_MINIMUM: Final = (1, 66)
GO_LINK: Final = "-s -w -X github.com/rclone/rclone/fs.VersionSuffix="
"""No symbols, and the plain version number that go.mod pins."""

COMMAND_LIMIT_S: Final = 1200


class Missing(Exception):
    """A component cannot be had; the message says why."""


def find(name: str) -> Path | None:
    """Path of a component: our own copy first, then the machine's."""
    own = BIN / name
    if own.exists():
        return own
    found = shutil.which(name)
    return Path(found) if found else None


def reason_missing(name: str) -> str:
    """Why the last ``install`` could not get this component."""
    try:
        reasons: dict[str, str] = json.loads(REPORT.read_text())
    except FileNotFoundError:
        return f"{name} is not installed: run `make components`"
    return reasons.get(name) or f"{name} is not installed: run `make components`"


def run(command: Sequence[str | Path], **environment: str) -> str:
    """Run a command and return what it printed.

    Raises:
        Missing: It failed; the message has its last line.
    """
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands
            [str(word) for word in command],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Missing(f"{command[0]}: {exc}") from exc
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["no output"]
        raise Missing(f"{' '.join(str(word) for word in command[:3])} failed: {lines[-1]}")
    return done.stdout


def install_debian(names: Sequence[str]) -> None:
    """Install Debian packages, refreshing the package lists only where that is needed."""
    if not shutil.which("apt-get"):
        raise Missing("not installed, and this machine has no apt-get")
    prefix: list[str] = []
    if os.geteuid() != 0:
        prefix = ["sudo", "-n"]
        try:
            run([*prefix, "true"])
        except Missing:
            raise Missing(f"not installed, and apt-get needs root: sudo apt-get install {' '.join(names)}") from None
    install = [*prefix, "apt-get", "install", "-y", "--no-install-recommends", *names]
    try:
        run(install, DEBIAN_FRONTEND="noninteractive")
    except Missing:
        run([*prefix, "apt-get", "update"])
        run(install, DEBIAN_FRONTEND="noninteractive")


def debian(name: str) -> None:
    """One Debian program."""
    if not find(name):
        install_debian([name])


def rclone() -> None:
    """rclone with the backends used here, built by Go from pinned sources; else the machine's, if new enough."""
    source = ROOT / "tools" / "rclone"
    stamp = TOOLS / "rclone.stamp"
    parts = [(source / part).read_bytes() for part in ("main.go", "go.mod", "go.sum")]
    digest = hashlib.sha256(b"".join([*parts, GO_LINK.encode()])).hexdigest()
    if (BIN / "rclone").exists() and stamp.exists() and stamp.read_text() == digest:
        return
    (BIN / "rclone").unlink(missing_ok=True)
    try:
        if not shutil.which("go"):
            install_debian(["golang-go"])
        build: list[str | Path] = ["go", "build", "-C", source, "-mod=readonly", "-trimpath", f"-ldflags={GO_LINK}"]
        run([*build, "-o", BIN / "rclone", "."], CGO_ENABLED="0")
    except Missing:
        found = shutil.which("rclone")
        version = re.search(r"v(\d+)\.(\d+)", run([found, "version"])) if found else None
        if version and (int(version[1]), int(version[2])) >= RCLONE_MINIMUM:
            return
        raise
    stamp.write_text(digest)


def python_program(program: str) -> None:
    """A Python program in an environment of its own, so that its pins meet nobody else's."""
    name = PYTHON_PROGRAMS[program]
    lock = ROOT / "tools" / "locks" / f"{name}.txt"
    home = TOOLS / name
    stamp = home / ".stamp"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == digest):
        venv.create(home, with_pip=True, clear=True)
        pip: list[str | Path] = [
            home / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        run([*pip, "--require-hashes", "-r", lock])
        stamp.write_text(digest)
    link = BIN / program
    link.unlink(missing_ok=True)
    link.symlink_to(home / "bin" / program)


COMPONENTS: Final[dict[str, Callable[[str], None]]] = {
    **dict.fromkeys(DEBIAN, debian),
    "rclone": lambda _: rclone(),
    **dict.fromkeys(PYTHON_PROGRAMS, python_program),
}


def install() -> int:
    """Get every component that can be had; tell about each. Fails with ``CI=true`` when one is missing."""
    BIN.mkdir(parents=True, exist_ok=True)
    absent = [name for name in DEBIAN if not find(name)]
    if len(absent) > 1:
        with contextlib.suppress(Missing):  # they are tried one by one below: one that is missing costs no other
            install_debian(absent)
    reasons: dict[str, str] = {}
    for name, get in COMPONENTS.items():
        try:
            get(name)
        except Missing as exc:
            reasons[name] = f"{name}: {exc}"
        print(f"  {name:12} {reasons.get(name) or find(name)}")
    REPORT.write_text(json.dumps(reasons, indent=1))
    return 1 if reasons and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        sys.exit(__doc__)
    sys.exit(install())
