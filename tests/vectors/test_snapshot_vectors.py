"""Snapshot and log files of every released format are still read, and today's code writes the same bytes.

The JSON file is never edited, only added to. Bytes of a compressed frame depend on zlib's version, so that frames
are written again uncompressed only.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from noisefs.core.domain.files import log_file, snapshot_file
from noisefs.core.domain.files.log_file import LogOpener, LogSealer, Record
from noisefs.core.domain.files.snapshot_file import Closing, Frame, Opening, Rows, SnapshotOpener, SnapshotSealer
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.sealing.keyring import SnapshotKey

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "snapshots.json").read_text())  # Any: JSON
STORE = StoreId(bytes.fromhex(VECTORS["store_id"]))
KEY = SnapshotKey(bytes.fromhex(VECTORS["key_id"]), bytes.fromhex(VECTORS["key"]), 0)
FILE_ID = bytes.fromhex(VECTORS["file_id"])

FRAMES: list[Frame] = [
    Opening(300, 1_700_000_000_000_000),
    Rows("objects", [(b"\0\0\0\0\0\0\0\1name", b"a row " * 40), (b"\0\0\0\0\0\0\0\1gone", None)]),
    Rows("inline", [(bytes(16), bytes(range(64)))]),
    Closing(345, 3),
]
RECORDS = [
    Record(346, [("objects", [(b"name", b"row"), (b"other", None)]), ("bodies", [(bytes(16), b"key")])]),
    Record(347, [("meta", [(b"a", b"")])]),
]


@pytest.mark.parametrize("name", ["format 1", "format 1, compressed"])
def test_a_snapshot_file(name: str) -> None:
    raw = bytes.fromhex(VECTORS[name])
    header, at = raw[: snapshot_file.HEADER_BYTES], snapshot_file.HEADER_BYTES
    assert snapshot_file.parse_header("x", header) == (KEY.key_id, FILE_ID)
    opener = SnapshotOpener("x", STORE, header, KEY)
    found: list[Frame] = []
    last = False
    while not last:
        size, last = opener.length(raw[at : at + snapshot_file.LENGTH_BYTES])
        at += snapshot_file.LENGTH_BYTES
        found.append(opener.open(raw[at : at + size]))
        at += size
    assert at == len(raw)
    assert found == FRAMES


def test_a_snapshot_file_is_written_the_same() -> None:
    sealer = SnapshotSealer(STORE, KEY, FILE_ID)
    written = sealer.header + b"".join(sealer.seal(frame, compress=False) for frame in FRAMES)
    assert written.hex() == VECTORS["format 1"]


def test_a_log_file() -> None:
    raw = bytes.fromhex(VECTORS["log, format 1"])
    header = raw[: log_file.HEADER_BYTES]
    assert log_file.parse_header(header) == (KEY.key_id, FILE_ID)
    start = log_file.HEADER_BYTES + log_file.FRAME_HEAD_BYTES
    assert LogOpener(STORE, header, KEY).open(raw[log_file.HEADER_BYTES : start], raw[start:]) == RECORDS
    sealer = LogSealer(STORE, KEY, FILE_ID)
    for record in RECORDS:
        sealer.add(record)
    assert bytes(sealer.header) + bytes(sealer.seal()) == raw
