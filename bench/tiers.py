"""Policies of the tiers live: favourites that change, read over S3 from a store whose packs only a distant node has.

One run, one node, one order of reads for every policy, each from nothing. Then the first reads after a restart, with
what the last life left and without.
"""

import bisect
import itertools
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.failures import BenchError
from bench.far import FarAway
from bench.findings import Finding
from bench.network import private_node, settings_for, wait_confirmed
from bench.payload import Pool
from bench.peers import NoiseFS
from bench.rounds import percentile
from bench.servers import Server
from bench.sites import S3Site
from bench.wire import Driver, Request
from tools.ipfs_daemon import IpfsDaemon

POLICIES: Final = ("lru", "s3fifo", "learned")
CELL_BYTES: Final = 128 << 10
_CELLS: Final = (1, 2, 3)
"""Objects are so large, in turn."""
_HOT_SHARE: Final = 0.1
"""Memory for cells, as a share of all of them."""
_ENTRY_BYTES: Final = CELL_BYTES + 16 + 512
_EXPONENT: Final = 0.9
_DRIFT: Final = 20
"""After so many reads one favourite becomes the last, and all others move up."""
_DELAY_S: Final = 0.02
_CONNECTIONS: Final = 8
_WRITERS: Final = 8
_TRAIN_EVERY_S: Final = 5
_STRETCHES: Final = 10
_RESTART_SHARE: Final = 0.1
"""So much more is read after a restart."""
_LIMIT_S: Final = 3600.0
_WARM_LIMIT_S: Final = 120.0
_FAR: Final = "noisefs_network_blocks_total"


@dataclass(frozen=True, slots=True)
class Load:
    """What is stored, and how often it is read."""

    objects: int
    reads: int
    seed: int = 1

    def size_of(self, number: int) -> int:
        """An object's bytes: whole cells."""
        return _CELLS[number % len(_CELLS)] * CELL_BYTES

    @property
    def cells(self) -> int:
        """All of them."""
        return sum(self.size_of(number) for number in range(self.objects)) // CELL_BYTES

    def order(self) -> list[int]:
        """Which object each read is of."""
        chance = random.Random(self.seed)
        ranks = list(range(self.objects))
        chance.shuffle(ranks)
        weights = list(itertools.accumulate(1 / (rank + 1) ** _EXPONENT for rank in range(self.objects)))
        found: list[int] = []
        for number in range(self.reads):
            if number % _DRIFT == _DRIFT - 1:
                ranks.append(ranks.pop(0))
            found.append(ranks[bisect.bisect_left(weights, chance.random() * weights[-1])])
        return found


@dataclass(frozen=True, slots=True)
class _Measured:
    latencies_s: list[float]
    blocks: list[float]
    """From the node, a read, in each tenth of the load."""
    metrics: Mapping[str, float]
    cpu_s: float
    seconds: float
    in_charge: str

    @property
    def reads(self) -> int:
        """How many."""
        return len(self.latencies_s)

    def each(self, *series: str) -> float:
        """The sum of all samples whose name begins so, a read."""
        return sum(value for name, value in self.metrics.items() if name.startswith(series)) / self.reads


def measure_tiers(folder: Path, scale: float, say: Callable[[str], None]) -> Finding:
    """Blocks from the node a read, and how long reads took, by policy; and the first reads after a restart."""
    reads = max(200, int(40_000 * scale))
    load = Load(max(60, int(2000 * scale)), reads + max(_STRETCHES, int(reads * _RESTART_SHARE)))
    order, further = load.order()[:reads], load.order()[reads:]
    rows: list[list[str | float]] = []
    notes: list[str] = []
    with private_node(folder / "tiers-node", sync=False) as node, FarAway(node.gateway, 0.0) as way:
        world = _World(folder / "tiers", load, _environment(node, way))
        world.fill()
        say(f"tiers: {load.objects} objects of {load.cells} cells are on the node only")
        way.delay_s = _DELAY_S
        for policy in POLICIES:
            world.forget()
            with world.served(policy) as server:
                found = world.read(server, order)
            rows.append([policy, *_row(found)])
            curves = [f"blocks a read by tenths {_shown(found.blocks)}"]
            curves += [f"{name} {value:g}" for name, value in sorted(_decisions(found.metrics).items())]
            with world.served(policy) as server:
                brought, took_s = _warmed(server)
                after = world.read(server, further)
            curves.append(f"after a restart, {brought} cells warmed in {took_s:.1f} s, {_shown(after.blocks)}")
            world.forget()
            with world.served(policy) as server:
                curves.append(f"with nothing kept {_shown(world.read(server, further).blocks)}")
            notes.append(f"{policy}: {'; '.join(curves)}.")
            say(f"tiers: {notes[-1]}")
    columns = ["policy", "reads without the node", "cells and masks a read", "seeds a read", "p50 ms", "p99 ms"]
    return Finding(
        "tiers",
        f"Reads by Zipf ({_EXPONENT:g}) with drift over S3, memory for {_HOT_SHARE:.0%} of {load.cells} cells, no disk "
        f"cache, the node {_DELAY_S * 1000:g} ms away",
        [*columns, "server CPU ms a read", "reads a second", "in charge at the end"],
        rows,
        None,
        f"{len(order)} reads by {_CONNECTIONS} connections; a model is trained every {_TRAIN_EVERY_S} s. Curves are of "
        f"the tenths of a load; after a restart it goes on for {_RESTART_SHARE:.0%} more, with what the last life "
        "left and without.\n\n" + "\n\n".join(notes),
    )


