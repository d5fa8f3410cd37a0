"""XML request bodies: read within bounds, verified, parsed."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from lxml import etree

from noisefs.adapters.inbound.s3.body.payload import Payload
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.xml.reading import parse
from noisefs.core.domain.digests import Digests
from noisefs.core.domain.requests import Digested

T = TypeVar("T")

_ON_LOOP_BYTES: Final = 16 * 1024
"""Up to this size a body is parsed on the event loop, in less than a millisecond; larger ones in a thread."""


class XmlBodies:
    """Reads XML bodies. Task-safe: large ones one after another, so that memory is bounded."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._large = asyncio.Semaphore(2)

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
            return work(b"".join([bytes(piece) async for piece in payload.pieces()]))
        async with self._large:
            body = b"".join([bytes(piece) async for piece in payload.pieces()])
            return await asyncio.to_thread(work, body)
