"""Sub-resources of buckets and objects that can only be looked at: what is not there is said truthfully.

A read tells that nothing is configured, as S3 does, and removing what is not there succeeds. Writing any of them is not
built: 501, unless it would change nothing.
"""

from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error, not_implemented
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.documents import full_control
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of
from noisefs.core.services.namespace.buckets import Buckets
from noisefs.core.services.namespace.objects import Objects

ABSENT: Final = {
    "policy": "NoSuchBucketPolicy",
    "policyStatus": "NoSuchBucketPolicy",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "website": "NoSuchWebsiteConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
}
"""Bucket sub-resources that are not configured, and how S3 says so."""

PRESENT: Final = {
    "requestPayment": ("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
    "logging": ("BucketLoggingStatus", ""),
    "notification": ("NotificationConfiguration", ""),
    "accelerate": ("AccelerateConfiguration", ""),
    "ownershipControls": (
        "OwnershipControls",
        "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>",
    ),
}
"""Bucket sub-resources with one fixed answer."""

LISTS: Final = {
    "analytics": "ListBucketAnalyticsConfigurationResult",
    "intelligent-tiering": "ListBucketIntelligentTieringConfigurationsOutput",
    "inventory": "ListInventoryConfigurationsResult",
    "metrics": "ListMetricsConfigurationsResult",
}
"""Bucket sub-resources that are lists of configurations, all of them empty."""

REMOVABLE: Final = frozenset({"policy", "lifecycle", "website", "replication", "publicAccessBlock"})
"""Bucket sub-resources that a DELETE finds gone already."""


class Settings:
    """Answers requests on sub-resources. Task-safe."""

    def __init__(self, *, buckets: Buckets, objects: Objects, bodies: XmlBodies) -> None:
        self._buckets = buckets
        self._objects = objects
        self._bodies = bodies

    async def absent(self, call: Call) -> Answer:
        """A bucket sub-resource that is not configured."""
        await self._buckets.get(call.who, call.bucket)
        name = next(name for name in ABSENT if name in call.target.params)
        raise S3Error(ABSENT[name], BucketName=call.bucket)

    async def present(self, call: Call) -> Answer:
        """A bucket sub-resource with a fixed answer."""
        await self._buckets.get(call.who, call.bucket)
        return answers.xml(call, *next(PRESENT[name] for name in PRESENT if name in call.target.params))

    async def listed(self, call: Call) -> Answer:
        """An empty list of configurations; none of them has the id that may be asked for."""
        await self._buckets.get(call.who, call.bucket)
        if "id" in call.target.params:
            raise S3Error("NoSuchConfiguration")
        root = next(LISTS[name] for name in LISTS if name in call.target.params)
        return answers.xml(call, root, "<IsTruncated>false</IsTruncated>")

    async def removed(self, call: Call) -> Answer:
        """A bucket sub-resource that is gone already."""
        await self._buckets.get(call.who, call.bucket)
        return answers.empty(call, 204)

    async def bucket_acl(self, call: Call) -> Answer:
        """The bucket's access control list."""
        bucket = await self._buckets.get(call.who, call.bucket)
        return answers.xml(call, "AccessControlPolicy", full_control(bucket.owner, call.who))

    async def object_acl(self, call: Call) -> Answer:
        """The object's access control list."""
        version = await self._objects.head(call.who, call.bucket, call.key, version_id=call.version_id())
        return answers.xml(call, "AccessControlPolicy", full_control(version.owner, call.who))

    async def put_bucket_acl(self, call: Call) -> Answer:
        """Accepted if it changes nothing."""
        bucket = await self._buckets.get(call.who, call.bucket)
        await self._check_acl(call, bucket.owner)
        return answers.empty(call)

    async def put_object_acl(self, call: Call) -> Answer:
        """Accepted if it changes nothing."""
        version = await self._objects.head(call.who, call.bucket, call.key, version_id=call.version_id())
        await self._check_acl(call, version.owner)
        return answers.empty(call)

    async def _check_acl(self, call: Call, owner: str) -> None:
        """A canned list that would change something was refused before; a written one must be the one there is."""
        if "x-amz-acl" in call.headers and not call.incoming.remaining_bytes:
            return
        grants = await self._bodies.read(call, "AccessControlPolicy", _grants_of)
        if grants != [(owner, "FULL_CONTROL")]:
            raise not_implemented("An access control list other than the owner's full control")


def _grants_of(root: etree._Element) -> list[tuple[str, str]]:
    """Who may do what, by a written access control list."""
    found = []
    for acl in root:
        if name_of(acl) == "AccessControlList":
            for grant in acl:
                grantee = next((child for child in grant if name_of(child) == "Grantee"), None)
                if grantee is None:
                    raise S3Error("MalformedXML")
                found.append((text_of(grantee, "ID") or "", text_of(grant, "Permission") or ""))
    return found
