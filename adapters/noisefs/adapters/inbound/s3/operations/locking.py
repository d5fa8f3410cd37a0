"""Object lock: a bucket's configuration, a version's retention and legal hold."""

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.object_lock import bypasses, hold_of, retention_of, rule_of, rule_text
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.documents import element
from noisefs.adapters.inbound.s3.xml.text import iso_millis
from noisefs.core.domain.records import Version
from noisefs.core.errors import LockNotConfigured
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.versions.versioning import Versions


class Locking:
    """Answers requests about locks. Task-safe."""

    def __init__(self, *, buckets: Buckets, objects: Objects, versions: Versions, bodies: XmlBodies) -> None:
        self._buckets = buckets
        self._objects = objects
        self._versions = versions
        self._bodies = bodies

    async def configuration(self, call: Call) -> Answer:
        """The bucket's object lock and its rule for new versions."""
        bucket = await self._buckets.get(call.who, call.bucket)
        if bucket.lock is None:
            raise S3Error("ObjectLockConfigurationNotFoundError", BucketName=call.bucket)
        return answers.xml(call, "ObjectLockConfiguration", rule_text(bucket.lock))

    async def configure(self, call: Call) -> Answer:
        """Give the bucket object lock, or another rule."""
        rule = await self._bodies.read(call, "ObjectLockConfiguration", rule_of)
        await self._versions.set_lock(call.who, call.bucket, rule)
        return answers.empty(call)

    async def retention(self, call: Call) -> Answer:
        """Until when a version is retained."""
        version = await self._lockable(call)
        if not version.retention:
            raise S3Error("NoSuchObjectLockConfiguration", Key=call.key)
        content = element("Mode", version.retention) + element("RetainUntilDate", iso_millis(version.retain_until_us))
        return answers.xml(call, "Retention", content)

    async def retain(self, call: Call) -> Answer:
        """Retain a version."""
        mode, until_us = await self._bodies.read(call, "Retention", retention_of)
        await self._versions.retain(
            call.who,
            call.bucket,
            call.key,
            mode,
            until_us,
            version_id=call.version_id(),
            bypass=bypasses(call.headers),
        )
        return answers.empty(call)

    async def legal_hold(self, call: Call) -> Answer:
        """Whether a legal hold is on a version."""
        version = await self._lockable(call)
        if not version.legal_hold:
            raise S3Error("NoSuchObjectLockConfiguration", Key=call.key)
        return answers.xml(call, "LegalHold", element("Status", version.legal_hold))

    async def hold(self, call: Call) -> Answer:
        """Set the legal hold of a version."""
        status = await self._bodies.read(call, "LegalHold", hold_of)
        await self._versions.hold(call.who, call.bucket, call.key, status, version_id=call.version_id())
        return answers.empty(call)

    async def _lockable(self, call: Call) -> Version:
        if (await self._buckets.get(call.who, call.bucket)).lock is None:
            raise LockNotConfigured
        return await self._objects.head(call.who, call.bucket, call.key, version_id=call.version_id())
