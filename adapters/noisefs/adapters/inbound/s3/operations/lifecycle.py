"""The lifecycle of a bucket's objects: its rules, and what answers about an object tell of them."""

from functools import lru_cache
from typing import Final
from urllib.parse import quote

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.headers import http_time
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.kept import content_of
from noisefs.adapters.inbound.s3.xml.lifecycle import rules_of
from noisefs.core.domain.lifecycle import KIND, Kept, decode_rules, encode_rules, expiry_of, taken_us
from noisefs.core.domain.records import Version
from noisefs.core.services.namespace.buckets import Buckets

_ROOT: Final = "LifecycleConfiguration"


class LifecycleOperations:
    """Answers requests on the rules. Task-safe."""

    def __init__(self, *, buckets: Buckets, bodies: XmlBodies) -> None:
        self._buckets = buckets
        self._bodies = bodies

    async def put(self, call: Call) -> Answer:
        """Keep the bucket's rules; they hold for what is there already, too."""
        await self._buckets.configure(call.who, call.bucket, KIND, await self._bodies.read(call, _ROOT, _checked))
        return answers.empty(call)

    async def get(self, call: Call) -> Answer:
        """The rules as they were put."""
        bucket = await self._buckets.get(call.who, call.bucket)
        kept = bucket.config.get(KIND)
        if kept is None:
            raise S3Error("NoSuchLifecycleConfiguration", BucketName=call.bucket)
        return answers.xml(call, _ROOT, decode_rules(kept).content.decode())

    async def delete(self, call: Call) -> Answer:
        """Forget the rules."""
        await self._buckets.configure(call.who, call.bucket, KIND, None)
        return answers.empty(call, 204)

    def told(self, bucket: str, key: str, version: Version) -> dict[str, str]:
        """What an answer tells about the end of an object's current version. Cost: one get, some us with rules."""
        raw = self._buckets.peek(bucket, KIND)
        expiry = None if raw is None else expiry_of(_decoded(raw).rules, key, version, taken_us(version))
        if expiry is None:
            return {}
        return {"x-amz-expiration": f'expiry-date="{http_time(expiry.at_us)}", rule-id="{quote(expiry.rule_id)}"'}


def _checked(root: etree._Element) -> bytes:
    rules = rules_of(root)
    return encode_rules(content_of(root).encode(), rules)


@lru_cache(maxsize=64)
def _decoded(raw: bytes) -> Kept:
    return decode_rules(raw)
