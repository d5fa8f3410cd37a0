"""The shape of an operation: a name, checked parameters, an answer that JSON can carry."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from noisefs.core.errors import InvalidArgument
from noisefs.core.services.network.heads.shipping import SnapshotShipping
from noisefs.core.services.network.service import Network
from noisefs.core.services.snapshots.service import Snapshots
from noisefs.core.services.store import Store


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of an operation; a subclass has a field for each."""


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, slots=True)
class Administered:
    """What administration works on: a running store, its snapshots, and its nodes if it has any.

    ``serving``: background jobs run beside what is asked for. ``settings``: what it runs with, secrets hidden.
    """

    store: Store
    snapshots: Snapshots
    network: Network | None = None
    shipping: SnapshotShipping | None = None
    serving: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation(Generic[P]):
    """One thing to ask. ``run`` returns dataclasses, structs, mappings, lists, numbers and text. ``often``: it is asked
    several times a second, so logs do not tell of each.
    """

    parameters: type[P]
    run: Callable[[Administered, P], Awaitable[object]]
    often: bool = False


async def perform(
    operations: Mapping[str, Operation[Any]],  # Any: each operation has parameters of its own
    target: Administered,
    name: str,
    parameters: Mapping[str, object],
) -> object:
    """Run an operation by name and return its answer as plain values.

    Raises:
        InvalidArgument: There is no such operation, or a parameter is not allowed.
        NoisefsError: What the operation raised.
    """
    operation = operations.get(name)
    if operation is None:
        raise InvalidArgument("operation", name, f"one of {', '.join(sorted(operations))}")
    try:
        checked = msgspec.convert(parameters, operation.parameters)
    except msgspec.ValidationError as exc:
        raise InvalidArgument(f"parameters of {name}", sorted(parameters), str(exc)) from exc
    return msgspec.to_builtins(await operation.run(target, checked))
