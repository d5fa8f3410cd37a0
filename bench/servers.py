"""A running server: start it, wait until it answers, look at its processes, stop or kill it."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import processes
from bench.failures import BenchError
from bench.peers import Launch, Peer

_READY_S = 60.0
_STOP_S = 60.0
Address = tuple[str, int]


def free_ports(count: int) -> list[int]:
    """Ports nobody listened on a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _address(url: str) -> Address:
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


class Server:
    """One process of a peer on one data folder. Leave the ``with`` block and it is gone.

    The folder stays, so that the next server may go on with it.
    """

    def __init__(self, peer: Peer, place: Path, *, prefix: tuple[str, ...] = ()) -> None:
        """``prefix`` goes in front of the command line, for a profiler for instance."""
        self.peer = peer
        self.place = place
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None
        self.s3: Address | None = None
        self.webdav: Address | None = None
        self.admin: Address | None = None

    @property
    def log(self) -> Path:
        """What the server printed on stderr (and stdout, where that is not the ready line); beside its folder."""
        return self.place.with_name(f"{self.place.name}.log")

    @property
    def pid(self) -> int:
        """Process id of the server's first process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def spawn(self) -> None:
        """Start the process and return at once.

        Raises:
            BenchError: The program is not installed.
        """
        program = self.peer.find()
        if program is None:
            raise BenchError(f"{self.peer.name}: no program {self.peer.program!r} found")
        self.place.mkdir(parents=True, exist_ok=True)
        self._launch = self.peer.launch(program, self.place, free_ports(self.peer.ports))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *self._launch.argv],
                env={**os.environ, **self._launch.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._launch.ready_line else log,
                stderr=log,
                cwd=self.place,
            )

    def start(self, limit_s: float = _READY_S) -> None:
        """Start the process and wait until it answers.

        Raises:
            BenchError: It is not installed, ended early, or did not answer in time.
        """
        self.spawn()
        try:
            self._wait_until_ready(self._launch, time.monotonic() + limit_s)
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self, launch: Launch, deadline: float) -> None:
        if launch.ready_line:
            line = self._read_line(deadline)
            ready = json.loads(line)
            self.s3, self.webdav, self.admin = (_address(ready[name]) for name in ("s3", "webdav", "admin"))
            return
        if launch.s3 is not None:
            self.s3 = ("127.0.0.1", launch.s3)
        if launch.webdav is not None:
            self.webdav = ("127.0.0.1", launch.webdav)
        for address in filter(None, (self.s3, self.webdav)):
            self._wait_for_answer(address, deadline)

    def _failed(self, what: str) -> BenchError:
        with contextlib.suppress(OSError):
            tail = self.log.read_text(errors="replace").splitlines()[-5:]
            return BenchError(f"{self.peer.name} {what}: {' | '.join(tail)[-600:]}")
        return BenchError(f"{self.peer.name} {what}")

    def _read_line(self, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        line = b""
        fileno = self._process.stdout.fileno()
        while not line.endswith(b"\n"):
            if not select.select([fileno], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise self._failed("did not get ready in time")
            piece = os.read(fileno, 4096)
            if not piece:
                raise self._failed(f"ended with {self._process.wait()} before it was ready")
            line += piece
        return line

    def _wait_for_answer(self, address: Address, deadline: float) -> None:
        assert self._process is not None
        while True:
            if self._process.poll() is not None:
                raise self._failed(f"ended with {self._process.returncode} before it answered")
            try:
                urllib.request.urlopen(f"http://{address[0]}:{address[1]}/", timeout=5).close()
            except urllib.error.HTTPError as exc:
                if exc.code < 500:
                    return
            except OSError:
                pass
            else:
                return
            if time.monotonic() > deadline:
                raise self._failed("did not answer in time")
            time.sleep(0.05)

    def usage(self) -> processes.Usage:
        """CPU seconds and memory of the server's process tree."""
        return processes.usage(self.pid)

    def alive(self) -> bool:
        """Whether the first process runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, to the first process and everything it started; returns when it is gone."""
        if self._process is None:
            return
        for pid in processes.tree(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._gone()

    def stop(self) -> int:
        """SIGTERM, and SIGKILL a minute later. Returns the exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise BenchError(f"{self.peer.name} did not stop within {_STOP_S:.0f} s of SIGTERM") from None
        return self._gone()

    def _gone(self) -> int:
        assert self._process is not None
        status = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        return status

    def metrics(self) -> dict[str, float]:
        """Every sample of the admin port's ``/metrics``, by name with labels; summed by bare name too.

        Raises:
            BenchError: The server has no admin port.
        """
        if self.admin is None:
            raise BenchError(f"{self.peer.name} has no metrics")
        with urllib.request.urlopen(f"http://{self.admin[0]}:{self.admin[1]}/metrics", timeout=30) as answer:
            return parse_metrics(answer.read().decode())


def parse_metrics(text: str) -> dict[str, float]:
    """Prometheus' text format as a mapping; ``name`` alone holds the sum over all labels."""
    samples: dict[str, float] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        series, _, value = line.rpartition(" ")
        name = series.partition("{")[0]
        samples[series] = float(value)
        if name != series:
            samples[name] = samples.get(name, 0.0) + float(value)
    return samples
