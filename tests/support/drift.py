"""A load whose favourites change: a server on a real node behind a relay that adds latency, read by Zipf with drift.

``python -m tests.support.drift`` prints, for each policy in one run: reads, those that asked no node, blocks from nodes
a read (seeds apart), and how long reads took. Every answer is compared with what was stored.
"""

import argparse
import asyncio
import bisect
import http.client
import itertools
import json
import random
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from tests.support.kubo import swarm
from tests.support.proxies import Relay
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer, noisefs

BUCKET = "bucket"
LIMIT_S = 120
READERS = 4


@dataclass(frozen=True, slots=True)
class Load:
    """What is read. ``drift``: after so many reads one favourite becomes the last, and all others move up."""

    objects: int = 300
    object_bytes: int = 300_000
    reads: int = 3000
    exponent: float = 1.0
    drift: int = 20
    delay_s: float = 0.02
    hot_bytes: int = 12 << 20
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """What one policy made of it."""

    policy: str
    disk_bytes: int
    reads: int
    reads_without_network: float
    blocks_a_read: float
    seeds_a_read: float
    p50_ms: float
    p99_ms: float
    disk_writes_a_read: float
    seconds: float
    curve: list[float]
    """Blocks a read of each tenth of the load."""


def order_of(load: Load) -> list[int]:
    """Which object each read is of."""
    chance = random.Random(load.seed)
    ranks = list(range(load.objects))
    chance.shuffle(ranks)
    weights = list(itertools.accumulate(1 / (rank + 1) ** load.exponent for rank in range(load.objects)))
    found = []
    for number in range(load.reads):
        if number % load.drift == load.drift - 1:
            ranks.append(ranks.pop(0))
        found.append(ranks[bisect.bisect_left(weights, chance.random() * weights[-1])])
    return found


def content_of(load: Load, number: int) -> bytes:
    """An object's bytes."""
    return random.Random(number).randbytes(load.object_bytes + 97 * number)


