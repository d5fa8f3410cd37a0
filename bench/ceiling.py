"""What the client itself can do, against a server that only answers."""

import subprocess
import sys
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from bench.payload import Pool
from bench.wire import Driver, Request

_PADDING = b"Authorization: " + b"x" * 300 + b"\r\n\r\n"  # as long as a signed request's head


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One shape of request at full speed."""

    shape: str
    ops_per_s: float
    client_cpu_us: float


def measure_ceiling(seconds: float) -> list[Ceiling]:
    """Drive :mod:`bench.responder` with the shapes of the table."""
    pool = Pool(64 << 20)
    argv = [sys.executable, "-m", "bench.responder"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as process:
        assert process.stdout is not None
        try:
            address = ("127.0.0.1", int(process.stdout.readline()))
            found = []
            for name, size, connections in (("4 KiB", 4 << 10, 8), ("1 MiB", 1 << 20, 8), ("64 MiB", 64 << 20, 2)):
                put = Request(b"PUT /x HTTP/1.1\r\nContent-Length: %d\r\n" % size + _PADDING, pool, size)
                get = Request(b"GET /n/%d HTTP/1.1\r\n" % size + _PADDING, answer_bytes=size)
                for verb, request in (("PUT", put), ("GET", get)):
                    driver = Driver(address, connections)
                    try:
                        outcome = driver.run(cycle([request]), seconds)
                    finally:
                        driver.close()
                    rate = outcome.count / outcome.elapsed_s
                    found.append(Ceiling(f"{verb} {name}", rate, outcome.client_cpu_s / outcome.count * 1e6))
            return found
        finally:
            process.kill()
