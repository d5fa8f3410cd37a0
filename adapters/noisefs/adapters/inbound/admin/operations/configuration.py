"""Operations on the configuration."""

from collections.abc import Mapping
from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation
from noisefs.adapters.inbound.admin.operations.users import NoParameters


async def _show(target: Administered, _: NoParameters) -> Mapping[str, object]:
    return target.settings


CONFIGURATION_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "config.show": Operation(NoParameters, _show),
}
