"""A Kubo daemon on a repository of its own, with the settings the product ships: for tests, benches and ``run-ipfs``.

Only the standard library is used, and the settings.
"""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from noisefs.adapters.outbound.ipfs.private import ENVIRONMENT, apply_private_settings, set_field, swarm_key
from tools import components

READY: Final = "Daemon is ready"
START_LIMIT_S: Final = 60
END_LIMIT_S: Final = 60
_SWARM: Final = re.compile(r"^Swarm listening on 127\.0\.0\.1:(\d+) \(TCP\)", re.MULTILINE)
_API: Final = re.compile(r"^RPC API server listening on /ip4/([\d.]+)/tcp/(\d+)", re.MULTILINE)
_GATEWAY: Final = re.compile(r"^Gateway server listening on /ip4/([\d.]+)/tcp/(\d+)", re.MULTILINE)


class NotReady(Exception):
    """The daemon ended, or did not get ready; the message has what it printed."""


class IpfsDaemon:
    """One daemon on loopback. The repository stays when it ends, and so do its addresses.

    Not thread-safe. ``settings`` are added to the shipped ones, by path.
    """

    def __init__(
        self,
        repo: Path,
        *,
        secret: bytes,
        sync: bool = True,
        settings: Mapping[str, object] | None = None,
        flags: tuple[str, ...] = (),
    ) -> None:
        """Name the repository; nothing is made yet.

        Args:
            repo: Its folder.
            secret: Of the swarm, 32 bytes.
            sync: Blocks reach the disk before they are acknowledged.
            settings: Fields of the configuration that differ.
            flags: Of ``ipfs daemon``.
        """
        self.repo = repo
        self.log_file = repo.with_name(f"{repo.name}.log")
        self._secret = secret
        self._sync = sync
        self._settings = dict(settings or {})
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None
        self.api = ""
        """URL of the RPC."""
        self.gateway = ""
        """URL of the trustless gateway."""
        self.swarm = ""
        """Multiaddress for other nodes, with its peer id."""

    def start(self) -> Self:
        """Make the repository where there is none, start the daemon, wait until it serves.

        Raises:
            NotReady: It ended first, or took too long.
        """
        if not (self.repo / "config").exists():
            self._init()
        offset = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the program found by components
                [_program(), "daemon", *self._flags],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._remember_addresses(self._wait_ready(offset))
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def pid(self) -> int:
        """Of the running daemon."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Ask it to end, and wait for that. Nothing happens where it has ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it stand still: it accepts connections, and never answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def configure(self, settings: Mapping[str, object]) -> None:
        """Change fields of the configuration for the next start."""
        config = self.config()
        for path, value in settings.items():
            set_field(config, path, value)
        (self.repo / "config").write_text(json.dumps(config, indent=2))

    def config(self) -> dict[str, Any]:  # Any: Kubo's own file
        """What its configuration file says."""
        content: dict[str, Any] = json.loads((self.repo / "config").read_text())
        return content

    def block_file(self, cid: bytes) -> Path:
        """Where flatfs keeps a block."""
        key = base64.b32encode(cid[2:]).decode().rstrip("=")
        return self.repo / "blocks" / key[-3:-1] / f"{key}.data"

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        """End it."""
        self.stop()

    def _init(self) -> None:
        self.repo.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(  # noqa: S603 - as above
            [_program(), "init", "--empty-repo"],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )
        if made.returncode:
            raise NotReady(made.stdout + made.stderr)
        config = self.config()
        anywhere = "/ip4/127.0.0.1/tcp/0"
        apply_private_settings(config, swarm=[anywhere], api=anywhere, gateway=anywhere, sync=self._sync)
        for path, value in self._settings.items():
            set_field(config, path, value)
        (self.repo / "config").write_text(json.dumps(config, indent=2))
        key_file = self.repo / "swarm.key"
        key_file.touch(mode=0o600)
        key_file.write_text(swarm_key(self._secret))

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("IPFS_", "LIBP2P_"))}
        return {**inherited, **ENVIRONMENT, "IPFS_PATH": str(self.repo)}

    def _wait_ready(self, offset: int) -> str:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        late = threading.Timer(START_LIMIT_S, process.kill)
        late.start()
        printed = ""
        for line in iter(process.stdout.readline, b""):
            printed += line.decode(errors="replace")
            if READY in printed:
                break
        late.cancel()
        if READY not in printed:
            process.wait()
            with self.log_file.open("rb") as log:
                log.seek(offset)
                raise NotReady(printed + log.read().decode(errors="replace"))
        threading.Thread(target=_drain, args=(process,), daemon=True).start()
        return printed

    def _remember_addresses(self, printed: str) -> None:
        """Keep the ports it got, so that a restart has the same."""
        api, gateway, swarm = _API.search(printed), _GATEWAY.search(printed), _SWARM.search(printed)
        if not (api and gateway and swarm):
            raise NotReady(printed)
        self.api = f"http://{api[1]}:{api[2]}"
        self.gateway = f"http://{gateway[1]}:{gateway[2]}"
        config = self.config()
        listening = f"/ip4/127.0.0.1/tcp/{swarm[1]}"
        self.swarm = f"{listening}/p2p/{config['Identity']['PeerID']}"
        self.configure(
            {
                "Addresses.API": f"/ip4/{api[1]}/tcp/{api[2]}",
                "Addresses.Gateway": f"/ip4/{gateway[1]}/tcp/{gateway[2]}",
                "Addresses.Swarm": [listening],
            }
        )

    def _end(self, signal_number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal_number)
            os.kill(process.pid, signal.SIGCONT)
        try:
            process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _program() -> str:
    found = components.find("ipfs")
    if found is None:
        raise NotReady(components.reason_missing("ipfs"))
    return str(found)


def _drain(process: "subprocess.Popen[bytes]") -> None:
    """Take what it goes on printing, so that it never waits for a reader."""
    with contextlib.suppress(ValueError, OSError):
        while process.stdout is not None and process.stdout.read(1 << 16):
            pass
