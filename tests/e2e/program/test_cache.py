"""The tiers of the program over a real node: read once, kept, still there after a restart or a kill, and explained."""

import os
import signal
import time
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from tests.e2e.program.test_nodes import (
    ask,
    content,
    damaging,
    get,
    lose_packs,
    node,
    put,
    served,
    settings,
    settle,
    until,
)
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
    large, second = content(SIZE * 4, 1), content(SIZE * 4, 2)
    with swarm(tmp_path) as (daemon,), damaging(daemon.gateway) as proxy:
        proxy.damaging = False
        counted = {**node(daemon, "one"), "gateway": proxy.url}
        environment = settings([counted]) | {"NOISEFS_CACHE__DISK_MAX_BYTES": "64MiB"}
        with served(tmp_path, environment) as server:
            put(server, "large", large)
            put(server, "second", second)
        with served(tmp_path, environment) as server:
            settle(server, 2 * SIZE)
        lose_packs(server)
        proxy.blocks.clear()
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
            # The node saw it too: no block twice but those that mask a neighbour of another owner's, and each's seeds.
            again = sum(proxy.blocks.values()) - len(proxy.blocks)
            assert sum(proxy.blocks.values()) >= len(large) // 131072
            assert again <= 2 * (len(large) // (32 * 131072) + 2) + 4
            status = ask(server, "cache", "status")
            assert [one["worker"] for one in status["workers"]] == [0, 1]
            assert status["memory"]["entries"] == sum(one["memory"]["entries"] for one in status["workers"])
            rows = ask(server, "cache", "explain", "bucket/large")
            assert {row["worker"] for row in rows} == {0, 1}
            assert all(any(row["tier"] == "memory" for row in rows if row["worker"] == number) for number in (0, 1))
            before = proxy.blocks.total()
            os.kill(workers_of(server)[1], signal.SIGKILL)
            for _ in range(4):  # what the dead one owned and kept on the disk is fetched by who is left
                try:
                    assert get(server, "large") == large
                    assert get(server, "second") == second
                except BotoCoreError:
                    continue  # this connection was the dead one's
            until("the dead one's place is taken", lambda: len(workers_of(server)) == 2)
            assert get(server, "second") == second
            assert proxy.blocks.total() - before <= 2 * (len(large) + len(second)) // 131072
