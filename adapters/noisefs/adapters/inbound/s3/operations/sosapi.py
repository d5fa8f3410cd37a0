"""Veeam's Smart Object Storage API: two files that every bucket shows unless it holds some of their names itself.

They tell what the storage can do and how much space is left, by which Veeam places its backups. Source: Veeam, *SOSAPI
1.0*: key names, elements, quoted texts.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import SERVER, Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.headers import http_time
from noisefs.adapters.inbound.s3.operations.writing import KEYS_MOST
from noisefs.adapters.inbound.s3.routing import Operation
from noisefs.adapters.inbound.s3.target import Target
from noisefs.adapters.inbound.s3.xml.documents import element, flag
from noisefs.core.errors import ObjectNotFound
from noisefs.core.ports.clock import Clock
from noisefs.core.services.namespace.buckets.service import Buckets

_FOLDER: Final = ".system-d26a9498-cb7c-4a87-a44a-8ae204f5ba6c/"
SYSTEM: Final = f"{_FOLDER}system.xml"
CAPACITY: Final = f"{_FOLDER}capacity.xml"
_READS: Final = frozenset({"GetObject", "HeadObject"})
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_CAPABILITIES: Final = (
    f"{flag('CapacityInfo', value=True)}{flag('UploadSessions', value=False)}{flag('IAMSTS', value=False)}"
)
_PROTOCOL: Final = '"1.0"'
_MODEL: Final = f'"{SERVER}"'
"""Both with their quotes, as the protocol has them."""
_BLOCK_KIB: Final = 4096
"""Recommended size of a backup's blocks, which become objects: each costs a commit and rows of the index."""
_TASKS_AT_ONCE: Final = 64
"""Recommended requests under way at one time."""
_ADVICE: Final = (
    f"{element('S3ConcurrentTaskLimit', str(_TASKS_AT_ONCE))}{element('S3MultiObjectDeleteLimit', str(KEYS_MOST))}"
    f"{element('StorageCurrentTasksLimit', '0')}{element('KbBlockSize', str(_BLOCK_KIB))}"
)
_SYSTEM_XML: Final = (
    f"{_DECLARATION}<SystemInfo>{element('ProtocolVersion', _PROTOCOL)}{element('ModelName', _MODEL)}"
    f"<ProtocolCapabilities>{_CAPABILITIES}</ProtocolCapabilities>"
    f"<SystemRecommendations>{_ADVICE}</SystemRecommendations></SystemInfo>"
).encode()


class Sosapi:
    """Answers reads of the two files. Task-safe."""

    def __init__(self, *, buckets: Buckets, clock: Clock, free_bytes: Callable[[], int], enabled: bool) -> None:
        """``free_bytes``: of the disk; asked in a thread. ``enabled``: else no bucket shows them."""
        self._enabled = enabled
        self._buckets = buckets
        self._clock = clock
        self._free_bytes = free_bytes

    def beside(self, target: Target, operation: Operation) -> Operation:
        """The operation, or for reads of the two files one that answers where the bucket holds none. Cost: nothing."""
        if (
            not self._enabled
            or not target.key.startswith(_FOLDER)
            or operation.name not in _READS
            or target.key not in (SYSTEM, CAPACITY)
        ):
            return operation

        async def read(call: Call) -> Answer:
            try:
                return await operation.handler(call)
            except ObjectNotFound:
                return await self._answer(call)

        return Operation(operation.name, read)

    async def _answer(self, call: Call) -> Answer:
        body = _SYSTEM_XML if call.key == SYSTEM else await self._capacity(call)
        headers = {
            "Content-Type": "application/xml",
            "ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"',
            "Last-Modified": http_time(self._clock.now_us()),
        }
        return answers.whole(call.ids, 200, headers, body, head=call.is_head)

    async def _capacity(self, call: Call) -> bytes:
        """What the bucket takes and what it may still take: the disk's space, or less where a quota says so."""
        used = (await self._buckets.usage(call.who, call.bucket)).bytes
        free = await asyncio.to_thread(self._free_bytes)
        room = await self._buckets.room(call.who, call.bucket)
        left = max(0, free if room is None else min(free, room))
        return (
            f"{_DECLARATION}<CapacityInfo>{element('Capacity', str(used + left))}{element('Available', str(left))}"
            f"{element('Used', str(used))}</CapacityInfo>"
        ).encode()
