"""Which operation a request asks for: by method, by what it is about, and by its sub-resource."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.operations.access_logs import AccessLogOperations
from noisefs.adapters.inbound.s3.operations.acls import AclOperations
from noisefs.adapters.inbound.s3.operations.buckets import BucketOperations
from noisefs.adapters.inbound.s3.operations.configurations import DefaultEncryption, RequestPayment
from noisefs.adapters.inbound.s3.operations.copying import Copying
from noisefs.adapters.inbound.s3.operations.cors import Cors
from noisefs.adapters.inbound.s3.operations.lifecycle import LifecycleOperations
from noisefs.adapters.inbound.s3.operations.listing import Listing
from noisefs.adapters.inbound.s3.operations.locking import Locking
from noisefs.adapters.inbound.s3.operations.multipart import Multipart
from noisefs.adapters.inbound.s3.operations.notifications import NotificationOperations
from noisefs.adapters.inbound.s3.operations.posting import Posting
from noisefs.adapters.inbound.s3.operations.reading import Reading
from noisefs.adapters.inbound.s3.operations.renaming import Renaming
from noisefs.adapters.inbound.s3.operations.rights import RightsOperations
from noisefs.adapters.inbound.s3.operations.settings import ABSENT, LISTS, PRESENT, REMOVABLE, Settings
from noisefs.adapters.inbound.s3.operations.tagging import TaggingOperations
from noisefs.adapters.inbound.s3.operations.versioning import VersionOperations
from noisefs.adapters.inbound.s3.operations.writing import Writing
from noisefs.adapters.inbound.s3.subresources import subresource_of
from noisefs.adapters.inbound.s3.target import Target
from noisefs.adapters.inbound.s3.website.configuration import WebsiteOperations

Handler = Callable[[Call], Awaitable[Answer]]

METHODS: Final = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
UNKNOWN: Final = "Unknown"
"""Operation label of what is refused before it is known."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One entry of the table. ``name`` is S3's, and a label of metrics."""

    name: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class Operations:
    """Everything that answers requests."""

    access_logs: AccessLogOperations
    acls: AclOperations
    buckets: BucketOperations
    payment: RequestPayment
    encryption: DefaultEncryption
    copying: Copying
    cors: Cors
    lifecycle: LifecycleOperations
    listing: Listing
    locking: Locking
    multipart: Multipart
    notifications: NotificationOperations
    posting: Posting
    reading: Reading
    renaming: Renaming
    rights: RightsOperations
    settings: Settings
    tagging: TaggingOperations
    versioning: VersionOperations
    website: WebsiteOperations
    writing: Writing


class Routes:
    """The table of operations. Immutable."""

    def __init__(self, operations: Operations) -> None:
        self._table = _table(operations)

    def find(self, method: str, target: Target, headers: Mapping[str, str]) -> Operation:
        """The operation that is asked for.

        Raises:
            S3Error: ``NotImplemented``, ``MethodNotAllowed``.
        """
        level = "object" if target.key else "bucket" if target.bucket else "service"
        sub = subresource_of(target) if target.params else ""
        if target.control:
            level, sub = "tags", ""
        if method == "PUT" and level == "object" and "x-amz-copy-source" in headers:
            sub += " copy"
        elif method == "PUT" and level == "object" and not sub and "x-amz-rename-source" in headers:
            raise not_implemented("x-amz-rename-source without renameObject")
        elif method == "GET" and level == "bucket" and not sub and "list-type" in target.params:
            sub = f"list-type={target.params['list-type']}"
        found = self._table.get((method, level, sub))
        if found is not None:
            return found
        if method not in METHODS or (level == "service" and not sub):
            raise S3Error("MethodNotAllowed", Method=method[:20], ResourceType=level.upper())
        if sub.startswith("list-type="):
            raise invalid_argument("list-type", target.params["list-type"], "Invalid List Type specified in Request")
        if not sub and level == "object" and method == "POST":
            raise S3Error("MethodNotAllowed", Method=method, ResourceType="OBJECT")
        raise not_implemented(f"{method} of {sub.strip() or f'a {level}'}")


