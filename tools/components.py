"""Install and find the programs that the tests run as clients.

``python tools/components.py install`` gets what it can and tells about the rest; tests that need a missing one are
skipped with the reason told here (with ``CI=true`` they fail). Only the standard library is used.

``python tools/components.py install NAME...`` gets only these.

Four sources: Debian packages (as root, or where sudo asks for no password), Go builds of rclone, Kubo, ipfs-cluster,
restic's tests and a program with AWS's SDK, pinned by go.sum, Python programs and libraries in environments of their
own, pinned by hash, and AWS's SDK for JavaScript by npm, pinned by hash.
"""

import contextlib
import hashlib
import json
import os
import re
import shlex
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

DEBIAN: Final = {
    **{name: (name,) for name in ("curl", "s3cmd", "litmus", "cadaver", "redis-server", "restic", "s3fs", "git")},
    "chromium": ("chromium",),
    "mount.davfs": ("davfs2",),
    "fusermount3": ("fuse3",),
    "gio": ("libglib2.0-bin", "gvfs", "gvfs-backends"),
    "dbus-run-session": ("dbus",),
}
"""Programs that Debian packages, and the packages they need."""
NEEDED_PARTS: Final = {"gio": (Path("/usr/libexec/gvfsd-dav"), Path("/usr/lib/gvfs/gvfsd-dav"))}
"""Files any of which a program needs besides."""

PYTHON_PROGRAMS: Final = {"aws": "awscli", "moto_server": "moto"}
"""Program to lock file (and environment) name."""

PYTHON_LIBRARIES: Final = {
    "python-boto3old": "boto3old",
    "python-lake": "lake",
    "python-minio": "minio",
    "python-webdav": "webdav",
}
"""Interpreter that has a library to lock file (and environment) name."""

RCLONE_MINIMUM: Final = (1, 66)
RCLONE_LINK: Final = "-s -w -X github.com/rclone/rclone/fs.VersionSuffix="
"""No symbols, and the plain version number that go.mod pins."""

KUBO_MINIMUM: Final = (0, 43)
KUBO_PACKAGE: Final = "github.com/ipfs/kubo/cmd/ipfs"
CLUSTER_PACKAGE: Final = "github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service"
RESTIC_TESTS: Final = "github.com/restic/restic/internal/backend/s3"
"""The package with restic's own tests of its backend."""
NO_SYMBOLS: Final = "-s -w"

NODE_MINIMUM: Final = (20, 0)
"""What the SDK's packages ask for."""

COMMAND_LIMIT_S: Final = 1200


class Missing(Exception):
    """A component cannot be had; the message says why."""


def find(name: str) -> Path | None:
    """Path of a component: our own copy first, then the machine's."""
    own = BIN / name
    if own.exists():
        return own
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    parts = NEEDED_PARTS.get(name, ())
    return Path(found) if found and (not parts or any(part.exists() for part in parts)) else None


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
        install_debian(DEBIAN[name])


def machine_version(program: str, *arguments: str) -> tuple[int, int] | None:
    """Major and minor version of the machine's own copy; ``None`` where it has none."""
    found = shutil.which(program)
    version = re.search(r"(\d+)\.(\d+)", run([found, *arguments])) if found else None
    return (int(version[1]), int(version[2])) if version else None


def go_build(program: str, source: Path, package: str, link: str, how: Sequence[str] = ("build",)) -> None:
    """Build a program by Go from what the go.sum in ``source`` pins, once for each state of that folder."""
    stamp = TOOLS / f"{program}.stamp"
    parts = [part.read_bytes() for part in sorted(source.iterdir())]
    digest = hashlib.sha256(b"".join([*parts, link.encode()])).hexdigest()
    if (BIN / program).exists() and stamp.exists() and stamp.read_text() == digest:
        return
    (BIN / program).unlink(missing_ok=True)
    if not shutil.which("go"):
        install_debian(["golang-go"])
    build: list[str | Path] = ["go", how[0], "-C", source, *how[1:], "-mod=readonly", "-trimpath", f"-ldflags={link}"]
    run([*build, "-o", BIN / program, package], CGO_ENABLED="0")
    stamp.write_text(digest)


