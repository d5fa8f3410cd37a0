"""What a Complete makes of the parts that it names: checked, joined and digested. Arithmetic on rows, no index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from noisefs.core.domain.objects import composition
from noisefs.core.domain.objects.composition import COMPOSITE, DEFAULT, FULL_OBJECT
from noisefs.core.domain.records import Extent, Part, PartInfo, Upload, decode
from noisefs.core.domain.requests import CompletedPart
from noisefs.core.errors import (
    DigestMismatch,
    EntityTooLarge,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    PartTooSmall,
    TooMany,
)
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.objects import layouts
from noisefs.core.services.namespace.rows.uploads import number_of

Rows = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Assembly:
    """The object that the parts make.

    Attributes:
        rows: The part rows it was made from; others since then make another object.
        gained: Extents that neighbours became: one reference each to acquire, before any is released.
        unused: Extents of parts that were not named, and of neighbours that became one: one reference each to release.
    """

    rows: Rows
    size: int
    etag: str
    extents: Sequence[Extent]
    parts: Sequence[PartInfo]
    checksums: Mapping[str, str]
    checksum_type: str
    gained: Sequence[Extent]
    unused: Sequence[Extent]


def assemble(
    rows: Rows,
    upload: Upload,
    wanted: Sequence[CompletedPart],
    limits: NamespaceLimits,
    *,
    expected_size: int | None,
    declared: Mapping[str, str],
) -> Assembly:
    """Check the named parts against the uploaded ones and join them. Cost: some 10 us a part.

    Raises:
        InvalidArgument: No part is named, the size is not the expected one, or a checksum cannot be known.
        InvalidPart, InvalidPartOrder, PartTooSmall, DigestMismatch: See :meth:`.service.Uploads.complete`.
        EntityTooLarge, TooMany: The object would have too many bytes or extents.
    """
    if not wanted:
        raise InvalidArgument("parts", 0, "at least one part")
    if any(one.number >= other.number for one, other in pairwise(wanted)):
        raise InvalidPartOrder("the part numbers do not ascend")
    uploaded = {number_of(key): decode(Part, raw) for key, raw in rows}
    chosen = [_chosen(uploaded.pop(named.number, None), named) for named in wanted]
    for named, part in zip(wanted[:-1], chosen[:-1], strict=True):
        if part.size < limits.min_part_bytes:
            raise PartTooSmall(named.number, part.size, limits.min_part_bytes)
    table: list[PartInfo] = []
    size = 0
    for named, part in zip(wanted, chosen, strict=True):
        table.append(PartInfo(named.number, size, part.size, part.md5, part.checksums, part.stream))
        size += part.size
    if size > limits.max_object_bytes:
        raise EntityTooLarge(size, limits.max_object_bytes)
    if expected_size is not None and expected_size != size:
        raise InvalidArgument("object size", expected_size, f"the parts have {size} bytes together")
    checksums = _checksums(upload, table, declared)
    joined = layouts.joined(extent for part in chosen for extent in part.extents)
    if len(joined.extents) > limits.max_extents:
        raise TooMany(f"an object has at most {limits.max_extents} extents")
    left = [extent for part in uploaded.values() for extent in part.extents]
    return Assembly(
        rows=rows,
        size=size,
        etag=composition.etag_of_parts([part.md5 for part in chosen]),
        extents=joined.extents,
        parts=table,
        checksums=checksums,
        checksum_type=upload.checksum_type if upload.checksum_algorithm else _type_of(checksums),
        gained=joined.gained,
        unused=[*joined.spent, *left],
    )


def _chosen(part: Part | None, named: CompletedPart) -> Part:
    if part is None or named.etag.strip('"').lower() != part.md5.hex():
        raise InvalidPart(named.number)
    for algorithm, checksum in named.checksums.items():
        if part.checksums.get(algorithm) != checksum:
            raise InvalidPart(named.number)
    return part


def _checksums(upload: Upload, table: Sequence[PartInfo], declared: Mapping[str, str]) -> dict[str, str]:
    """The upload's own checksum, and those that the client declares; a declared one must be the computed one.

    Without any, the default one, unless a part has none: one copied from an object without.
    """
    kinds = {algorithm: _kind_declared(upload, algorithm, checksum) for algorithm, checksum in declared.items()}
    if upload.checksum_algorithm:
        kinds[upload.checksum_algorithm] = upload.checksum_type
    elif not kinds and all(DEFAULT in part.checksums for part in table):
        kinds[DEFAULT] = FULL_OBJECT
    found: dict[str, str] = {}
    for algorithm, kind in kinds.items():
        parts = [(part.checksums.get(algorithm, ""), part.length) for part in table]
        if not all(checksum for checksum, _ in parts):
            raise InvalidArgument("checksum", algorithm, "an algorithm that every part was uploaded with")
        found[algorithm] = composition.checksum_of_parts(algorithm, kind, parts)
        if algorithm in declared and not composition.same_checksum(declared[algorithm], found[algorithm]):
            raise DigestMismatch(algorithm)
    return found


def _kind_declared(upload: Upload, algorithm: str, checksum: str) -> str:
    if "-" in checksum:
        return COMPOSITE
    return composition.checksum_type_of(algorithm, upload.checksum_type if upload.checksum_algorithm else "")


def _type_of(checksums: Mapping[str, str]) -> str:
    if not checksums:
        return ""
    return COMPOSITE if any("-" in checksum for checksum in checksums.values()) else FULL_OBJECT
