"""Configurations of a bucket that are kept as XML and read back as they were put."""

from abc import ABC, abstractmethod
from typing import ClassVar

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.core.services.namespace.buckets.service import Buckets


class KeptConfiguration(ABC):
    """Answers requests on one kind of configuration. Task-safe."""

    kind: ClassVar[str]
    """Its name in a bucket's row."""
    root: ClassVar[str]
    """Name of the XML document."""
    absent: ClassVar[str]
    """The code of the error where there is none."""

    def __init__(self, *, buckets: Buckets, bodies: XmlBodies) -> None:
        self._buckets = buckets
        self._bodies = bodies

    @abstractmethod
    def taken(self, root: etree._Element) -> bytes:
        """What is kept of a document.

        Raises:
            S3Error: It asks for what is wrong, or cannot be honoured.
        """

    def content(self, kept: bytes) -> bytes:
        """What was inside the document, from what is kept of it."""
        return kept

    async def put(self, call: Call) -> Answer:
        """Keep a configuration; it holds for what is there already, too."""
        kept = await self._bodies.read(call, self.root, self.taken)
        await self._buckets.configure(call.who, call.bucket, self.kind, kept)
        return answers.empty(call)

    async def get(self, call: Call) -> Answer:
        """The configuration as it was put."""
        bucket = await self._buckets.get(call.who, call.bucket)
        kept = bucket.config.get(self.kind)
        if kept is None:
            raise S3Error(self.absent, BucketName=call.bucket)
        return answers.xml(call, self.root, self.content(kept).decode())

    async def delete(self, call: Call) -> Answer:
        """Forget it."""
        await self._buckets.configure(call.who, call.bucket, self.kind, None)
        return answers.empty(call, 204)
