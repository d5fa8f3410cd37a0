"""Recording the reads of the process that answers: begun, taken in turns, ended by whoever writes the trace."""

from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.core.errors import InvalidArgument
from noisefs.core.ports.workers import Lane
from noisefs.core.services.caching.recording import Turn

_KEY_BYTES: Final = 32


class Named(Parameters, frozen=True):
    """``recording``: a name that its listener chose."""

    recording: str


class Begun(Named, frozen=True):
    """``key``: of the hashes, as hex. It is forgotten at the end of the recording."""

    key: str


async def begin(target: Administered, asked: Begun) -> object:
    """Listen from now on; returns an empty turn."""
    if not target.serving:
        raise InvalidArgument("server", "none", "a running one: nobody reads anything from another")
    try:
        key = bytes.fromhex(asked.key)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise InvalidArgument("key", f"{len(asked.key)} characters", f"{_KEY_BYTES} bytes as hex")
    return _told(target.store.recordings.begin(asked.recording, key))


async def take(target: Administered, asked: Named) -> object:
    """What was read since the last turn."""
    return _told(await target.store.workers.run(Lane.DISK, target.store.recordings.take, asked.recording))


async def end(target: Administered, asked: Named) -> object:
    """Listen no more."""
    target.store.recordings.end(asked.recording)
    return {}


def _told(turn: Turn) -> dict[str, object]:
    return turn._asdict()


RECORD_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "cache.record.begin": Operation(Begun, begin),
    "cache.record.take": Operation(Named, take, often=True),
    "cache.record.end": Operation(Named, end),
}
