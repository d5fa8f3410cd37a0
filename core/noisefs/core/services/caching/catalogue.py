"""The list of what the disk cache's file holds: with it a restart finds everything, without it nothing."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.disk import Disk
from noisefs.core.ports.entropy import Entropy
from noisefs.core.services.caching.entry import CellKey
from noisefs.core.services.caching.listing import SealedList
from noisefs.core.services.caching.room import Piece

ROWS_A_MESSAGE: Final = 512
"""Encoded at a time: some 100 µs."""


class Record(NamedTuple):
    """Where a cell lies in the file, and what it is sealed under."""

    pieces: tuple[Piece, ...]
    length: int
    generation: int
    salt: bytes
    number: int


class _Row(msgspec.Struct, frozen=True, array_like=True):
    body_id: bytes
    segment: int
    pieces: tuple[tuple[int, int], ...]
    length: int
    generation: int
    salt: bytes
    number: int


class Catalogue:
    """The list. One thread at a time."""

    def __init__(self, disk: Disk, path: str, keys: StoreKeys, entropy: Entropy) -> None:
        """It lies at ``path``."""
        self._list = SealedList(disk, path, keys, entropy, b"catalogue")

    def save(self, listed: Sequence[tuple[CellKey, Record]]) -> int:
        """Replace it; returns its bytes. Raises as :meth:`.SealedList.save`."""
        return self._list.save(_encoded(listed))

    def load(self) -> list[tuple[CellKey, Record]]:
        """What was listed, in order; nothing where there is no list or it is damaged."""
        try:
            messages = self._list.load()
            rows = [row for message in messages or () for row in msgspec.msgpack.decode(message, type=list[_Row])]
        except (msgspec.DecodeError, NoisefsError):
            return []
        return [
            (
                (BodyId(row.body_id), row.segment),
                Record(row.pieces, row.length, row.generation, row.salt, row.number),
            )
            for row in rows
        ]


def _encoded(listed: Iterable[tuple[CellKey, Record]]) -> Iterator[bytes]:
    rows = iter(listed)
    while chunk := [_row(*one) for one in islice(rows, ROWS_A_MESSAGE)]:
        yield msgspec.msgpack.encode(chunk)


def _row(key: CellKey, record: Record) -> _Row:
    return _Row(*key, record.pieces, record.length, record.generation, record.salt, record.number)
