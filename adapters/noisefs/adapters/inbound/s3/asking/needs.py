"""The actions that a request needs leave for.

Source: S3 API Reference, *Permissions* of each operation. A list that goes along with a write needs no leave of its
own, since whoever may write may say the same with the object's own list afterwards; a ``Deny`` of it counts.
"""

from collections.abc import Mapping
from typing import Final

from noisefs.adapters.inbound.s3.asking.acl_headers import HEADERS as ACL_HEADERS
from noisefs.adapters.inbound.s3.asking.acl_headers import names_acl
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.rename_source import SOURCE, source_key_of
from noisefs.adapters.inbound.s3.target import Target, decode
from noisefs.core.domain.requests import Need

_CONFIGURATIONS: Final = {
    "accelerate": "AccelerateConfiguration",
    "acl": "BucketAcl",
    "analytics": "AnalyticsConfiguration",
    "cors": "BucketCORS",
    "encryption": "EncryptionConfiguration",
    "intelligent-tiering": "IntelligentTieringConfiguration",
    "inventory": "InventoryConfiguration",
    "lifecycle": "LifecycleConfiguration",
    "logging": "BucketLogging",
    "metrics": "MetricsConfiguration",
    "notification": "BucketNotification",
    "object-lock": "BucketObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls",
    "policy": "BucketPolicy",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "replication": "ReplicationConfiguration",
    "requestPayment": "BucketRequestPayment",
    "tagging": "BucketTagging",
    "versioning": "BucketVersioning",
    "website": "BucketWebsite",
}
"""Bucket sub-resources that are read by ``Get…``, written and mostly removed by ``Put…``."""
_REMOVED_APART: Final = frozenset({"policy", "website"})
_OF_BUCKET: Final = {
    ("HEAD", ""): "ListBucket",
    ("GET", ""): "ListBucket",
    ("DELETE", ""): "DeleteBucket",
    ("GET", "versions"): "ListBucketVersions",
    ("GET", "uploads"): "ListBucketMultipartUploads",
    ("GET", "location"): "GetBucketLocation",
    ("GET", "policyStatus"): "GetBucketPolicyStatus",
    **{("GET", sub): f"Get{name}" for sub, name in _CONFIGURATIONS.items()},
    **{("PUT", sub): f"Put{name}" for sub, name in _CONFIGURATIONS.items()},
    **{
        ("DELETE", sub): f"{'Delete' if sub in _REMOVED_APART else 'Put'}{name}"
        for sub, name in _CONFIGURATIONS.items()
    },
}
_OF_TAGS: Final = {"GET": "ListTagsForResource", "POST": "TagResource", "DELETE": "UntagResource"}
"""Calls of S3 Control."""
_OF_OBJECT: Final = {
    ("GET", ""): ("GetObject",),
    ("HEAD", ""): ("GetObject",),
    ("PUT", ""): ("PutObject",),
    ("POST", ""): ("PutObject",),
    ("DELETE", ""): ("DeleteObject",),
    ("GET", "attributes"): ("GetObject", "GetObjectAttributes"),
    ("GET", "acl"): ("GetObjectAcl",),
    ("PUT", "acl"): ("PutObjectAcl",),
    ("GET", "tagging"): ("GetObjectTagging",),
    ("PUT", "tagging"): ("PutObjectTagging",),
    ("DELETE", "tagging"): ("DeleteObjectTagging",),
    ("GET", "retention"): ("GetObjectRetention",),
    ("PUT", "retention"): ("PutObjectRetention",),
    ("GET", "legal-hold"): ("GetObjectLegalHold",),
    ("PUT", "legal-hold"): ("PutObjectLegalHold",),
    ("GET", "torrent"): ("GetObjectTorrent",),
    ("POST", "restore"): ("RestoreObject",),
    ("POST", "uploads"): ("PutObject",),
    ("PUT", "uploadId"): ("PutObject",),
    ("POST", "uploadId"): ("PutObject",),
    ("GET", "uploadId"): ("ListMultipartUploadParts",),
    ("DELETE", "uploadId"): ("AbortMultipartUpload",),
    ("PUT", "renameObject"): ("PutObject",),
}
_OF_VERSION: Final = {
    "GetObject": "GetObjectVersion",
    "DeleteObject": "DeleteObjectVersion",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "GetObjectAcl": "GetObjectVersionAcl",
    "PutObjectAcl": "PutObjectVersionAcl",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectTagging": "PutObjectVersionTagging",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObjectTorrent": "GetObjectVersionTorrent",
}
"""What an action is called when it is about a version that is named."""
_ALONG: Final = {
    "x-amz-tagging": "PutObjectTagging",
    "x-amz-object-lock-mode": "PutObjectRetention",
    "x-amz-object-lock-legal-hold": "PutObjectLegalHold",
}
"""Headers of a write, and what they do besides."""
_BYPASS: Final = "x-amz-bypass-governance-retention"
_MORE: Final = frozenset({*_ALONG, *ACL_HEADERS, _BYPASS, "x-amz-copy-source", SOURCE})
"""Headers that make a request need leave for more than one thing."""


