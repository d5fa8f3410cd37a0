"""Buckets, on behalf of whoever owns them."""

from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.adapters.inbound.admin.operations.users import OfUser, timestamp
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Bucket, Versioning
from noisefs.core.domain.requests import Principal

OPERATOR: Final = Principal(UserId(""), "operator", admin=True, trusted=True)
"""Whoever may open the data folder may do everything."""


class CreateBucket(Parameters, frozen=True):
    """A new bucket, its owner, and its class: by default that of new buckets."""

    name: str
    owner: str
    durability: str | None = None


class SetBucket(Parameters, frozen=True):
    """A bucket's new class."""

    name: str
    durability: str


class BucketName(Parameters, frozen=True):
    """One bucket."""

    name: str


async def list_buckets(target: Administered, asked: OfUser) -> object:
    """Buckets (of one user) with what they hold, older versions included."""
    who = OPERATOR if asked.user is None else await target.store.accounts.principal_of_name(asked.user)
    names = {user_id: user.name for user_id, user in await target.store.accounts.list_users()}
    found = []
    for name, bucket in await target.store.buckets.list(OPERATOR):
        if asked.user is not None and bucket.owner != who.user_id:
            continue
        usage = await target.store.buckets.usage(OPERATOR, name)
        found.append(
            {
                "bucket": name,
                "owner": names.get(bucket.owner, bucket.owner),
                "durability": bucket.durability,
                "versioning": _versioning(bucket),
                "objects": usage.objects,
                "bytes": usage.bytes,
                "created": timestamp(bucket.created_us),
            }
        )
    return found


def _versioning(bucket: Bucket) -> str:
    """Whether it keeps versions, and may lock them."""
    state = {Versioning.NEVER: "off", Versioning.ENABLED: "on", Versioning.SUSPENDED: "suspended"}
    return "on, locked" if bucket.lock is not None else state[Versioning(bucket.versioning)]


async def create_bucket(target: Administered, asked: CreateBucket) -> object:
    """Make a bucket for a user."""
    owner = await target.store.accounts.principal_of_name(asked.owner)
    made = await target.store.buckets.create(owner, asked.name, durability=asked.durability)
    return {"bucket": asked.name, "owner": owner.name, "durability": made.durability}


async def set_bucket(target: Administered, asked: SetBucket) -> object:
    """Change a bucket's class."""
    await target.store.buckets.set_durability(OPERATOR, asked.name, asked.durability)
    return {"bucket": asked.name, "durability": asked.durability}


async def delete_bucket(target: Administered, asked: BucketName) -> object:
    """Remove an empty bucket."""
    await target.store.buckets.delete(OPERATOR, asked.name)
    return {"bucket": asked.name, "deleted": True}


BUCKET_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "bucket.list": Operation(OfUser, list_buckets),
    "bucket.create": Operation(CreateBucket, create_bucket),
    "bucket.set": Operation(SetBucket, set_bucket),
    "bucket.delete": Operation(BucketName, delete_bucket),
}
