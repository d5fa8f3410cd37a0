"""Objects and whole prefixes under other names, in one commit."""

from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.buckets import OPERATOR
from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.core.errors import InvalidArgument


class Move(Parameters, frozen=True):
    """From where to where, each ``BUCKET/KEY`` or ``s3://BUCKET/KEY``; a prefix ends in ``/``."""

    source: str
    target: str
    overwrite: bool = False


async def move(target: Administered, asked: Move) -> object:
    """Move an object, or everything below a prefix. No data moves."""
    source_bucket, source = _place("source", asked.source)
    target_bucket, goal = _place("target", asked.target)
    replaced = await target.store.trees.move(
        OPERATOR, source_bucket, source, target_bucket, goal, overwrite=asked.overwrite
    )
    return {"source": f"{source_bucket}/{source}", "target": f"{target_bucket}/{goal}", "replaced": replaced}


def _place(field: str, text: str) -> tuple[str, str]:
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise InvalidArgument(field, text, "BUCKET/KEY, or BUCKET/PREFIX/")
    return bucket, key


MOVING_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "object.move": Operation(Move, move),
}
