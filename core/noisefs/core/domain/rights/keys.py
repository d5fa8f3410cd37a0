"""The condition keys that this server knows, and of which kind their values are.

A key that is not here is refused when a policy is put: a condition that nobody evaluates would be ignored. Source: IAM
user guide, *AWS global condition context keys*; Service Authorization Reference, *Condition keys for Amazon S3*.
"""

from enum import Enum
from typing import Final


class Kind(Enum):
    """Of which kind a key's values are, which says what they can be compared with."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    FLAG = "flag"
    ADDRESS = "address"
    ARN = "arn"


_TEXTS: Final = (
    "aws:PrincipalAccount", "aws:PrincipalServiceName", "aws:PrincipalType", "aws:Referer", "aws:RequestedRegion",
    "aws:ResourceAccount", "aws:SourceAccount", "aws:UserAgent", "aws:userid", "aws:username", "s3:authType",
    "s3:delimiter", "s3:if-match", "s3:if-none-match",
    "s3:LocationConstraint", "s3:object-lock-legal-hold", "s3:object-lock-mode", "s3:prefix", "s3:ResourceAccount",
    "s3:signatureversion", "s3:VersionId", "s3:x-amz-acl", "s3:x-amz-content-sha256", "s3:x-amz-copy-source",
    "s3:x-amz-grant-full-control", "s3:x-amz-grant-read", "s3:x-amz-grant-read-acp", "s3:x-amz-grant-write",
    "s3:x-amz-grant-write-acp", "s3:x-amz-metadata-directive", "s3:x-amz-object-ownership",
    "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-server-side-encryption-customer-algorithm", "s3:x-amz-storage-class",
    "s3:x-amz-website-redirect-location", "sts:ExternalId", "sts:RoleSessionName",
)  # fmt: skip
KINDS: Final = {
    **{name.lower(): Kind.TEXT for name in _TEXTS},
    "aws:currenttime": Kind.TIME,
    "aws:epochtime": Kind.NUMBER,
    "aws:principalarn": Kind.ARN,
    "aws:principalisawsservice": Kind.FLAG,
    "aws:securetransport": Kind.FLAG,
    "aws:sourcearn": Kind.ARN,
    "aws:sourceip": Kind.ADDRESS,
    "aws:tokenissuetime": Kind.TIME,
    "s3:max-keys": Kind.NUMBER,
    "s3:object-lock-remaining-retention-days": Kind.NUMBER,
    "s3:object-lock-retain-until-date": Kind.TIME,
    "s3:signatureage": Kind.NUMBER,
    "s3:requestobjecttagkeys": Kind.TEXT,
}
"""By key in lower case: a key's case does not count."""

EXISTING_TAG: Final = "s3:existingobjecttag/"
REQUEST_TAG: Final = "s3:requestobjecttag/"
TAG_KEYS: Final = "s3:requestobjecttagkeys"
MANY: Final = frozenset({TAG_KEYS})
"""Keys with several values: only ``ForAnyValue`` and ``ForAllValues`` say what is meant."""


def canonical(key: str) -> str:
    """A key as it is looked up: in lower case, but for a tag's own name."""
    lower = key.lower()
    for prefix in (EXISTING_TAG, REQUEST_TAG):
        if lower.startswith(prefix):
            return prefix + key[len(prefix) :]
    return lower


def kind_of(key: str) -> Kind | None:
    """The kind of a canonical key; ``None``: there is no such key."""
    if key.startswith((EXISTING_TAG, REQUEST_TAG)):
        return Kind.TEXT if key.partition("/")[2] else None
    return KINDS.get(key)
