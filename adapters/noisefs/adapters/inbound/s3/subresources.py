"""Query parameters that make another operation of a request."""

from typing import Final

from noisefs.adapters.inbound.s3.failure import invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.target import Target

SUBRESOURCES: Final = frozenset(
    {
        "accelerate",
        "analytics",
        "intelligent-tiering",
        "inventory",
        "metrics",
        "replication",
        "requestPayment",
        "encryption",
        "acl",
        "ownershipControls",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "abac",
        "append",
        "attributes",
        "cors",
        "tagging",
        "delete",
        "legal-hold",
        "logging",
        "lifecycle",
        "location",
        "object-lock",
        "metadataConfiguration",
        "metadataInventoryTable",
        "metadataJournalTable",
        "metadataTable",
        "notification",
        "renameObject",
        "restore",
        "retention",
        "select",
        "session",
        "torrent",
        "uploadId",
        "uploads",
        "versioning",
        "versions",
        "website",
    }
)
"""Query parameters that make another operation of a request."""
_PARAMETERS: Final = frozenset(
    {
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "id",
        "key-marker",
        "list-type",
        "marker",
        "max-keys",
        "max-uploads",
        "max-parts",
        "part-number-marker",
        "partNumber",
        "prefix",
        "start-after",
        "upload-id-marker",
        "version-id-marker",
        "versionId",
        "x-id",
    }
)
"""Query parameters that may come without a value and are no sub-resource."""


def subresource_of(target: Target) -> str:
    """The sub-resource a query names; empty for none.

    Raises:
        S3Error: ``InvalidArgument``: it names several; ``NotImplemented``: one that S3 does not know.
    """
    named = SUBRESOURCES.intersection(target.params)
    if len(named) > 1:
        names = sorted(named)
        raise invalid_argument(
            "ResourceType", ",".join(names), f"Conflicting query string parameters: {', '.join(names)}"
        )
    if named:
        return next(iter(named))
    for name in target.flags:
        if name not in _PARAMETERS:
            raise not_implemented(f"Sub-resource {name[:60]!r}")
    return ""
