"""The program as others get it: from a wheel, from a source archive, and by the README's commands."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.support.server import RunningServer, clean_environment, noisefs

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 240


def run(*command: str, cwd: Path) -> str:
    """Run a command that must succeed; what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked_copy(target: Path) -> Path:
    """The files that git knows, as they are now, somewhere else."""
    for name in run("git", "ls-files", cwd=ROOT).splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_built_package_serves(tmp_path: Path, kind: str) -> None:
    """A wheel, built from the tree or from the source archive, has all three rings and runs."""
    source = tracked_copy(tmp_path / "source")
    if kind == "sdist":
        run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path / "sdist"), cwd=source)
        with tarfile.open(next((tmp_path / "sdist").glob("*.tar.gz"))) as archive:
            archive.extractall(tmp_path / "unpacked", filter="data")
        source = next((tmp_path / "unpacked").iterdir())
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist"), cwd=source)
    wheel = next((tmp_path / "dist").glob("*.whl"))

    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    run(str(home / "bin" / "pip"), "install", "--quiet", "--no-index", "--no-deps", str(wheel), cwd=tmp_path)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # The dependencies of this environment; its own .pth files, and so the tree, are not read from there.
    pointer = home / "lib" / version / "site-packages" / "dependencies.pth"
    pointer.write_text(sysconfig.get_path("purelib") + "\n")

    program = home / "bin" / "noisefs"
    assert noisefs("version", program=program).stdout.startswith("noisefs ")
    where = run(str(home / "bin" / "python"), "-c", "import noisefs.core.errors as e; print(e.__file__)", cwd=tmp_path)
    assert where.startswith(str(home))
    with RunningServer(tmp_path / "data", program=program) as server:
        assert server.metrics()["noisefs_index_commits_total"] > 0


@pytest.mark.needs("make")
def test_the_readme_starts_a_server_from_a_fresh_clone(tmp_path: Path) -> None:
    """The commands of the README's first section, on a tree without any environment."""
    tree = tracked_copy(tmp_path / "clone")
    start = (tree / "README.md").read_text().partition("## Start in 60 seconds")[2].partition("\n## ")[0]
    commands = re.findall(r"```sh\n(.*?)```", start, re.DOTALL)
    assert commands[0].strip() == "make run"
    ports = {f"NOISEFS_{name}__LISTEN": "127.0.0.1:0" for name in ("S3", "WEBDAV", "ADMIN")}
    with (tmp_path / "stderr").open("wb") as stderr:
        server = subprocess.Popen(
            ["make", "run"],
            cwd=tree,
            env=clean_environment(ports),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, (tmp_path / "stderr").read_text()
        ready = json.loads(line)
        with urllib.request.urlopen(f"{ready['admin']}/readyz") as answer:
            assert json.load(answer)["ready"]
        for command in commands[1].splitlines():
            done = subprocess.run(
                command, shell=True, cwd=tree, env=clean_environment(), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, command + done.stdout + done.stderr
        os.killpg(server.pid, signal.SIGINT)  # as Ctrl-C does
        server.communicate(timeout=LIMIT_S)
        assert '"server.stopped"' in (tmp_path / "stderr").read_text()
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.communicate()
