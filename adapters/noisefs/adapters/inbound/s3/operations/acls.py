"""Access control lists of buckets and objects."""

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.asking.acl_headers import acl_wish
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.acls import acl_content, acl_of
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.rights.acl import NO_ACL, AclWish
from noisefs.core.services.namespace.objects.acls import ObjectAcls
from noisefs.core.services.namespace.rights.bucket_rights import BucketRights


class AclOperations:
    """Answers requests on lists. Task-safe."""

    def __init__(self, *, rights: BucketRights, acls: ObjectAcls, bodies: XmlBodies) -> None:
        self._rights = rights
        self._acls = acls
        self._bodies = bodies

    async def bucket(self, call: Call) -> Answer:
        """A bucket's list."""
        found = await self._rights.acl(call.who, call.bucket)
        return answers.xml(call, "AccessControlPolicy", acl_content(found.owner, found.acl, found.names))

    async def put_bucket(self, call: Call) -> Answer:
        """Replace a bucket's list."""
        wish, owner = await self._wish(call)
        await self._rights.put_acl(call.who, call.bucket, wish, owner)
        return answers.empty(call)

    async def object(self, call: Call) -> Answer:
        """An object's list."""
        version, acl, names = await self._acls.get(call.who, call.bucket, call.key, call.version_id())
        headers = {"x-amz-version-id": version.version_id} if version.version_id else {}
        return answers.xml(call, "AccessControlPolicy", acl_content(version.owner, acl, names), headers=headers)

    async def put_object(self, call: Call) -> Answer:
        """Replace an object's list."""
        wish, owner = await self._wish(call)
        version = await self._acls.put(call.who, call.bucket, call.key, call.version_id(), wish, owner)
        return answers.empty(call, headers={"x-amz-version-id": version.version_id} if version.version_id else {})

    async def _wish(self, call: Call) -> tuple[AclWish, UserId | None]:
        """The list that a request brings: in headers or in its body, never in both."""
        wish = acl_wish(call.headers)
        if not call.incoming.remaining_bytes:
            if wish is NO_ACL:
                raise S3Error("MissingSecurityHeader", "Your request was missing a required header: x-amz-acl")
            return wish, None
        document = await self._bodies.read(call, "AccessControlPolicy", acl_of)
        if wish is not NO_ACL:
            raise S3Error("UnexpectedContent")
        return AclWish(grants=document.grants), document.owner
