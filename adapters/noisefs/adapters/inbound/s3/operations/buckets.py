"""Buckets: create, head, delete, and where they are."""

from collections.abc import Mapping

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.asking.acl_headers import acl_wish
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.operations.tagging import KIND as TAGS
from noisefs.adapters.inbound.s3.operations.tagging import kept
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of
from noisefs.adapters.inbound.s3.xml.tagging import listed_tags
from noisefs.adapters.inbound.s3.xml.text import NAMESPACE, XML_DECLARATION, xml_text
from noisefs.core.domain.buckets.tags import BUCKET_MOST
from noisefs.core.domain.rights.ownership import Ownership
from noisefs.core.errors import BucketExists, TooMany
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.rights.bucket_rights import BucketRights

CLASSIC_REGION = "us-east-1"
"""Its location constraint is empty, and creating one's own bucket again is no error there."""


class BucketOperations:
    """Answers requests on buckets as such. Task-safe."""

    def __init__(
        self, *, buckets: Buckets, rights: BucketRights, bodies: XmlBodies, region: str, ownership: Ownership
    ) -> None:
        """``ownership``: of new buckets that are made without a rule."""
        self._buckets = buckets
        self._rights = rights
        self._ownership = ownership
        self._bodies = bodies
        self._region = region

    async def create(self, call: Call) -> Answer:
        """Make a bucket."""
        rule, wish = self._ownership_of(call.headers), acl_wish(call.headers)
        config = await self._rights.initial(rule, wish, call.who.user_id)
        if call.incoming.remaining_bytes:
            location, tags = await self._bodies.read(call, "CreateBucketConfiguration", _location_and_tags_of)
            self._check_location(location)
            if tags is not None:
                config = {**config, TAGS: tags}
        try:
            await self._buckets.create(call.who, call.bucket, config=config, lock=_locks(call.headers))
        except BucketExists as exc:
            if not exc.owned or self._region != CLASSIC_REGION:
                raise
            if not await self._rights.has_acl(call.who, call.bucket, config):
                raise BucketExists(call.bucket, owned=False) from exc
        except TooMany as exc:
            raise S3Error("TooManyBuckets") from exc
        return answers.empty(call, headers={"Location": f"/{call.bucket}"})

    def _ownership_of(self, headers: Mapping[str, str]) -> Ownership | None:
        """The ownership rule of a new bucket; ``None``: none is declared, which is as good as the default."""
        text = headers.get("x-amz-object-ownership")
        if text is None:
            return None if self._ownership is Ownership.ENFORCED else self._ownership
        try:
            return Ownership(text)
        except ValueError as exc:
            raise invalid_argument("x-amz-object-ownership", text, "Invalid x-amz-object-ownership header") from exc

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


def _location_and_tags_of(root: etree._Element) -> tuple[str, bytes | None]:
    tags: dict[str, str] = {}
    for child in root:
        if name_of(child) in ("Location", "Bucket"):
            raise not_implemented(f"{name_of(child)} of a new bucket")
        if name_of(child) == "Tags":
            tags = listed_tags(child, BUCKET_MOST)
    return (text_of(root, "LocationConstraint") or "").strip(), kept(tags)
