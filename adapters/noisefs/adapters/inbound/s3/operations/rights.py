"""Bucket policy and its status, ownership controls, public access block."""

from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.body.payload import Payload
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.documents import element, flag
from noisefs.adapters.inbound.s3.xml.reading import name_of, texts_of
from noisefs.core.domain.objects.digests import Digests
from noisefs.core.domain.requests import Digested
from noisefs.core.domain.rights.ownership import Ownership
from noisefs.core.domain.rights.policy import BUCKET_POLICY_BYTES
from noisefs.core.domain.rights.public_access import PublicAccessBlock
from noisefs.core.services.namespace.rights.bucket_rights import BucketRights

_CONFIRMED: Final = "x-amz-confirm-remove-self-bucket-access"
_SWITCHES: Final = {
    "BlockPublicAcls": "block_acls",
    "IgnorePublicAcls": "ignore_acls",
    "BlockPublicPolicy": "block_policy",
    "RestrictPublicBuckets": "restrict",
}
_BODY_MOST: Final = 4 * BUCKET_POLICY_BYTES
"""A policy of more bytes is not even read; one that is a little too long is told so by its own rule."""


class RightsOperations:
    """Answers requests on buckets' rights. Task-safe."""

    def __init__(self, *, rights: BucketRights, bodies: XmlBodies) -> None:
        self._rights = rights
        self._bodies = bodies

    async def policy(self, call: Call) -> Answer:
        """The policy as it was put."""
        raw = await self._rights.policy(call.who, call.bucket)
        if raw is None:
            raise S3Error("NoSuchBucketPolicy", BucketName=call.bucket)
        return answers.whole(call.ids, 200, {"Content-Type": "application/json"}, raw)

    async def put_policy(self, call: Call) -> Answer:
        """Set the policy."""
        raw = await _body(call)
        sealed = call.headers.get(_CONFIRMED, "").lower() == "true"
        await self._rights.put_policy(call.who, call.bucket, raw, sealed=sealed)
        return answers.empty(call, 204)

    async def delete_policy(self, call: Call) -> Answer:
        """Remove the policy."""
        await self._rights.delete_policy(call.who, call.bucket)
        return answers.empty(call, 204)

    async def policy_status(self, call: Call) -> Answer:
        """Whether the bucket is public."""
        public = await self._rights.is_public(call.who, call.bucket)
        return answers.xml(call, "PolicyStatus", flag("IsPublic", value=public))

    async def ownership(self, call: Call) -> Answer:
        """The ownership rule."""
        rule = await self._rights.ownership(call.who, call.bucket)
        if rule is None:
            raise S3Error("OwnershipControlsNotFoundError", BucketName=call.bucket)
        return answers.xml(call, "OwnershipControls", f"<Rule>{element('ObjectOwnership', rule.value)}</Rule>")

    async def put_ownership(self, call: Call) -> Answer:
        """Declare the ownership rule."""
        rule = await self._bodies.read(call, "OwnershipControls", _rule_of)
        await self._rights.put_ownership(call.who, call.bucket, rule)
        return answers.empty(call)

    async def delete_ownership(self, call: Call) -> Answer:
        """Remove the ownership rule."""
        await self._rights.put_ownership(call.who, call.bucket, None)
        return answers.empty(call, 204)

    async def block(self, call: Call) -> Answer:
        """The public access block."""
        found = await self._rights.block(call.who, call.bucket)
        if found is None:
            raise S3Error("NoSuchPublicAccessBlockConfiguration", BucketName=call.bucket)
        content = "".join(flag(name, value=getattr(found, field)) for name, field in _SWITCHES.items())
        return answers.xml(call, "PublicAccessBlockConfiguration", content)

    async def put_block(self, call: Call) -> Answer:
        """Set the public access block."""
        block = await self._bodies.read(call, "PublicAccessBlockConfiguration", _block_of)
        await self._rights.put_block(call.who, call.bucket, block)
        return answers.empty(call)

    async def delete_block(self, call: Call) -> Answer:
        """Remove the public access block."""
        await self._rights.put_block(call.who, call.bucket, None)
        return answers.empty(call, 204)


async def _body(call: Call) -> bytes:
    """A body that is no XML, verified."""
    payload = Payload(call.headers, call.session, call.incoming, _BODY_MOST)
    body = b"".join([bytes(piece) async for piece in payload.pieces()])
    if payload.declared.is_any:
        digests = Digests(payload.digests)
        digests.update(body)
        payload.verify(Digested(len(body), digests.results()))
    return body


def _rule_of(root: etree._Element) -> Ownership:
    rules = [child for child in root if name_of(child) == "Rule"]
    if len(rules) != 1 or len(root) != 1:
        raise S3Error("MalformedXML")
    return ownership_named(texts_of(rules[0]).get("ObjectOwnership", "").strip(), "MalformedXML")


def ownership_named(text: str, code: str) -> Ownership:
    """The rule of this name. Raises ``S3Error`` of ``code``."""
    try:
        return Ownership(text)
    except ValueError as exc:
        raise S3Error(code) from exc


def _block_of(root: etree._Element) -> PublicAccessBlock:
    fields = {}
    for name, text in texts_of(root).items():
        value = text.strip().lower()
        if name not in _SWITCHES or value not in ("true", "false"):
            raise S3Error("MalformedXML")
        fields[_SWITCHES[name]] = value == "true"
    return PublicAccessBlock(**fields)