def _environment(node: IpfsDaemon, way: FarAway) -> dict[str, str]:
    listed = [{"api": node.api, "gateway": way.url, "managed": True}]
    return settings_for([node]) | {"NOISEFS_IPFS__NODES": json.dumps(listed)}


def _row(found: _Measured) -> list[str | float]:
    latencies = sorted(found.latencies_s)
    return [
        found.each('noisefs_reads_total{network="no"}'),
        found.each(f'{_FAR}{{kind="cell"', f'{_FAR}{{kind="mask"'),
        found.each(f'{_FAR}{{kind="seed"'),
        percentile(latencies, 0.5) * 1000,
        percentile(latencies, 0.99) * 1000,
        found.cpu_s / found.reads * 1000,
        found.reads / found.seconds,
        found.in_charge,
    ]


def _decisions(metrics: Mapping[str, float]) -> dict[str, float]:
    """Trainings and changes of charge, by their labels."""
    wanted = ("noisefs_cache_trainings_total{", "noisefs_cache_policy_changes_total{")
    return {name.removeprefix("noisefs_cache_"): value for name, value in metrics.items() if name.startswith(wanted)}


def _shown(curve: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in curve)


def _status(server: Server) -> Any:  # Any: JSON
    command = [str(server.peer.find()), "cache", "status", "--json", "--data", str(server.place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def _warmed(server: Server) -> tuple[int, float]:
    """Wait until what was in memory is there again: how many cells, and how long that took."""
    begun = time.monotonic()
    while True:
        warming = _status(server)["warming"]
        if warming["listed"] and not warming["running"]:
            return warming["done"], time.monotonic() - begun
        if time.monotonic() - begun > _WARM_LIMIT_S:
            raise BenchError("the memory was not warm in time")
        time.sleep(0.1)


class _World:
    """A store whose packs are on a node only."""

    def __init__(self, place: Path, load: Load, environment: dict[str, str]) -> None:
        self._place = place
        self._load = load
        self._environment = environment
        self._pool = Pool(max(_CELLS) * CELL_BYTES, seed=3)

    def served(self, policy: str) -> Server:
        """A server on it, not started."""
        settings = {
            "NOISEFS_CACHE__POLICY": policy,
            "NOISEFS_CACHE__TRAIN_EVERY_S": str(_TRAIN_EVERY_S),
            "NOISEFS_CACHE__DISK_MAX_BYTES": "0",
            "NOISEFS_HOT__MAX_BYTES": str(int(self._load.cells * _HOT_SHARE) * _ENTRY_BYTES),
        }
        return Server(NoiseFS(environment=self._environment | settings), self._place)

    def fill(self) -> None:
        """Store everything, and let go of the packs here."""
        with self.served(POLICIES[0]) as server:
            site = self._site(server)
            site.make_folders([])
            self._drive(site, _WRITERS, (site.put(str(n), self._load.size_of(n)) for n in range(self._load.objects)))
            wait_confirmed(server)
        for pack in (self._place / "packs").rglob("*.pack"):
            pack.unlink()

    def forget(self) -> None:
        """Let go of what a server kept for its next life."""
        for file in (self._place / "cache").glob("*"):
            file.unlink()

    def read(self, server: Server, order: Sequence[int]) -> _Measured:
        """Read objects in this order."""
        site = self._site(server)
        first = order[0]
        if site.expect(site.get(str(first), self._load.size_of(first)), 200).body != self._wanted(first):
            raise BenchError("an object has wrong bytes")
        latencies: list[float] = []
        curve: list[float] = []
        cpu_s, seconds = server.usage().cpu_s, 0.0
        before = begun = server.metrics()
        step = max(1, len(order) // _STRETCHES)
        for at in range(0, step * _STRETCHES, step):
            site.refresh()
            some = order[at : at + step]
            requests = (site.get(str(number), self._load.size_of(number)) for number in some)
            found, took_s = self._drive(site, _CONNECTIONS, requests)
            latencies += found
            seconds += took_s
            after = server.metrics()
            curve.append((after.get(_FAR, 0.0) - before.get(_FAR, 0.0)) / len(some))
            before = after
        grown = {name: value - begun.get(name, 0.0) for name, value in before.items()}
        in_charge = _status(server)["memory"]["in_charge"]
        return _Measured(latencies, curve, grown, server.usage().cpu_s - cpu_s, seconds, in_charge)

    def _wanted(self, number: int) -> memoryview:
        return self._pool.view[: self._load.size_of(number)]

    def _site(self, server: Server) -> S3Site:
        assert server.s3 is not None
        return S3Site(server.s3, self._pool)

    def _drive(self, site: S3Site, connections: int, requests: Iterator[Request]) -> tuple[list[float], float]:
        driver = Driver(site.address, connections)
        try:
            outcome = driver.run(requests, _LIMIT_S)
        finally:
            driver.close()
        if outcome.errors:
            raise BenchError(f"{outcome.errors} requests failed: {outcome.first_error}")
        return outcome.latencies_s, outcome.elapsed_s