def needs_of(method: str, target: Target, sub: str, headers: Mapping[str, str]) -> tuple[Need, ...]:
    """What a request about a bucket or an object needs leave for; empty for what nobody may do but by ownership.

    ``sub``: the sub-resource it names. Of DeleteObjects: what is asked of each key, see :func:`needs_to_delete`.
    """
    bucket, key = target.bucket, target.key
    if target.control:
        return (Need(f"s3:{_OF_TAGS[method]}", bucket),) if method in _OF_TAGS else ()
    if not key:
        action = _OF_BUCKET.get((method, sub))
        return (Need(f"s3:{action}", bucket),) if action else ()
    version_id = target.params.get("versionId") or None
    needs = [
        Need(f"s3:{_OF_VERSION.get(action, action) if version_id else action}", bucket, key, version_id)
        for action in _OF_OBJECT.get((method, sub), ())
    ]
    if version_id is None and len(needs) == 1 and _MORE.isdisjoint(headers):
        return tuple(needs)
    if method in ("PUT", "POST") and sub in ("", "uploads"):
        needs += [Need(f"s3:{action}", bucket, key) for name, action in _ALONG.items() if headers.get(name)]
        if names_acl(headers):
            needs.append(Need("s3:PutObjectAcl", bucket, key, optional=True))
    if method == "PUT" and sub in ("", "uploadId") and "x-amz-copy-source" in headers:
        needs += _of_source(headers)
    if method == "PUT" and sub == "renameObject":
        needs += _of_old_name(headers, bucket)
    if headers.get(_BYPASS, "").lower() == "true" and needs:
        needs.append(Need("s3:BypassGovernanceRetention", bucket, key, version_id))
    return tuple(needs)


def needs_to_delete(bucket: str, key: str, version_id: str | None, *, bypass: bool) -> tuple[Need, ...]:
    """What DeleteObjects needs leave for, for one of its keys. ``bypass``: set a governance retention aside."""
    action = "s3:DeleteObjectVersion" if version_id else "s3:DeleteObject"
    needs = (Need(action, bucket, key, version_id or None),)
    return (*needs, Need("s3:BypassGovernanceRetention", bucket, key, version_id or None)) if bypass else needs


def _of_old_name(headers: Mapping[str, str], bucket: str) -> list[Need]:
    """Leave to read and to remove the source of a rename. A malformed one is refused by the operation itself."""
    try:
        key = source_key_of(headers, bucket)
    except S3Error:
        return []
    return [Need(f"s3:{action}", bucket, key) for action in ("GetObject", "DeleteObject")]


def _of_source(headers: Mapping[str, str]) -> list[Need]:
    """Leave to read the source of a copy. A malformed one is refused by the operation itself."""
    path, _, version = headers["x-amz-copy-source"].partition("?versionId=")
    try:
        bucket, _, key = decode(path).removeprefix("/").partition("/")
        version_id = decode(version)
    except S3Error:
        return []
    if not bucket or not key:
        return []
    action = "s3:GetObjectVersion" if version_id else "s3:GetObject"
    return [Need(action, bucket, key, version_id or None)]
