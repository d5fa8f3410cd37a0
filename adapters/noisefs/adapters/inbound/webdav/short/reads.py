"""GET and HEAD of files whose bytes are at hand: from the request's head to the bytes that leave, in one go.

Whatever is out of the ordinary (an error, a condition, a collection, bytes on a disk) is not answered here, and takes
the long way, which answers everything.
"""

import logging
from collections.abc import Mapping
from typing import Final

from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.webdav.auth.doorman import Doorman
from noisefs.adapters.inbound.webdav.files.reading import WHOLE_BYTES, described
from noisefs.adapters.inbound.webdav.files.several import content_range
from noisefs.adapters.inbound.webdav.rules.preconditions import byte_range
from noisefs.adapters.inbound.webdav.short.heads import Prompt, head
from noisefs.adapters.inbound.webdav.short.requests import plain_request
from noisefs.core.domain.records import Version
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Histogram, Telemetry
from noisefs.core.services.namespace.objects.service import Objects

log = logging.getLogger(__name__)

_METHODS: Final = frozenset(("GET", "HEAD"))
_CONDITIONS: Final = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


class PromptReads:
    """Answers at once or not at all. Task-safe."""

    def __init__(self, *, doorman: Doorman, objects: Objects, telemetry: Telemetry, clock: Clock) -> None:
        self._doorman = doorman
        self._quick = objects.quick
        self._telemetry = telemetry
        self._clock = clock

    def answer(self, message: RawRequestMessage, _request_id: str) -> Prompt | None:
        """The answer to a request without a body, on a connection that lives on; ``None``: it takes the long way.

        Nothing is counted or logged unless it is answered. Never raises. Cost: some 50 us.
        """
        if message.method not in _METHODS:
            return None
        began_s = self._clock.monotonic_s()
        try:
            found = self._answer(message)
        except NoisefsError:
            return None  # the long way finds the same and tells it
        except Exception:
            log.exception("webdav.bug", extra={"operation": message.method})
            return None
        if found is not None:
            labels = ("webdav", message.method)
            self._telemetry.count(Counter.REQUESTS, 1, (*labels, str(found.status)))
            self._telemetry.count(Counter.BYTES_OUT, len(found.body), ("webdav",))
            self._telemetry.observe(Histogram.LATENCY, self._clock.monotonic_s() - began_s, labels)
        return found

    def _answer(self, message: RawRequestMessage) -> Prompt | None:
        found = plain_request(message, self._doorman)
        if found is None:
            return None
        who, place, headers = found
        if any(name in headers for name in _CONDITIONS) or "," in headers.get("Range", ""):
            return None
        if message.method == "HEAD":
            version = self._quick.look(who, place.bucket, place.key)
            body: bytes | memoryview = b""
            status, fields, size = 200, described(version), version.size
        else:
            read = self._quick.read(who, place.bucket, place.key, lambda version: _span(headers, version), WHOLE_BYTES)
            if read is None:
                return None
            version, start, end, body = read
            status, fields, size = 200, described(version), end - start
            if byte_range(headers, version) is not None:
                status, fields["Content-Range"] = 206, content_range((start, end), version)
        fields["Content-Length"] = str(size)
        return Prompt(status, head(status, fields, self._clock), body)


def _span(headers: Mapping[str, str], version: Version) -> tuple[int, int]:
    return byte_range(headers, version) or (0, version.size)
