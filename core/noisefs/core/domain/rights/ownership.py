"""To whom new objects of a bucket belong, and whether access control lists count there.

Source: S3 user guide, *Controlling ownership of objects and disabling ACLs for your bucket*.
"""

from enum import Enum
from typing import Final

from noisefs.core.domain.records import Bucket

KIND: Final = "ownership"
"""Where a bucket's configurations hold its rule. None there: never declared, the bucket's owner has everything; empty:
it was removed, and S3 falls back to ``ObjectWriter``."""


class Ownership(Enum):
    """S3's three rules."""

    ENFORCED = "BucketOwnerEnforced"
    """Everything belongs to the bucket's owner; no list counts."""
    PREFERRED = "BucketOwnerPreferred"
    """What is written with ``bucket-owner-full-control`` belongs to the bucket's owner, the rest to its writer."""
    WRITER = "ObjectWriter"


ENFORCED: Final = Ownership.ENFORCED.value.encode()
"""As it is kept."""


def ownership_of(bucket: Bucket) -> Ownership:
    """The rule that holds. Cost: a lookup."""
    kept = bucket.config.get(KIND)
    if kept is None:
        return Ownership.ENFORCED
    return Ownership(kept.decode()) if kept else Ownership.WRITER


def declared_of(bucket: Bucket) -> Ownership | None:
    """What ``GetBucketOwnershipControls`` tells; ``None``: the rule was removed."""
    return ownership_of(bucket) if bucket.config.get(KIND) != b"" else None


def is_strict(bucket: Bucket) -> bool:
    """Whether lists were switched off on purpose: then ``private`` is refused as well, which is harmless elsewhere."""
    return bucket.config.get(KIND) == ENFORCED
