"""The lifecycle of a bucket's objects: its rules, and what answers about an object tell of them."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from urllib.parse import quote

from lxml import etree

from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.headers import http_time
from noisefs.adapters.inbound.s3.operations.kept import KeptConfiguration
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.kept import content_of
from noisefs.adapters.inbound.s3.xml.lifecycle import rules_of
from noisefs.core.domain.buckets.lifecycle import KIND, Kept, decode_rules, encode_rules, expiry_of, taken_us
from noisefs.core.errors import NoisefsError
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects

Handler = Callable[[Call], Awaitable[Answer]]


class LifecycleOperations(KeptConfiguration):
    """Answers requests on the rules. Task-safe."""

    kind = KIND
    root = "LifecycleConfiguration"
    absent = "NoSuchLifecycleConfiguration"

    def __init__(self, *, buckets: Buckets, objects: Objects, bodies: XmlBodies) -> None:
        super().__init__(buckets=buckets, bodies=bodies)
        self._objects = objects

    def taken(self, root: etree._Element) -> bytes:
        """The rules as they are put, and as they are carried out."""
        rules = rules_of(root)
        return encode_rules(content_of(root).encode(), rules)

    def content(self, kept: bytes) -> bytes:
        """The rules as they were put."""
        return decode_rules(kept).content

    def telling_first(self, handler: Handler) -> Handler:
        """``handler`` of a read, with what its answer tells about the end of the object."""

        async def answer(call: Call) -> Answer:
            rules = self._rules(call.bucket)
            if rules is not None and call.version_id() is None:
                call.ids = {**call.ids, **await self._told(call, rules)}
            return await handler(call)

        return answer

    def telling_then(self, handler: Handler) -> Handler:
        """``handler`` of a write, with what its answer tells about the end of the new object."""

        async def answer(call: Call) -> Answer:
            response = await handler(call)
            rules = self._rules(call.bucket)
            if rules is not None:
                response.headers.update(await self._told(call, rules))
            return response

        return answer

    def _rules(self, bucket: str) -> Kept | None:
        """The bucket's rules. Cost: one get."""
        raw = self._buckets.peek(bucket, KIND)
        return None if raw is None else _decoded(raw)

    async def _told(self, call: Call, rules: Kept) -> dict[str, str]:
        try:
            version = await self._objects.head(call.who, call.bucket, call.key)
        except NoisefsError:  # the handler tells it, or somebody was quicker
            return {}
        expiry = expiry_of(rules.rules, call.key, version, taken_us(version))
        if expiry is None:
            return {}
        return {"x-amz-expiration": f'expiry-date="{http_time(expiry.at_us)}", rule-id="{quote(expiry.rule_id)}"'}


@lru_cache(maxsize=64)
def _decoded(raw: bytes) -> Kept:
    return decode_rules(raw)