def _table(all_: Operations) -> dict[tuple[str, str, str], Operation]:
    named: list[tuple[str, str, str, str, Handler]] = [
        ("GET", "service", "", "ListBuckets", all_.listing.list_buckets),
        ("PUT", "bucket", "", "CreateBucket", all_.buckets.create),
        ("HEAD", "bucket", "", "HeadBucket", all_.buckets.head),
        ("DELETE", "bucket", "", "DeleteBucket", all_.buckets.delete),
        ("GET", "bucket", "", "ListObjects", all_.listing.list_objects),
        ("GET", "bucket", "list-type=2", "ListObjectsV2", all_.listing.list_objects_v2),
        ("GET", "bucket", "versions", "ListObjectVersions", all_.versioning.list_versions),
        ("GET", "bucket", "versioning", "GetBucketVersioning", all_.versioning.state),
        ("PUT", "bucket", "versioning", "PutBucketVersioning", all_.versioning.configure),
        ("GET", "bucket", "object-lock", "GetObjectLockConfiguration", all_.locking.configuration),
        ("PUT", "bucket", "object-lock", "PutObjectLockConfiguration", all_.locking.configure),
        ("GET", "bucket", "uploads", "ListMultipartUploads", all_.multipart.list_uploads),
        ("GET", "bucket", "location", "GetBucketLocation", all_.buckets.location),
        ("GET", "bucket", "acl", "GetBucketAcl", all_.acls.bucket),
        ("PUT", "bucket", "acl", "PutBucketAcl", all_.acls.put_bucket),
        ("GET", "bucket", "policy", "GetBucketPolicy", all_.rights.policy),
        ("PUT", "bucket", "policy", "PutBucketPolicy", all_.rights.put_policy),
        ("DELETE", "bucket", "policy", "DeleteBucketPolicy", all_.rights.delete_policy),
        ("GET", "bucket", "policyStatus", "GetBucketPolicyStatus", all_.rights.policy_status),
        ("GET", "bucket", "ownershipControls", "GetBucketOwnershipControls", all_.rights.ownership),
        ("PUT", "bucket", "ownershipControls", "PutBucketOwnershipControls", all_.rights.put_ownership),
        ("DELETE", "bucket", "ownershipControls", "DeleteBucketOwnershipControls", all_.rights.delete_ownership),
        ("GET", "bucket", "publicAccessBlock", "GetPublicAccessBlock", all_.rights.block),
        ("PUT", "bucket", "publicAccessBlock", "PutPublicAccessBlock", all_.rights.put_block),
        ("DELETE", "bucket", "publicAccessBlock", "DeletePublicAccessBlock", all_.rights.delete_block),
        ("PUT", "bucket", "lifecycle", "PutBucketLifecycleConfiguration", all_.lifecycle.put),
        ("GET", "bucket", "lifecycle", "GetBucketLifecycleConfiguration", all_.lifecycle.get),
        ("DELETE", "bucket", "lifecycle", "DeleteBucketLifecycle", all_.lifecycle.delete),
        ("PUT", "bucket", "logging", "PutBucketLogging", all_.access_logs.put),
        ("GET", "bucket", "logging", "GetBucketLogging", all_.access_logs.get),
        ("PUT", "bucket", "cors", "PutBucketCors", all_.cors.put),
        ("GET", "bucket", "cors", "GetBucketCors", all_.cors.get),
        ("DELETE", "bucket", "cors", "DeleteBucketCors", all_.cors.delete),
        ("PUT", "bucket", "requestPayment", "PutBucketSettings", all_.payment.put),
        ("PUT", "bucket", "notification", "PutBucketNotification", all_.notifications.put),
        ("GET", "bucket", "notification", "GetBucketNotification", all_.notifications.get),
        ("PUT", "bucket", "website", "PutBucketWebsite", all_.website.put),
        ("GET", "bucket", "website", "GetBucketWebsite", all_.website.get),
        ("DELETE", "bucket", "website", "DeleteBucketWebsite", all_.website.delete),
        ("PUT", "bucket", "encryption", "PutBucketSettings", all_.encryption.put),
        ("GET", "bucket", "encryption", "GetBucketEncryption", all_.encryption.get),
        ("DELETE", "bucket", "encryption", "DeleteBucketEncryption", all_.encryption.delete),
        ("POST", "bucket", "", "PostObject", all_.posting.post_object),
        ("POST", "bucket", "delete", "DeleteObjects", all_.writing.delete_objects),
        ("GET", "object", "", "GetObject", all_.lifecycle.telling_first(all_.reading.get_object)),
        ("HEAD", "object", "", "HeadObject", all_.lifecycle.telling_first(all_.reading.head_object)),
        ("PUT", "object", "", "PutObject", all_.lifecycle.telling_then(all_.writing.put_object)),
        ("PUT", "object", "renameObject", "RenameObject", all_.renaming.rename),
        ("PUT", "object", " copy", "CopyObject", all_.lifecycle.telling_then(all_.copying.copy_object)),
        ("DELETE", "object", "", "DeleteObject", all_.writing.delete_object),
        ("GET", "object", "attributes", "GetObjectAttributes", all_.reading.get_attributes),
        ("GET", "object", "acl", "GetObjectAcl", all_.acls.object),
        ("PUT", "object", "acl", "PutObjectAcl", all_.acls.put_object),
        ("GET", "object", "tagging", "GetObjectTagging", all_.tagging.of_object),
        ("PUT", "object", "tagging", "PutObjectTagging", all_.tagging.put_object),
        ("DELETE", "object", "tagging", "DeleteObjectTagging", all_.tagging.delete_object),
        ("GET", "bucket", "tagging", "GetBucketTagging", all_.tagging.of_bucket),
        ("PUT", "bucket", "tagging", "PutBucketTagging", all_.tagging.put_bucket),
        ("DELETE", "bucket", "tagging", "DeleteBucketTagging", all_.tagging.delete_bucket),
        ("GET", "tags", "", "ListTagsForResource", all_.tagging.list_of_resource),
        ("POST", "tags", "", "TagResource", all_.tagging.tag_resource),
        ("DELETE", "tags", "", "UntagResource", all_.tagging.untag_resource),
        ("GET", "object", "retention", "GetObjectRetention", all_.locking.retention),
        ("PUT", "object", "retention", "PutObjectRetention", all_.locking.retain),
        ("GET", "object", "legal-hold", "GetObjectLegalHold", all_.locking.legal_hold),
        ("PUT", "object", "legal-hold", "PutObjectLegalHold", all_.locking.hold),
        ("POST", "object", "uploads", "CreateMultipartUpload", all_.multipart.create),
        ("PUT", "object", "uploadId", "UploadPart", all_.multipart.upload_part),
        ("PUT", "object", "uploadId copy", "UploadPartCopy", all_.copying.upload_part_copy),
        ("GET", "object", "uploadId", "ListParts", all_.multipart.list_parts),
        ("POST", "object", "uploadId", "CompleteMultipartUpload", all_.lifecycle.telling_then(all_.multipart.complete)),
        ("DELETE", "object", "uploadId", "AbortMultipartUpload", all_.multipart.abort),
    ]
    named += [("GET", "bucket", sub, "GetBucketSettings", all_.settings.absent) for sub in ABSENT]
    named += [("GET", "bucket", sub, "GetBucketSettings", all_.settings.present) for sub in PRESENT]
    named += [("GET", "bucket", sub, "GetBucketSettings", all_.settings.listed) for sub in LISTS]
    named += [("DELETE", "bucket", sub, "DeleteBucketSettings", all_.settings.removed) for sub in REMOVABLE]
    return {(method, level, sub): Operation(name, handler) for method, level, sub, name, handler in named}
