"""A real ipfs-cluster on loopback: peers, each with a Kubo of its own."""

import base64
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.kubo import swarm
from tools import components
from tools.ipfs_daemon import IpfsDaemon

SECRET = "ab" * 32
START_LIMIT_S = 60
LOOK_S = 0.05
METRIC_TTL = "10s"
"""A peer of which the others hear nothing for so long gets no copies: long enough for one on a busy machine."""


class ClusterPeer:
    """One ``ipfs-cluster-service daemon``, beside its Kubo."""

    def __init__(self, folder: Path, kubo: IpfsDaemon, credentials: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.kubo = kubo
        self._process: subprocess.Popen[bytes] | None = None
        self._rest, self._swarm = _free_ports(2)
        self._run("init", "--consensus", "crdt", "--datastore", "leveldb")
        config: dict[str, Any] = json.loads((folder / "service.json").read_text())
        config["cluster"] |= {
            "peername": folder.name,
            "secret": SECRET,
            "listen_multiaddress": [f"/ip4/127.0.0.1/tcp/{self._swarm}"],
            "mdns_interval": "0s",
            "monitor_ping_interval": "500ms",
            "peer_watch_interval": "500ms",
        }
        config["consensus"]["crdt"] |= {"rebroadcast_interval": "1s", "repair_interval": "2s"}
        config["api"] = {"restapi": config["api"]["restapi"]}
        config["api"]["restapi"]["http_listen_multiaddress"] = f"/ip4/127.0.0.1/tcp/{self._rest}"
        config["api"]["restapi"]["basic_auth_credentials"] = credentials
        port = kubo.api.rpartition(":")[2]
        config["ipfs_connector"]["ipfshttp"] |= {
            "node_multiaddress": f"/ip4/127.0.0.1/tcp/{port}",
            "connect_swarms_delay": "100ms",
        }
        config["monitor"]["pubsubmon"]["check_interval"] = "500ms"
        for informer in config["informer"].values():
            informer["metric_ttl"] = METRIC_TTL
        (folder / "service.json").write_text(json.dumps(config))
        self.credentials = credentials

    @property
    def api(self) -> str:
        """URL of the REST."""
        return f"http://127.0.0.1:{self._rest}"

    @property
    def address(self) -> str:
        """Multiaddress for other peers."""
        identity = json.loads((self.folder / "identity.json").read_text())
        return f"/ip4/127.0.0.1/tcp/{self._swarm}/p2p/{identity['id']}"

    def start(self, *bootstrap: str) -> None:
        """Start it and wait until it answers."""
        command = ["daemon", *(["--bootstrap", ",".join(bootstrap)] if bootstrap else [])]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program(), *command],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: self.ask("/id") is not None, self)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(START_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ask(self, path: str) -> Any:  # Any: whatever it answers
        """An answer of the REST; ``None`` while there is none."""
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        request = urllib.request.Request(self.api + path)
        if self.credentials:
            ((user, password),) = self.credentials.items()
            encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {encoded}")
        try:
            with urllib.request.urlopen(request, timeout=START_LIMIT_S) as answer:
                return json.loads(answer.read())
        except OSError:
            return None

    def _run(self, *arguments: str) -> None:
        subprocess.run([_program(), *arguments], env=self._environment(), check=True, capture_output=True)

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTER_")}
        return {**inherited, "IPFS_CLUSTER_PATH": str(self.folder)}


@contextmanager
def cluster(folder: Path, count: int, *, credentials: dict[str, str] | None = None) -> Iterator[list[ClusterPeer]]:
    """So many peers that know each other and each other's free space."""
    with swarm(folder, count) as daemons:
        peers = [ClusterPeer(folder / f"peer{number}", daemon, credentials) for number, daemon in enumerate(daemons)]
        try:
            for number, peer in enumerate(peers):
                peer.start(*(other.address for other in peers[:number]))
            for peer in peers:
                wait_until(lambda peer=peer: len((peer.ask("/id") or {}).get("cluster_peers") or ()) == count, peer)
                wait_until(lambda peer=peer: len(peer.ask("/monitor/metrics/freespace") or ()) == count, peer)
            yield peers
        finally:
            for peer in peers:
                peer.stop()


def wait_until(holds: Any, peer: ClusterPeer) -> None:  # Any: a callable without arguments, or with a default
    """Look again and again until it does."""
    end = time.monotonic() + START_LIMIT_S
    while not holds():
        assert time.monotonic() < end, (peer.folder / "log").read_text()[-5000:]
        time.sleep(LOOK_S)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _program() -> str:
    found = components.find("ipfs-cluster-service")
    assert found is not None
    return str(found)
