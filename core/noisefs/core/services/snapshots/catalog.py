"""Which snapshots there are, by their files' names, and which of them add up to a state of the index."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from noisefs.core.ports.files import StoredFile

_NAME: Final = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16}|full)-([0-9a-f]{16})-([0-9a-f]{32})\.snapshot")


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot file. Its name says all of this; opening it checks that the name is true.

    Attributes:
        name: The file's name.
        key_id: The set: id of the key that opens it.
        after: ``None`` for a full snapshot, else it holds what commits with higher numbers changed.
        upto: The commit whose state it adds up to.
        created_us: When it was begun.
        size_bytes: Of the file.
    """

    name: str
    key_id: bytes
    after: int | None
    upto: int
    created_us: int
    size_bytes: int


def name_of(key_id: bytes, after: int | None, upto: int, created_us: int) -> str:
    """The file's name: names sort by the commit they reach."""
    base = "full" if after is None else f"{after:016x}"
    return f"{upto:016x}-{base}-{created_us:016x}-{key_id.hex()}.snapshot"


def parse(file: StoredFile) -> SnapshotInfo | None:
    """What a file's name says; ``None`` if it is no snapshot."""
    match = _NAME.fullmatch(file.name)
    if match is None:
        return None
    upto, after, created, key_id = match.groups()
    base = None if after == "full" else int(after, 16)
    return SnapshotInfo(file.name, bytes.fromhex(key_id), base, int(upto, 16), int(created, 16), file.size_bytes)


def chains(infos: Iterable[SnapshotInfo]) -> list[list[SnapshotInfo]]:
    """Every full snapshot with the increments that follow it without a gap; the one that reaches furthest first."""
    found = sorted(infos, key=lambda info: (info.upto, info.created_us))
    made: list[list[SnapshotInfo]] = []
    for full in found:
        if full.after is not None:
            continue
        chain = [full]
        for info in found:
            if info.after == chain[-1].upto and info.key_id == full.key_id:
                chain.append(info)
        made.append(chain)
    return sorted(made, key=lambda chain: (chain[-1].upto, chain[0].created_us), reverse=True)
