"""The installed program as a process of its own, on free ports and a data folder of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

ACCESS_KEY = "TESTACCESSKEY0000001"
SECRET_KEY = "test/secret+key0000000000000000000000001"
PROGRAM = Path(sys.executable).with_name("noisefs")

READY_LIMIT_S = 60
END_LIMIT_S = 60


class NotReady(Exception):
    """The server ended, or did not get ready in time; the message has its stderr."""


class RunningServer:
    """A ``noisefs serve``. Leave the ``with`` block and it has ended.

    The data folder stays, so that the next server may go on with it. ``flags`` are added to the command line,
    ``environment`` to the environment, from which our own settings are taken out first.
    """

    def __init__(
        self,
        data: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        preset: bool = True,
        program: Path = PROGRAM,
    ) -> None:
        self.data = data
        self.stderr_file = data.parent / f"{data.name}.stderr"
        self._flags = flags
        self._environment = clean_environment(environment, preset=preset)
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}

    def start(self) -> Self:
        """Start it and wait for the ready line.

        Raises:
            NotReady: It ended first, or took too long.
        """
        command: Sequence[str] = [str(self._program), "serve", "--data", str(self.data)]
        ports = [word for name in ("--s3", "--webdav", "--admin") for word in (name, "127.0.0.1:0")]
        with self.stderr_file.open("ab") as stderr:
            self._process = subprocess.Popen(
                [*command, *ports, *self._flags],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self._process.stdout is not None
        late = threading.Timer(READY_LIMIT_S, self._process.kill)
        late.start()
        line = self._process.stdout.readline()
        late.cancel()
        if not line:
            code = self._process.wait()
            self._process.stdout.close()
            raise NotReady(f"exit code {code}\n{self.stderr}")
        self.ready = json.loads(line)
        return self

    @property
    def stderr(self) -> str:
        """Everything it wrote to stderr."""
        return self.stderr_file.read_text(errors="replace")

    @property
    def s3(self) -> str:
        """URL of S3."""
        return str(self.ready["s3"])

    @property
    def webdav(self) -> str:
        """URL of WebDAV."""
        return str(self.ready["webdav"])

    @property
    def admin(self) -> str:
        """URL of the admin port."""
        return str(self.ready["admin"])

    @property
    def pid(self) -> int:
        """Process id of the program."""
        assert self._process is not None
        return self._process.pid

    def metrics(self) -> dict[str, float]:
        """Every sample of a scrape, by name with labels."""
        with urllib.request.urlopen(f"{self.admin}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for its end; its exit code. What it printed after the ready line is in ``rest``."""
        assert self._process is not None
        self.rest, _ = self._process.communicate(timeout=END_LIMIT_S)
        return self._process.returncode

    def stop(self) -> int:
        """SIGTERM, and wait for the end."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        self.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()


def clean_environment(extra: Mapping[str, str] | None = None, *, preset: bool = False) -> dict[str, str]:
    """The environment without settings of ours; with ``preset`` the first user's pair."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NOISEFS_")}
    if preset:
        environment |= {"NOISEFS_ADMIN_ACCESS_KEY": ACCESS_KEY, "NOISEFS_ADMIN_SECRET_KEY": SECRET_KEY}
    return environment | dict(extra or {})


def noisefs(
    *arguments: str, environment: Mapping[str, str] | None = None, stdin: str | None = None, program: Path = PROGRAM
) -> subprocess.CompletedProcess[str]:
    """Run a command of the program to its end."""
    return subprocess.run(
        [str(program), *arguments],
        env=clean_environment(environment),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=END_LIMIT_S,
        check=False,
    )
