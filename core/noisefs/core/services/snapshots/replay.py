"""Reading log records back: of all files, in the order of their commits, up to what a crash cut off."""

import heapq
import re
from collections.abc import Iterator
from typing import Final

from noisefs.core.domain.files.log_file import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    LogOpener,
    Record,
    parse_frame_head,
    parse_header,
)
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.ports.files import FileStore

_NAME: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{32})\.log")


def log_name(header: bytes | memoryview, first: int) -> str:
    """Name of the log file with this header: its set, its first commit, and what makes it unique."""
    ids = parse_header(header)
    assert ids is not None, "a header that was just made"
    return f"{ids[0].hex()}-{first:016x}-{ids[1].hex()}.log"


def parse_log_name(name: str) -> bytes | None:
    """The key id in a log file's name; ``None`` if it is none."""
    match = _NAME.fullmatch(name)
    return None if match is None else bytes.fromhex(match[1])


def last_number(files: FileStore, name: str) -> int:
    """The highest commit number that a file's frames claim; 0 if there is none. Reads frame heads only."""
    highest = 0
    offset = HEADER_BYTES
    while (head := parse_frame_head(files.read(name, offset, FRAME_HEAD_BYTES))) is not None:
        highest = max(highest, head.last)
        offset += FRAME_HEAD_BYTES + head.size_bytes
    return highest


def highest_number(files: FileStore) -> int:
    """The highest commit number that any log file claims."""
    return max((last_number(files, file.name) for file in files.list() if parse_log_name(file.name)), default=0)


def records(files: FileStore, store_id: StoreId, keys: dict[bytes, SnapshotKey], after: int) -> Iterator[Record]:
    """Records of commits with higher numbers, ascending, gaps and repetitions included.

    A file that has no key any more, or ends in the middle of a frame, gives what can be opened.

    Raises:
        NewerFormat: A later version of this program wrote one of the files.
    """
    names = [file.name for file in files.list() if parse_log_name(file.name) in keys]
    streams = [_records_of(files, name, store_id, keys, after) for name in names]
    return heapq.merge(*streams, key=lambda record: record.sequence)


def _records_of(
    files: FileStore, name: str, store_id: StoreId, keys: dict[bytes, SnapshotKey], after: int
) -> Iterator[Record]:
    header = files.read(name, 0, HEADER_BYTES)
    ids = parse_header(header)
    if ids is None or ids[0] not in keys:
        return
    opener = LogOpener(store_id, header, keys[ids[0]])
    offset = HEADER_BYTES
    while True:
        raw = files.read(name, offset, FRAME_HEAD_BYTES)
        head = parse_frame_head(raw)
        if head is None:
            return
        offset += FRAME_HEAD_BYTES
        if head.last > after:
            found = opener.open(raw, files.read(name, offset, head.size_bytes))
            if found is None:
                return
            yield from (record for record in found if record.sequence > after)
        offset += head.size_bytes
