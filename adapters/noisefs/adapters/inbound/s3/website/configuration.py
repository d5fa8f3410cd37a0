"""The web site configuration of a bucket: kept and read back as it was put."""

from functools import lru_cache
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.website.site import Site, site_of
from noisefs.adapters.inbound.s3.xml.kept import content_of
from noisefs.adapters.inbound.s3.xml.reading import parse
from noisefs.core.services.namespace.buckets import Buckets

KIND: Final = "website"
"""Of the configuration in a bucket's row."""
_ROOT: Final = "WebsiteConfiguration"


class WebsiteOperations:
    """Answers requests on web site configurations. Task-safe."""

    def __init__(self, *, buckets: Buckets, bodies: XmlBodies) -> None:
        self._buckets = buckets
        self._bodies = bodies

    async def put(self, call: Call) -> Answer:
        """Keep the configuration."""
        content = await self._bodies.read(call, _ROOT, _checked)
        await self._buckets.configure(call.who, call.bucket, KIND, content.encode())
        return answers.empty(call)

    async def get(self, call: Call) -> Answer:
        """The configuration as it was put."""
        bucket = await self._buckets.get(call.who, call.bucket)
        kept = bucket.config.get(KIND)
        if kept is None:
            raise S3Error("NoSuchWebsiteConfiguration", BucketName=call.bucket)
        return answers.xml(call, _ROOT, kept.decode())

    async def delete(self, call: Call) -> Answer:
        """Forget it."""
        await self._buckets.configure(call.who, call.bucket, KIND, None)
        return answers.empty(call, 204)


@lru_cache(maxsize=256)
def site_kept(kept: bytes) -> Site:
    """The site that a bucket's configuration describes."""
    return site_of(parse(b"<%s>%s</%s>" % (_ROOT.encode(), kept, _ROOT.encode()), _ROOT))


def _checked(root: etree._Element) -> str:
    site_of(root)
    return content_of(root)
