"""Keys with names that objects can be sealed with inside."""

from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.adapters.inbound.admin.operations.users import NoParameters, timestamp


class SseKey(Parameters, frozen=True):
    """One key."""

    name: str


async def add_sse_key(target: Administered, asked: SseKey) -> object:
    """Make a key."""
    await target.store.named_keys.add(asked.name)
    return {"sse_key": asked.name}


async def list_sse_keys(target: Administered, _: NoParameters) -> object:
    """All keys, without what they are."""
    return [{"sse_key": name, "created": timestamp(made_us)} for name, made_us in await target.store.named_keys.list()]


SSE_KEY_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "sse-key.add": Operation(SseKey, add_sse_key),
    "sse-key.list": Operation(NoParameters, list_sse_keys),
}
