"""How much buckets and users may hold."""

from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.buckets import OPERATOR
from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.core.domain.records import Usage


class SetQuota(Parameters, frozen=True):
    """Limits of a bucket or a user; 0: none, ``None``: as it is."""

    name: str
    bytes: int | None = None
    objects: int | None = None


async def bucket_quota(target: Administered, asked: SetQuota) -> object:
    """What a bucket holds and may hold, after a change if one is asked for."""
    quotas = target.store.quotas
    if asked.bytes is None and asked.objects is None:
        return {"bucket": asked.name, **_told(quotas.of_bucket(OPERATOR, asked.name))}
    changed = await quotas.set_bucket(OPERATOR, asked.name, max_bytes=asked.bytes, max_objects=asked.objects)
    return {"bucket": asked.name, **_told(changed)}


async def user_quota(target: Administered, asked: SetQuota) -> object:
    """The same for all buckets of a user together."""
    quotas = target.store.quotas
    if asked.bytes is None and asked.objects is None:
        return {"user": asked.name, **_told(quotas.of_user(OPERATOR, asked.name))}
    changed = await quotas.set_user(OPERATOR, asked.name, max_bytes=asked.bytes, max_objects=asked.objects)
    return {"user": asked.name, **_told(changed)}


def _told(usage: Usage) -> dict[str, object]:
    return {
        "bytes": usage.bytes,
        "quota_bytes": usage.max_bytes or None,
        "objects": usage.objects,
        "quota_objects": usage.max_objects or None,
    }


QUOTA_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "bucket.quota": Operation(SetQuota, bucket_quota),
    "user.quota": Operation(SetQuota, user_quota),
}
