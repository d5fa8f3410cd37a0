"""PUT of a small file that has arrived whole: sealed in one go, queued for the commit, answered where that ends.

Everything that may refuse it (the collection above, locks, conditions) is looked up in the commit itself
(:mod:`..files.replacing`). Whatever is out of the ordinary takes the long way, which answers everything; so does a
request whose commit fails: nothing of it was written, and the long way finds what to say.
"""

import asyncio
import logging
from collections.abc import Callable

from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.webdav.auth.doorman import Doorman
from noisefs.adapters.inbound.webdav.files.replacing import Replacement
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.preconditions import write_condition
from noisefs.adapters.inbound.webdav.short.heads import Prompt, head
from noisefs.adapters.inbound.webdav.short.requests import plain_request
from noisefs.core.domain.records import Version
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Histogram, Telemetry
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.trees.locks import Locks

log = logging.getLogger(__name__)

Done = Callable[[Prompt | None], None]
"""Is given the answer, once; ``None``: the request takes the long way after all."""

_LABELS = ("webdav", "PUT")


class SmallWrites:
    """Begins writes at once or not at all. Belongs to the event loop."""

    def __init__(
        self,
        *,
        doorman: Doorman,
        objects: Objects,
        locks: Locks,
        telemetry: Telemetry,
        clock: Clock,
        count_open: Callable[[int], None],
        past_names: frozenset[str],
    ) -> None:
        """``count_open`` is told when a request begins (1) and ends (-1). ``past_names``: of collections in a bucket
        that may be of the past: they take the long way.
        """
        self._past_names = past_names
        self._doorman = doorman
        self._objects = objects
        self._locks = locks
        self._telemetry = telemetry
        self._clock = clock
        self._count_open = count_open

    def begin(self, message: RawRequestMessage, body: bytes, _request_id: str, done: Done) -> bool:
        """Begin a write whose whole body is ``body``; tells whether. Only then ``done`` is called, later.

        Nothing is counted or logged of what takes the long way. Never raises. Cost: some 100 us on the loop.
        """
        if message.method != "PUT":
            return False
        began_s = self._clock.monotonic_s()
        try:
            begun = self._queued(message, body)
        except (NoisefsError, Refused):
            return False  # the long way finds the same and tells it
        except Exception:
            log.exception("webdav.bug", extra={"operation": "PUT"})
            return False
        if begun is None:
            return False
        committed, replacement = begun
        self._count_open(1)

        def ended(committed: asyncio.Future[Version]) -> None:
            self._count_open(-1)
            found = self._answer(committed, replacement)
            if found is not None:
                self._telemetry.count(Counter.REQUESTS, 1, (*_LABELS, str(found.status)))
                self._telemetry.count(Counter.BYTES_IN, len(body), ("webdav",))
                self._telemetry.count(Counter.BYTES_OUT, len(found.body), ("webdav",))
                self._telemetry.observe(Histogram.LATENCY, self._clock.monotonic_s() - began_s, _LABELS)
            done(found)

        committed.add_done_callback(ended)
        return True

    def _queued(self, message: RawRequestMessage, body: bytes) -> tuple[asyncio.Future[Version], Replacement] | None:
        found = plain_request(message, self._doorman)
        if found is None or "Content-Length" not in found[2]:
            return None
        who, place, headers = found
        if not self._past_names.isdisjoint(place.key.split("/")):
            return None
        replacement = Replacement(self._locks, who, place, headers, frozenset())
        claims = replacement.claims
        committed = self._objects.put_small(
            who,
            place.bucket,
            place.key,
            body,
            replacement.admit,
            condition=write_condition(headers),
            digests=claims.algorithms,
            verify=claims.verify,
        )
        return None if committed is None else (committed, replacement)

    def _answer(self, committed: asyncio.Future[Version], replacement: Replacement) -> Prompt | None:
        if committed.cancelled() or committed.exception() is not None:
            return None
        try:
            status, fields, body = replacement.answer(committed.result())
            if status != 204:
                fields["Content-Length"] = str(len(body))
            return Prompt(status, head(status, fields, self._clock), body)
        except Exception:
            log.exception("webdav.bug", extra={"operation": "PUT"})
            return None
