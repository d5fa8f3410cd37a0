"""Where users' WebDAV paths begin."""

from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.buckets import OPERATOR
from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.core.errors import InvalidArgument
from noisefs.core.services.store import Store


class SetRoot(Parameters, frozen=True):
    """Where one user's WebDAV paths begin: a bucket, perhaps with a key behind a slash; ``None``: above all."""

    name: str
    root: str | None


async def checked_root(store: Store, root: str) -> tuple[str, str]:
    """Bucket and key of a collection, which is made if it is not there.

    Raises:
        InvalidArgument: It can be none.
        BucketNotFound: There is no such bucket.
    """
    bucket, _, prefix = root.partition("/")
    prefix = prefix.strip("/")
    if not bucket or not all(part and part not in (".", "..") for part in prefix.split("/") if prefix):
        raise InvalidArgument("root", root, "a bucket, perhaps with the path of a collection behind a slash")
    await store.buckets.get(OPERATOR, bucket)
    if prefix:
        await store.trees.make(OPERATOR, bucket, f"{prefix}/")
    return bucket, prefix


async def set_root(target: Administered, asked: SetRoot) -> object:
    """Let a user's WebDAV paths begin at a collection."""
    bucket, prefix = ("", "") if asked.root is None else await checked_root(target.store, asked.root)
    await target.store.accounts.set_root(asked.name, bucket, prefix)
    return {"user": asked.name, "root": f"{bucket}/{prefix}".rstrip("/") or None}


ROOT_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "user.root": Operation(SetRoot, set_root),
}
