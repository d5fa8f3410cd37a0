"""Sub-resources of buckets that can only be looked at: what is not there is said truthfully.

A read tells that nothing is configured, as S3 does, and removing what is not there succeeds. Writing any of them is not
built: 501.
"""

from typing import Final

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.core.services.namespace.buckets.service import Buckets

ABSENT: Final = {
    "replication": "ReplicationConfigurationNotFoundError",
}
"""Bucket sub-resources that are not configured, and how S3 says so."""

PRESENT: Final = {
    "requestPayment": ("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
    "accelerate": ("AccelerateConfiguration", ""),
}
"""Bucket sub-resources with one fixed answer."""

LISTS: Final = {
    "analytics": "ListBucketAnalyticsConfigurationResult",
    "intelligent-tiering": "ListBucketIntelligentTieringConfigurationsOutput",
    "inventory": "ListInventoryConfigurationsResult",
    "metrics": "ListMetricsConfigurationsResult",
}
"""Bucket sub-resources that are lists of configurations, all of them empty."""

REMOVABLE: Final = frozenset({"replication"})
"""Bucket sub-resources that a DELETE finds gone already."""


class Settings:
    """Answers requests on sub-resources. Task-safe."""

    def __init__(self, *, buckets: Buckets) -> None:
        self._buckets = buckets

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
