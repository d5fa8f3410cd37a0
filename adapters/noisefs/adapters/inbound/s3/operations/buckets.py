"""Buckets: create, head, delete, and where they are."""

from collections.abc import Mapping

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of
from noisefs.adapters.inbound.s3.xml.text import NAMESPACE, XML_DECLARATION, xml_text
from noisefs.core.errors import BucketExists, TooMany
from noisefs.core.services.namespace.buckets import Buckets

CLASSIC_REGION = "us-east-1"
"""Its location constraint is empty, and creating one's own bucket again is no error there."""
_OWNERSHIP = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")


class BucketOperations:
    """Answers requests on buckets as such. Task-safe."""

    def __init__(self, *, buckets: Buckets, bodies: XmlBodies, region: str) -> None:
        self._buckets = buckets
        self._bodies = bodies
        self._region = region

    async def create(self, call: Call) -> Answer:
        """Make a bucket."""
        ownership = call.headers.get("x-amz-object-ownership", "BucketOwnerEnforced")
        if ownership != "BucketOwnerEnforced":
            if ownership in _OWNERSHIP:
                raise not_implemented(f"x-amz-object-ownership: {ownership}")
            raise invalid_argument("x-amz-object-ownership", ownership, "Invalid x-amz-object-ownership header")
        if call.incoming.remaining_bytes:
            self._check_location(await self._bodies.read(call, "CreateBucketConfiguration", _location_of))
        try:
            await self._buckets.create(call.who, call.bucket, lock=_locks(call.headers))
        except BucketExists as exc:
            if not exc.owned or self._region != CLASSIC_REGION:
                raise
        except TooMany as exc:
            raise S3Error("TooManyBuckets") from exc
        return answers.empty(call, headers={"Location": f"/{call.bucket}"})

    def _check_location(self, location: str) -> None:
        if location in ("", self._region) or (location, self._region) == ("EU", "eu-west-1"):
            return
        raise S3Error(
            "IllegalLocationConstraintException" if location.count("-") >= 2 else "InvalidLocationConstraint",
            LocationConstraint=location[:100],
        )

    async def head(self, call: Call) -> Answer:
        """Whether the bucket is there and the caller's."""
        await self._buckets.get(call.who, call.bucket)
        return answers.empty(call, headers={"x-amz-bucket-region": self._region, "Content-Type": "application/xml"})

    async def delete(self, call: Call) -> Answer:
        """Remove an empty bucket."""
        await self._buckets.delete(call.who, call.bucket)
        return answers.empty(call, 204)

    async def location(self, call: Call) -> Answer:
        """The region; nothing for the classic one, which clients rely on."""
        await self._buckets.get(call.who, call.bucket)
        region = "" if self._region == CLASSIC_REGION else xml_text(self._region)
        body = f'{XML_DECLARATION}<LocationConstraint xmlns="{NAMESPACE}">{region}</LocationConstraint>'
        return answers.whole(call.ids, 200, {"Content-Type": "application/xml"}, body.encode())


def _locks(headers: Mapping[str, str]) -> bool:
    """Whether the bucket shall have object lock."""
    text = headers.get("x-amz-bucket-object-lock-enabled", "false").lower()
    if text not in ("true", "false"):
        raise invalid_argument("x-amz-bucket-object-lock-enabled", text, "true or false")
    return text == "true"


def _location_of(root: etree._Element) -> str:
    for child in root:
        if name_of(child) in ("Location", "Bucket"):
            raise not_implemented(f"{name_of(child)} of a new bucket")
        if name_of(child) == "Tags" and len(child):
            raise not_implemented("Tags of a new bucket")
    return (text_of(root, "LocationConstraint") or "").strip()
