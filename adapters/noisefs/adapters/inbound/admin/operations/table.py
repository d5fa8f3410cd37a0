"""All operations by name."""

from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.app_passwords import APP_PASSWORD_OPERATIONS
from noisefs.adapters.inbound.admin.operations.buckets import BUCKET_OPERATIONS
from noisefs.adapters.inbound.admin.operations.caching import CACHE_OPERATIONS
from noisefs.adapters.inbound.admin.operations.configuration import CONFIGURATION_OPERATIONS
from noisefs.adapters.inbound.admin.operations.ipfs import IPFS_OPERATIONS
from noisefs.adapters.inbound.admin.operations.moving import MOVING_OPERATIONS
from noisefs.adapters.inbound.admin.operations.operation import Operation
from noisefs.adapters.inbound.admin.operations.quotas import QUOTA_OPERATIONS
from noisefs.adapters.inbound.admin.operations.recording import RECORD_OPERATIONS
from noisefs.adapters.inbound.admin.operations.roots import ROOT_OPERATIONS
from noisefs.adapters.inbound.admin.operations.sse_keys import SSE_KEY_OPERATIONS
from noisefs.adapters.inbound.admin.operations.upkeep import UPKEEP_OPERATIONS
from noisefs.adapters.inbound.admin.operations.users import USER_OPERATIONS

OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    **USER_OPERATIONS,
    **BUCKET_OPERATIONS,
    **MOVING_OPERATIONS,
    **QUOTA_OPERATIONS,
    **UPKEEP_OPERATIONS,
    **IPFS_OPERATIONS,
    **CONFIGURATION_OPERATIONS,
    **SSE_KEY_OPERATIONS,
    **ROOT_OPERATIONS,
    **APP_PASSWORD_OPERATIONS,
    **CACHE_OPERATIONS,
    **RECORD_OPERATIONS,
}
