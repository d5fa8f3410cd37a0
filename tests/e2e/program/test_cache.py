"""The tiers of the program over a real node: read once, kept, still there after a restart or a kill, and explained."""

import os
import signal
import time
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from tests.e2e.program.test_nodes import ask, content, get, lose_packs, node, put, served, settings, settle
from tests.e2e.program.test_workers import workers_of
from tests.support.kubo import swarm
from tests.support.server import RunningServer

pytestmark = [pytest.mark.e2e, pytest.mark.needs("ipfs")]

COLD = 'noisefs_block_reads_total{tier="cold"}'
SIZE = 3_000_000
LIMIT_S = 30


def cold(server: RunningServer) -> float:
    """Blocks that nodes gave since the start."""
    return server.metrics().get(COLD, 0.0)


def tiers_of(server: RunningServer, key: str) -> set[str]:
    """Where an object's cells are."""
    return {row["tier"] for row in ask(server, "cache", "explain", f"bucket/{key}")}


def when_warm(server: RunningServer) -> None:
    """Wait until what was in memory before is there again."""
    late = time.monotonic() + LIMIT_S
    while True:
        warming = ask(server, "cache", "status")["warming"]
        if warming["listed"] and not warming["running"]:
            return
        assert time.monotonic() < late
        time.sleep(0.1)  # another process works at it


def test_what_was_read_once_asks_no_node_again(tmp_path: Path) -> None:
    large, small = content(SIZE, 1), content(60_000, 2)
    with swarm(tmp_path) as (daemon,):
        environment = settings([node(daemon, "one")]) | {"NOISEFS_CACHE__DISK_MAX_BYTES": "64MiB"}
        with served(tmp_path, environment) as server:
            put(server, "large", large)
            put(server, "small", small)
        with served(tmp_path, environment) as server:
            settle(server, SIZE)
        lose_packs(server)
        with served(tmp_path, environment) as server:
            assert "nodes" in tiers_of(server, "large")
            assert (get(server, "large"), get(server, "small")) == (large, small)
            before = cold(server)
            assert before > 20
            assert tiers_of(server, "large") <= {"memory", "index"}
            assert get(server, "large") == large
            assert cold(server) == before
            assert server.metrics()['noisefs_reads_total{network="no"}'] >= 1
        with served(tmp_path, environment) as server:  # after an orderly end
            when_warm(server)
            assert tiers_of(server, "large") <= {"memory", "index"}
            assert (get(server, "large"), get(server, "small")) == (large, small)
            assert cold(server) == 0
            server.kill()
        with served(tmp_path, environment) as server:  # after a kill
            assert (get(server, "large"), get(server, "small")) == (large, small)
            assert cold(server) == 0
            shown = ask(server, "cache", "status")
            assert shown["disk_cache"]["enabled"]
            assert 0 < shown["disk_cache"]["bytes"] <= 64 << 20
        with served(tmp_path, environment | {"NOISEFS_CACHE__DISK_MAX_BYTES": "0"}) as server:
            assert not list((server.data / "cache").glob("cells-*"))
            found = ask(server, "cache", "warm", "bucket/large")
            assert (found["done"] >= 22, found["failed"]) == (True, 0)
            assert "memory" in tiers_of(server, "large")
            assert ask(server, "cache", "status")["disk_cache"] is None


def test_without_nodes_there_is_nothing_to_tell(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        ask(server, "cache", "status", code=2)
        put(server, "small", b"x" * 5000)
        assert tiers_of(server, "small") <= {"memory", "index"}
        ask(server, "cache", "explain", "bucket/none", code=3)


def test_two_workers_fetch_a_cell_once_and_one_goes_on_alone(tmp_path: Path) -> None:
    large = content(SIZE * 4, 1)
    with swarm(tmp_path) as (daemon,):
        environment = settings([node(daemon, "one")]) | {"NOISEFS_CACHE__DISK_MAX_BYTES": "64MiB"}
        with served(tmp_path, environment) as server:
            put(server, "large", large)
        with served(tmp_path, environment) as server:
            settle(server, SIZE)
        lose_packs(server)
        with RunningServer(tmp_path / "data", "--workers", "2", environment=environment) as server:
            opened = [0.0, 0.0]
            for _ in range(64):  # the system chooses who gets a connection
                assert get(server, "large") == large
                metrics = server.metrics()
                opened = [metrics.get(f'noisefs_cells_opened_total{{worker="{number}"}}', 0.0) for number in (0, 1)]
                if min(opened):
                    break
            assert min(opened) > 0
            name = 'noisefs_network_blocks_total{kind="cell",why="read",worker="%d"}'
            fetched = [metrics.get(name % number, 0.0) for number in (0, 1)]
            assert sum(fetched) == len(large) // 131072
            os.kill(workers_of(server)[1], signal.SIGKILL)
            for _ in range(4):
                try:
                    assert get(server, "large") == large
                except BotoCoreError:
                    continue  # this connection was the dead one's