def rclone() -> None:
    """rclone with the backends used here; else the machine's, if new enough."""
    try:
        go_build("rclone", ROOT / "tools" / "rclone", ".", RCLONE_LINK)
    except Missing:
        version = machine_version("rclone", "version")
        if version is None or version < RCLONE_MINIMUM:
            raise


def kubo() -> None:
    """The machine's Kubo, if new enough; else a build, which takes two and a half minutes of two cores."""
    version = machine_version("ipfs", "version", "--number")
    if version is None or version < KUBO_MINIMUM:
        go_build("ipfs", ROOT / "tools" / "kubo", KUBO_PACKAGE, NO_SYMBOLS)


def cluster() -> None:
    """A build of ipfs-cluster, which behind Kubo's takes one minute of two cores: they share half of their packages."""
    go_build("ipfs-cluster-service", ROOT / "tools" / "cluster", CLUSTER_PACKAGE, NO_SYMBOLS)


def environment(name: str) -> Path:
    """Folder of programs of a Python environment with what a lock file pins, so that its pins meet nobody else's."""
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
    return home / "bin"


def python_program(program: str) -> None:
    """A Python program in an environment of its own."""
    link = BIN / program
    target = environment(PYTHON_PROGRAMS[program]) / program
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def python_library(interpreter: str) -> None:
    """A Python that has a library, and nothing of ours. A script, as a link would not find its environment."""
    python = environment(PYTHON_LIBRARIES[interpreter]) / "python"
    script = BIN / interpreter
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -I "$@"\n')
    script.chmod(0o755)


def awsjs() -> None:
    """AWS's SDK for JavaScript, and a script that runs a program with it: the folder of its modules comes first."""
    version = machine_version("node", "--version")
    if version is None or version < NODE_MINIMUM or not shutil.which("npm"):
        raise Missing(f"Node.js {'.'.join(map(str, NODE_MINIMUM))} or newer with npm is needed")
    source, home = ROOT / "tools" / "awsjs", TOOLS / "awsjs"
    stamp = home / ".stamp"
    digest = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == digest):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(source, home)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", home])
        stamp.write_text(digest)
    script = BIN / "awsjs"
    script.write_text(
        f'#!/bin/sh\nprogram=$1; shift\nexec node --no-warnings "$program" {shlex.quote(str(home))} "$@"\n'
    )
    script.chmod(0o755)


COMPONENTS: Final[dict[str, Callable[[str], None]]] = {
    **dict.fromkeys(DEBIAN, debian),
    "rclone": lambda _: rclone(),
    "ipfs": lambda _: kubo(),
    "ipfs-cluster-service": lambda _: cluster(),
    "awsgo": lambda _: go_build("awsgo", ROOT / "tools" / "awsgo", ".", NO_SYMBOLS),
    "awsjs": lambda _: awsjs(),
    "restic-s3-tests": lambda _: go_build(
        "restic-s3-tests", ROOT / "tools" / "restic", RESTIC_TESTS, NO_SYMBOLS, ("test", "-c")
    ),
    **dict.fromkeys(PYTHON_PROGRAMS, python_program),
    **dict.fromkeys(PYTHON_LIBRARIES, python_library),
}


def install(names: Sequence[str]) -> int:
    """Get these components where they can be had; tell about each. Fails with ``CI=true`` when one is missing."""
    BIN.mkdir(parents=True, exist_ok=True)
    absent = [name for name in DEBIAN if name in names and not find(name)]
    if len(absent) > 1:
        with contextlib.suppress(Missing):  # they are tried one by one below: one that is missing costs no other
            install_debian([package for name in absent for package in DEBIAN[name]])
    reasons: dict[str, str] = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    for name in names:
        reasons.pop(name, None)
        try:
            COMPONENTS[name](name)
        except Missing as exc:
            reasons[name] = f"{name}: {exc}"
        print(f"  {name:20} {reasons.get(name) or find(name)}")
    REPORT.write_text(json.dumps(reasons, indent=1))
    return 1 if set(reasons) & set(names) and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    if sys.argv[1:2] != ["install"] or not set(sys.argv[2:]) <= set(COMPONENTS):
        sys.exit(f"{__doc__}\nComponents: {' '.join(COMPONENTS)}")
    sys.exit(install(sys.argv[2:] or list(COMPONENTS)))
