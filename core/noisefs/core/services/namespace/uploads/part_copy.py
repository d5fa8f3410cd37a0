"""A part made from bytes that are stored already: which extents hold them, and what their digests are."""

import base64
from collections.abc import Collection
from dataclasses import dataclass

from noisefs.core.domain.objects.digests import Digests
from noisefs.core.domain.records import Extent, Version
from noisefs.core.errors import RangeNotSatisfiable
from noisefs.core.ports.index import Reading
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.reading import OpenBodies
from noisefs.core.services.namespace.objects import layouts


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes ``start`` to ``end`` (exclusive) of a version."""

    start: int
    end: int
    extents: tuple[Extent, ...]

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Known:
    """Digests of a stretch: its MD5, and base64 checksums by algorithm."""

    md5: bytes
    checksums: dict[str, str]


def stretch_of(tx: Reading, version: Version, byte_range: tuple[int, int] | None) -> Stretch:
    """The extents of a range (first and last byte, inclusive), or of all.

    Raises:
        RangeNotSatisfiable: The range is empty or not wholly inside the version.
    """
    start, end = (0, version.size) if byte_range is None else (byte_range[0], byte_range[1] + 1)
    if byte_range is not None and not 0 <= start < end <= version.size:
        raise RangeNotSatisfiable(version.size)
    found, offset = layouts.extents_within(tx, version, start, end)
    return Stretch(start, end, tuple(layouts.cut(found, offset, start, end)))


def known_digests(
    tx: Reading, version: Version, stretch: Stretch, algorithms: Collection[str], *, welcome: str
) -> Known | None:
    """The digests of a stretch where it is a whole object, or exactly one part of it, and all of them are kept.

    ``welcome``: the algorithm of a checksum that comes along if it is kept, where ``algorithms`` are none.
    """
    md5: bytes | None = None
    checksums: dict[str, str] = {}
    if version.parts_count:
        for part in layouts.parts_of(tx, version):
            if (part.offset, part.offset + part.length) == (stretch.start, stretch.end):
                md5, checksums = part.md5, part.checksums
                break
    elif stretch.size == version.size and len(version.etag) == 32:
        md5, checksums = bytes.fromhex(version.etag), version.checksums
    if md5 is None or not all(algorithm in checksums for algorithm in algorithms):
        return None
    taken = algorithms or ((welcome,) if welcome in checksums else ())
    return Known(md5, {algorithm: checksums[algorithm] for algorithm in taken})


async def compute_digests(
    bodies: OpenBodies, start: int, size: int, algorithms: Collection[str], workers: Workers
) -> Known:
    """The digests of ``size`` bytes from ``start``, read once; hashing runs in a lane."""
    digests = Digests({"MD5", *algorithms})
    async for chunk in bodies.chunks(start, start + size):
        await workers.run(Lane.CPU, digests.update, chunk)
    results = digests.results()
    return Known(results["MD5"], {algorithm: base64.b64encode(results[algorithm]).decode() for algorithm in algorithms})
