"""The text of a scrape: of one process, or of all workers with a label that tells them apart."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector, web

from noisefs.adapters.inbound.admin.client import short_path
from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
from noisefs.core.ports.telemetry import Gauge
from noisefs.core.ports.workers import Lane
from noisefs.core.services.store import Store
from noisefs.gateway.requests import Handle

PEER_LIMIT_S: Final = 2.0
"""A worker that does not answer by then is left out: the scrape must not fail because of it."""

_HEADER: Final = re.compile(r"# (HELP|TYPE) (\S+) ")
_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")


async def measure(store: Store, telemetry: PrometheusTelemetry) -> bytes:
    """Take the numbers that nobody counts on the way, and return all of this process as text for Prometheus."""

    def take() -> bytes:
        telemetry.gauge(Gauge.FREE_BYTES, store.packs.free_bytes())
        telemetry.gauge(Gauge.INDEX_BYTES, store.index.size_bytes())
        return telemetry.exposition()

    return await store.workers.run(Lane.DISK, take)


def serve_metrics(store: Store, telemetry: PrometheusTelemetry) -> Handle:
    """Answers every request with this process's numbers: what a worker lends to the first one."""

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=await measure(store, telemetry), content_type="text/plain")

    return handle


def for_itself(metrics: Handle, commands: Handle) -> Handle:
    """What one socket of a worker answers: commands to POST, else its metrics."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await (commands if request.method == "POST" else metrics)(request)

    return handle


async def measure_all(store: Store, telemetry: PrometheusTelemetry, peers: Mapping[int, Path]) -> bytes:
    """The numbers of all workers, each with the label ``worker``; without one where there are no others."""
    own = await measure(store, telemetry)
    if not peers:
        return own
    texts = await asyncio.gather(*(_borrow(path) for path in peers.values()))
    return merge({0: own.decode(), **dict(zip(peers, texts, strict=True))}).encode()


def merge(texts: Mapping[int, str]) -> str:
    """Several expositions as one: each metric's help once, each sample with the label ``worker``."""
    headers: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for worker, text in texts.items():
        name = ""
        for line in text.splitlines():
            header = _HEADER.match(line)
            if header is not None:
                name = header[2]
                known = headers.setdefault(name, [])
                if line not in known:
                    known.append(line)
            elif (sample := _SAMPLE.fullmatch(line)) is not None:
                labels = f'{sample[2]},worker="{worker}"' if sample[2] else f'worker="{worker}"'
                samples.setdefault(name, []).append(f"{sample[1]}{{{labels}}} {sample[3]}")
    blocks = ("\n".join([*lines, *samples.get(name, ())]) for name, lines in headers.items())
    return "\n".join(blocks) + "\n"


async def _borrow(path: Path) -> str:
    try:
        with short_path(path) as short:
            connector = UnixConnector(short)
            limit = ClientTimeout(PEER_LIMIT_S)
            async with ClientSession(connector=connector, timeout=limit) as session, session.get("http://w/") as answer:
                return await answer.text()
    except (OSError, ClientError, TimeoutError):
        return ""