@contextmanager
def relayed(upstream: str) -> Iterator[Relay]:
    """A relay on a loop and thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    relay = Relay(upstream)
    asyncio.run_coroutine_threadsafe(relay.__aenter__(), loop).result(LIMIT_S)
    try:
        yield relay
    finally:
        asyncio.run_coroutine_threadsafe(relay.__aexit__(None, None, None), loop).result(LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class World:
    """A store whose packs are on a node only."""

    def __init__(self, folder: Path, load: Load, api: str, relay: Relay) -> None:
        self.folder = folder
        self.load = load
        self._relay = relay
        self._sums = [zlib.crc32(content_of(load, number)) for number in range(load.objects)]
        nodes = [{"api": api, "gateway": relay.url, "name": "one"}]
        fields = {"MIN_FREE_BYTES": "0", "MIN_FREE_INODES": "0", "PACK_MAX_AGE_S": "0.2", "NODES": json.dumps(nodes)}
        self.environment = {f"NOISEFS_IPFS__{name}": value for name, value in fields.items()}

    def fill(self) -> None:
        """Store everything, and let go of the packs here."""
        with self._served({}) as server:
            client = boto3.client(
                "s3",
                endpoint_url=server.s3,
                aws_access_key_id=ACCESS_KEY,
                aws_secret_access_key=SECRET_KEY,
                region_name="us-east-1",
            )
            client.create_bucket(Bucket=BUCKET)
            for number in range(self.load.objects):
                client.put_object(Bucket=BUCKET, Key=f"{number}", Body=content_of(self.load, number))
            time.sleep(6)  # the packer's pause: slices leave the index
        with self._served({}) as server:
            late = time.monotonic() + LIMIT_S
            while True:
                found = json.loads(noisefs("ipfs", "status", "--json", "--data", str(server.data)).stdout)
                if found["clean"] and found["bytes"] >= self.load.objects * self.load.object_bytes:
                    break
                assert time.monotonic() < late, found
                time.sleep(0.2)
        for file in (self.folder / "data" / "packs").glob("*.pack"):
            file.unlink()
        self._relay.delay_s = self.load.delay_s

    def measure(self, policy: str, disk_bytes: int) -> Measured:
        """Read it all with this policy, from nothing."""
        for file in (self.folder / "data" / "cache").glob("*"):
            file.unlink()
        settings = {
            "NOISEFS_CACHE__POLICY": policy,
            "NOISEFS_CACHE__TRAIN_EVERY_S": "5",
            "NOISEFS_CACHE__DISK_MAX_BYTES": str(disk_bytes),
            "NOISEFS_HOT__MAX_BYTES": str(self.load.hot_bytes),
        }
        with self._served(settings) as server:
            return self._read(server, policy, disk_bytes)

    def restart_curve(self, policy: str, disk_bytes: int, *, warm: bool) -> list[float]:
        """Blocks a read of each tenth, right after a restart, with or without what the last life left."""
        if not warm:
            for file in (self.folder / "data" / "cache").glob("*"):
                file.unlink()
        settings = {
            "NOISEFS_CACHE__POLICY": policy,
            "NOISEFS_CACHE__DISK_MAX_BYTES": str(disk_bytes),
            "NOISEFS_HOT__MAX_BYTES": str(self.load.hot_bytes),
        }
        with self._served(settings) as server:
            if warm:
                late = time.monotonic() + LIMIT_S
                while True:
                    state = json.loads(noisefs("cache", "status", "--json", "--data", str(server.data)).stdout)
                    if state["warming"]["listed"] and not state["warming"]["running"]:
                        break
                    assert time.monotonic() < late
                    time.sleep(0.1)
            return self._read(server, policy, disk_bytes).curve

    def _served(self, settings: Mapping[str, str]) -> RunningServer:
        return RunningServer(self.folder / "data", environment={**self.environment, **settings})

    def _read(self, server: RunningServer, policy: str, disk_bytes: int) -> Measured:
        order = order_of(self.load)
        client = boto3.client(
            "s3",
            endpoint_url=server.s3,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(signature_version="s3v4"),
        )
        urls = [
            client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": f"{number}"}, ExpiresIn=36000)
            for number in range(self.load.objects)
        ]
        host = urlsplit(server.s3)
        spans: list[float] = []
        marks: list[float] = []
        before = blocks_of(server.metrics())
        began = time.perf_counter()
        tenth = max(1, len(order) // 10)
        for first in range(0, tenth * 10, tenth):
            left = iter(order[first : first + tenth])
            lock = threading.Lock()

            def read(left: Iterator[int] = left, lock: threading.Lock = lock) -> None:
                connection = http.client.HTTPConnection(host.hostname or "", host.port)
                while True:
                    with lock:
                        number = next(left, None)
                    if number is None:
                        connection.close()
                        return
                    start = time.perf_counter()
                    parts = urlsplit(urls[number])
                    connection.request("GET", f"{parts.path}?{parts.query}")
                    answer = connection.getresponse()
                    body = answer.read()
                    spans.append(time.perf_counter() - start)
                    assert answer.status == 200, body
                    assert zlib.crc32(body) == self._sums[number], "a wrong byte"

            run_together(read, READERS)
            now = blocks_of(server.metrics())
            marks.append((now - before) / tenth)
            before = now
        seconds = time.perf_counter() - began
        metrics = server.metrics()
        count = tenth * 10
        for name, value in sorted(metrics.items()):
            if name.startswith(("noisefs_cache_trainings", "noisefs_cache_policy_changes")):
                print(f"{policy}: {name} {value:g}", file=sys.stderr)
        spans.sort()
        return Measured(
            policy,
            disk_bytes,
            count,
            round(metrics.get('noisefs_reads_total{network="no"}', 0.0) / count, 4),
            round(
                sum_of(metrics, 'noisefs_network_blocks_total{kind="cell"', 'noisefs_network_blocks_total{kind="mask"')
                / count,
                3,
            ),
            round(sum_of(metrics, 'noisefs_network_blocks_total{kind="seed"') / count, 3),
            round(spans[len(spans) // 2] * 1000, 1),
            round(spans[len(spans) * 99 // 100] * 1000, 1),
            round(metrics.get('noisefs_cache_writes_total{outcome="written"}', 0.0) / count, 3),
            round(seconds, 1),
            [round(mark, 2) for mark in marks],
        )


def run_together(work: Callable[[], None], count: int) -> None:
    """So many threads; what one of them raises is raised."""
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - raised below
            failed.append(exc)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def sum_of(metrics: Mapping[str, float], *prefixes: str) -> float:
    """Of all samples whose name begins so."""
    return sum(value for name, value in metrics.items() if name.startswith(prefixes))


def blocks_of(metrics: Mapping[str, float]) -> float:
    """Blocks from nodes, whatever for."""
    return sum_of(metrics, "noisefs_network_blocks_total{")


@contextmanager
def world(folder: Path, load: Load) -> Iterator[World]:
    """Everything stored, and on the node only."""
    with swarm(folder) as (daemon,), relayed(daemon.gateway) as relay:
        made = World(folder, load, daemon.api, relay)
        made.fill()
        yield made


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a line of JSON each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--policies", default="lru,s3fifo")
    parser.add_argument("--reads", type=int, default=Load().reads)
    parser.add_argument("--objects", type=int, default=Load().objects)
    parser.add_argument("--delay-ms", type=float, default=Load().delay_s * 1000)
    parser.add_argument("--disk", type=int, default=0, help="bytes of the disk cache; 0: none")
    parser.add_argument("--restart", action="store_true", help="measure the first reads after a restart too")
    asked = parser.parse_args(arguments)
    load = Load(objects=asked.objects, reads=asked.reads, delay_s=asked.delay_ms / 1000)
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), load) as made:
        for policy in asked.policies.split(","):
            print(json.dumps(asdict(made.measure(policy, asked.disk))), flush=True)
            if asked.restart:
                for warm in (True, False):
                    curve = made.restart_curve(policy, asked.disk, warm=warm)
                    print(json.dumps({"policy": policy, "after a restart, warmed": warm, "curve": curve}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
