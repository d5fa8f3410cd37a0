"""The closed set of actions that policies can name, and what an entry of an access control list permits.

Source: Service Authorization Reference, *Actions, resources, and condition keys for Amazon S3*; S3 user guide, *Mapping
of ACL permissions and access policy permissions*.
"""

from typing import Final

from noisefs.core.domain.rights.patterns import Pattern

_OF_OBJECTS: Final = (
    "AbortMultipartUpload", "BypassGovernanceRetention", "DeleteObject", "DeleteObjectTagging",
    "DeleteObjectVersion", "DeleteObjectVersionTagging", "GetObject", "GetObjectAcl", "GetObjectAttributes",
    "GetObjectLegalHold", "GetObjectRetention", "GetObjectTagging", "GetObjectTorrent", "GetObjectVersion",
    "GetObjectVersionAcl", "GetObjectVersionAttributes", "GetObjectVersionForReplication",
    "GetObjectVersionTagging", "GetObjectVersionTorrent", "ListMultipartUploadParts",
    "ObjectOwnerOverrideToBucketOwner", "PutObject", "PutObjectAcl", "PutObjectLegalHold", "PutObjectRetention",
    "PutObjectTagging", "PutObjectVersionAcl", "PutObjectVersionTagging", "ReplicateDelete", "ReplicateObject",
    "ReplicateTags", "RestoreObject",
)  # fmt: skip
_OF_BUCKETS: Final = (
    "CreateBucket", "DeleteBucket", "DeleteBucketPolicy", "DeleteBucketWebsite", "GetAccelerateConfiguration",
    "GetAnalyticsConfiguration", "GetBucketAcl", "GetBucketCORS", "GetBucketLocation", "GetBucketLogging",
    "GetBucketNotification", "GetBucketObjectLockConfiguration", "GetBucketOwnershipControls", "GetBucketPolicy",
    "GetBucketPolicyStatus", "GetBucketPublicAccessBlock", "GetBucketRequestPayment", "GetBucketTagging",
    "GetBucketVersioning", "GetBucketWebsite", "GetEncryptionConfiguration", "GetIntelligentTieringConfiguration",
    "GetInventoryConfiguration", "GetLifecycleConfiguration", "GetMetricsConfiguration",
    "GetReplicationConfiguration", "ListBucket", "ListBucketMultipartUploads", "ListBucketVersions",
    "PutAccelerateConfiguration", "PutAnalyticsConfiguration", "PutBucketAcl", "PutBucketCORS", "PutBucketLogging",
    "PutBucketNotification", "PutBucketObjectLockConfiguration", "PutBucketOwnershipControls", "PutBucketPolicy",
    "PutBucketPublicAccessBlock", "PutBucketRequestPayment", "PutBucketTagging", "PutBucketVersioning",
    "PutBucketWebsite", "PutEncryptionConfiguration", "PutIntelligentTieringConfiguration",
    "PutInventoryConfiguration", "PutLifecycleConfiguration", "PutMetricsConfiguration",
    "PutReplicationConfiguration",
)  # fmt: skip
_OF_SERVICE: Final = ["GetAccountPublicAccessBlock", "ListAllMyBuckets", "PutAccountPublicAccessBlock"]
_TAGGED: Final = ["ListTagsForResource", "TagResource", "UntagResource"]
_IAM: Final = (
    "AttachRolePolicy", "AttachUserPolicy", "CreateAccessKey", "CreateRole", "CreateUser", "DeleteAccessKey",
    "DeleteRole", "DeleteRolePolicy", "DeleteUser", "DeleteUserPolicy", "DetachRolePolicy", "DetachUserPolicy",
    "GetAccountSummary", "GetRole", "GetRolePolicy", "GetUser", "GetUserPolicy", "ListAccessKeys",
    "ListAttachedRolePolicies", "ListAttachedUserPolicies", "ListGroups", "ListGroupsForUser",
    "ListInstanceProfilesForRole", "ListOpenIDConnectProviders", "ListRolePolicies", "ListRoleTags",
    "ListRoles", "ListUserPolicies", "ListUsers", "PutRolePolicy", "PutUserPolicy", "TagRole", "UntagRole",
    "UpdateAccessKey", "UpdateAssumeRolePolicy", "UpdateRole", "UpdateUser",
)  # fmt: skip
_STS: Final = ["AssumeRole", "GetCallerIdentity", "GetSessionToken"]

OBJECT_ACTIONS: Final = frozenset(f"s3:{name}" for name in _OF_OBJECTS)
BUCKET_ACTIONS: Final = frozenset(f"s3:{name}" for name in (*_OF_BUCKETS, *_TAGGED))
S3_ACTIONS: Final = OBJECT_ACTIONS | BUCKET_ACTIONS | {f"s3:{name}" for name in _OF_SERVICE}
IDENTITY_ACTIONS: Final = S3_ACTIONS | {f"iam:{name}" for name in _IAM} | {f"sts:{name}" for name in _STS}
"""What a user's policy can name; a bucket's can name those of S3."""
TRUST_ACTIONS: Final = frozenset({"sts:AssumeRole"})
"""What a role's trust policy can name."""

POLICY_ACTIONS: Final = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})
"""A bucket's owner keeps these whatever its policy says: else a mistake could never be undone."""
BY_OBJECT_ACL: Final = {
    "s3:GetObject": "READ",
    "s3:GetObjectVersion": "READ",
    "s3:GetObjectAttributes": "READ",
    "s3:GetObjectVersionAttributes": "READ",
    "s3:GetObjectAcl": "READ_ACP",
    "s3:GetObjectVersionAcl": "READ_ACP",
    "s3:PutObjectAcl": "WRITE_ACP",
    "s3:PutObjectVersionAcl": "WRITE_ACP",
}
"""What an object's own list permits, by action. Where lists count, nobody but the object's owner may do these without
one that permits it, the bucket's owner included."""
BY_BUCKET_ACL: Final = {
    "s3:ListBucket": "READ",
    "s3:ListBucketVersions": "READ",
    "s3:ListBucketMultipartUploads": "READ",
    "s3:PutObject": "WRITE",
    "s3:DeleteObject": "WRITE",
    "s3:AbortMultipartUpload": "WRITE",
    "s3:ListMultipartUploadParts": "WRITE",
    "s3:GetBucketAcl": "READ_ACP",
    "s3:PutBucketAcl": "WRITE_ACP",
}
"""What a bucket's list permits, by action."""


def expand(text: str, known: frozenset[str]) -> frozenset[str]:
    """The known actions that an ``Action`` with wildcards names, whatever its case. Empty: there is none."""
    if text == "*":
        return known
    pattern = Pattern(text.lower())
    return frozenset(action for action in known if pattern.matches(action.lower()))
