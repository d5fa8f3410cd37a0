"""Keeps lines of access logs until they are put into their buckets, as objects, in the background.

Promise: as on AWS, logs are written as best they can be, and no request ever waits for one or fails by one. Lines wait
in memory for ``log_flush_s`` at most, or until :data:`BATCH_BYTES` of one bucket are there; a server that is told to
end delivers them first. **A kill, or a machine that loses power, loses the lines that wait.** Where the store cannot
take them at the moment they wait on; where the target does not take them any more they are dropped, which is logged.

Cost: nothing where nothing is logged but a get for a request on the long way; some 30 us a line.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.s3.access_log.heard import Heard, Told, heard_of, lines_of
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.settings import S3Settings
from noisefs.adapters.inbound.s3.target import Target
from noisefs.core.domain.buckets.access_log import day_of
from noisefs.core.errors import CapacityExceeded, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.namespace.background.access_logs import AccessLogs, Logged

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 1 << 20
"""Lines of one bucket that are put away at once."""
WAITING_MOST_BYTES: Final = 4 << 20
"""Lines of one bucket that wait while they cannot be put away; further ones are dropped."""
HELD_MOST_BYTES: Final = 32 << 20
"""Lines of all buckets; further ones are dropped."""


@dataclass(slots=True)
class _Batch:
    """Lines that wait to become one object."""

    lines: list[bytes] = field(default_factory=list)
    size: int = 0


class Recorder:
    """Takes lines, and delivers them. Belongs to the event loop."""

    def __init__(self, *, logs: AccessLogs, clock: Clock, telemetry: Telemetry, settings: S3Settings) -> None:
        self._logs = logs
        self._clock = clock
        self._telemetry = telemetry
        self._region = settings.region
        self._every_s = settings.log_flush_s
        self._batches: dict[tuple[Logged, int], _Batch] = {}
        self._held_bytes = 0
        self._some = asyncio.Event()
        self._much = asyncio.Event()
        self._delivering = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Deliver from now on."""
        self._task = asyncio.create_task(self._repeat(), name="s3:access-logs")

    async def close(self) -> None:
        """Deliver what is left."""
        async with self._delivering:  # a delivery under way ends first: nothing is written twice
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        if self._batches:
            lost = sum(len(batch.lines) for batch in self._batches.values())
            self._telemetry.count(Counter.ACCESS_LOG, lost, ("dropped",))
            log.warning("access_log.lost", extra={"lines": lost})

    def hears(self, request: web.BaseRequest, target: Target, headers: Mapping[str, str]) -> Heard | None:
        """See :func:`.heard.heard_of`."""
        return heard_of(self._logs, request, target, headers, self._clock.now_us())

    def note(self, heard: Heard, call: Call | None, answer: Answer, ids: Mapping[str, str], told: Told) -> None:
        """Take the lines of a request that has ended. Never raises."""
        try:
            for line in lines_of(self._logs, heard, call, answer, ids, told):
                self._take(line.logged, line.at_us, line.text().encode())
        except Exception:
            log.exception("s3.bug", extra={"operation": "AccessLog"})

    def _take(self, logged: Logged, at_us: int, line: bytes) -> None:
        batch = self._batches.setdefault((logged, day_of(logged.rule, at_us)), _Batch())
        if batch.size + len(line) > WAITING_MOST_BYTES or self._held_bytes + len(line) > HELD_MOST_BYTES:
            self._telemetry.count(Counter.ACCESS_LOG, 1, ("dropped",))
            return
        batch.lines.append(line)
        batch.size += len(line)
        self._held_bytes += len(line)
        self._some.set()
        if batch.size - len(line) < BATCH_BYTES <= batch.size:  # once: what cannot be put away now waits its time
            self._much.set()

    async def _repeat(self) -> None:
        while True:
            await self._some.wait()
            await self._pause()
            self._some.clear()
            self._much.clear()
            await self.flush()

    async def _pause(self) -> None:
        sleep = asyncio.create_task(self._clock.sleep(self._every_s))
        much = asyncio.create_task(self._much.wait())
        try:
            await asyncio.wait([sleep, much], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            much.cancel()

    async def flush(self) -> None:
        """Deliver what waits now. What cannot be delivered at the moment is taken up again with the next."""
        async with self._delivering:
            batches, self._batches = self._batches, {}
            for (logged, day_s), batch in batches.items():
                if batch.lines and not await self._delivered(logged, day_s, batch):
                    later = self._batches.setdefault((logged, day_s), _Batch())
                    later.lines[:0] = batch.lines
                    later.size += batch.size
                    self._some.set()
                    continue
                self._held_bytes -= batch.size

    async def _delivered(self, logged: Logged, day_s: int, batch: _Batch) -> bool:
        """Put a batch away; tells whether it is settled."""
        outcome = "delivered"
        try:
            await self._logs.deliver(logged, self._region, day_s, batch.lines)
        except NoisefsError as exc:
            if exc.retryable or isinstance(exc, CapacityExceeded):
                return False
            outcome = "refused"
            log.warning("access_log.refused", extra={"error": type(exc).__name__, "lines": len(batch.lines)})
        except Exception:
            outcome = "failed"
            log.exception("s3.bug", extra={"operation": "AccessLog"})
        self._telemetry.count(Counter.ACCESS_LOG, len(batch.lines), (outcome,))
        return True
