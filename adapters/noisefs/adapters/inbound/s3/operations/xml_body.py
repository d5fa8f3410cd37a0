"""XML request bodies: read within bounds, verified, parsed."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from lxml import etree

from noisefs.adapters.inbound.s3.body.payload import Payload
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.xml.reading import parse
from noisefs.core.domain.objects.digests import Digests
from noisefs.core.domain.requests import Digested
from noisefs.core.errors import RequestTimeout

T = TypeVar("T")

_ON_LOOP_BYTES: Final = 16 * 1024
"""Up to this size a body is parsed on the event loop, in less than a millisecond; larger ones in a thread."""
_RECEIVED_AT_ONCE: Final = 16
"""Larger bodies that are in memory at a time."""
_PARSED_AT_ONCE: Final = 2
"""Larger bodies that are being parsed at a time: a document takes several times its size then."""


class XmlBodies:
    """Reads XML bodies. Task-safe; memory is bounded over all of them."""

    def __init__(self, limit_bytes: int, timeout_s: float) -> None:
        """``limit_bytes``: of one body; ``timeout_s``: for a large body to come in as a whole."""
        self._limit_bytes = limit_bytes
        self._timeout_s = timeout_s
        self._receiving = asyncio.Semaphore(_RECEIVED_AT_ONCE)
        self._parsing = asyncio.Semaphore(_PARSED_AT_ONCE)

    async def read(self, call: Call, root: str, take: Callable[[etree._Element], T], *, of_object: bool = False) -> T:
        """What ``take`` makes of the document, whose root must be named ``root``.

        ``of_object``: checksum headers are about an object, not about this body.

        Raises:
            S3Error: ``MalformedXML``, or what ``take`` raises; a digest is wrong.
            EntityTooLarge: It is larger than the limit; nothing of it was read then.
            IncompleteBody, RequestTimeout: It did not come.
        """
        payload = Payload(call.headers, call.session, call.incoming, self._limit_bytes, of_object=of_object)

        def work(body: bytes) -> T:
            if payload.declared.is_any:
                digests = Digests(payload.digests)
                digests.update(body)
                payload.verify(Digested(len(body), digests.results()))
            return take(parse(body, root))

        if payload.size is not None and payload.size <= _ON_LOOP_BYTES:
            return work(await _collected(payload))
        async with self._receiving:
            try:
                async with asyncio.timeout(self._timeout_s):
                    body = await _collected(payload)
            except TimeoutError as exc:
                raise RequestTimeout(f"the body did not come within {self._timeout_s:g} s") from exc
            async with self._parsing:
                return await asyncio.to_thread(work, body)


async def _collected(payload: Payload) -> bytes:
    return b"".join([bytes(piece) async for piece in payload.pieces()])
