"""GetObject, HeadObject, GetObjectAttributes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.conditions import byte_range, read_condition
from noisefs.adapters.inbound.s3.encryption import check_read, customer_key_of, told_of
from noisefs.adapters.inbound.s3.failure import S3Error, failure_of, invalid_argument
from noisefs.adapters.inbound.s3.headers import described, http_time, overrides_of
from noisefs.adapters.inbound.s3.xml.documents import checksums, element, flag
from noisefs.core.domain.records import PartInfo, Version
from noisefs.core.domain.requests import ReadCondition
from noisefs.core.errors import CommitConflict, NotModified
from noisefs.core.services.namespace.objects.service import Objects

_PARTS_MOST: Final = 10_000
_ATTEMPTS: Final = 4
"""How often a read of a part looks again when the object is overwritten meanwhile."""
_ATTRIBUTES: Final = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")

_Span = tuple[int, int]


class _Changed(Exception):
    """The object is not the one whose part table was read."""


class Reading:
    """Answers reads of objects. Task-safe."""

    def __init__(self, *, objects: Objects, timeout_s: float) -> None:
        """``timeout_s``: a client that takes nothing for so long is cut off."""
        self._objects = objects
        self._timeout_s = timeout_s

    async def get_object(self, call: Call) -> Answer:
        """The object's bytes, or a range or a part of them."""
        check_read(call)
        condition = read_condition(call.headers)
        number = _part_number(call)
        overrides = overrides_of(call.target.params)
        try:
            if number:
                return await self._get_part(call, condition, number, overrides)
            return await self._send(call, condition, overrides, lambda version: byte_range(call.headers, version), None)
        except NotModified as exc:
            raise _not_modified(exc) from exc

    async def _get_part(
        self, call: Call, condition: ReadCondition, number: int, overrides: Mapping[str, str]
    ) -> Answer:
        for _ in range(_ATTEMPTS):
            seen, table = await self._objects.part_table(
                call.who, call.bucket, call.key, condition=condition, version_id=call.version_id()
            )
            part = _part_of(seen, table, number)

            def span(version: Version, seen: Version = seen, part: PartInfo = part) -> _Span:
                if (version.etag, version.modified_us, version.size) != (seen.etag, seen.modified_us, seen.size):
                    raise _Changed
                return part.offset, part.offset + part.length

            try:
                return await self._send(call, condition, overrides, span, part)
            except _Changed:
                continue
        raise CommitConflict(f"object {call.key!r} changed {_ATTEMPTS} times while it was read")

    async def _send(
        self,
        call: Call,
        condition: ReadCondition,
        overrides: Mapping[str, str],
        span: Callable[[Version], _Span | None],
        part: PartInfo | None,
    ) -> Answer:
        opening = await self._objects.open(
            call.who,
            call.bucket,
            call.key,
            condition=condition,
            version_id=call.version_id(),
            wanted=(lambda version: span(version) or (0, version.size)) if part or "range" in call.headers else None,
            customer_key=customer_key_of(call),
        )
        async with opening as opened:
            version = opened.version
            status, headers = described(call.headers, version, span(version), part)
            headers |= told_of(call, version)
            headers |= overrides
            size = opened.end - opened.start
            if size == 0:
                return answers.whole(call.ids, status, headers)
            return await answers.stream(
                call, status, headers, lambda take: opened.chunks(take=take), size, self._timeout_s
            )

    async def head_object(self, call: Call) -> Answer:
        """What GetObject would say, without the bytes."""
        check_read(call)
        condition = read_condition(call.headers)
        number = _part_number(call)
        overrides = overrides_of(call.target.params)
        part: PartInfo | None = None
        customer_key = customer_key_of(call)
        try:
            if number:
                version, table = await self._objects.part_table(
                    call.who, call.bucket, call.key, condition=condition, version_id=call.version_id()
                )
                part = _part_of(version, table, number)
                span: _Span | None = (part.offset, part.offset + part.length)
            else:
                version = await self._objects.head(
                    call.who, call.bucket, call.key, condition=condition, version_id=call.version_id()
                )
                span = byte_range(call.headers, version)
        except NotModified as exc:
            raise _not_modified(exc) from exc
        self._objects.check_key(version, customer_key)
        status, headers = described(call.headers, version, span, part)
        start, end = span or (0, version.size)
        headers |= {"Content-Length": str(end - start), **told_of(call, version), **overrides}
        return answers.whole(call.ids, status, headers, head=True)

    async def get_attributes(self, call: Call) -> Answer:
        """What is asked for of: ETag, checksums, parts, storage class, size."""
        wanted = {name.strip() for name in call.headers.get("x-amz-object-attributes", "").split(",") if name.strip()}
        unknown = wanted.difference(_ATTRIBUTES)
        if unknown or not wanted:
            raise invalid_argument(
                "x-amz-object-attributes",
                ",".join(sorted(unknown)),
                f"Invalid attribute name specified. The valid names are: {', '.join(_ATTRIBUTES)}.",
            )
        most = _header_number(call, "x-amz-max-parts", 1000)
        after = _header_number(call, "x-amz-part-number-marker", 0)
        version, table = await self._objects.part_table(
            call.who, call.bucket, call.key, condition=read_condition(call.headers), version_id=call.version_id()
        )
        self._objects.check_key(version, customer_key_of(call))
        content = ""
        if "ETag" in wanted:
            content += element("ETag", version.etag)
        if "Checksum" in wanted and version.checksums:
            content += f"<Checksum>{checksums(version.checksums, version.checksum_type)}</Checksum>"
        if "ObjectParts" in wanted and version.parts_count:
            content += _object_parts(table, after, min(most, 1000))
        if "StorageClass" in wanted:
            content += element("StorageClass", version.storage_class)
        if "ObjectSize" in wanted:
            content += element("ObjectSize", str(version.size))
        headers = {"Last-Modified": http_time(version.modified_us)}
        if version.version_id:
            headers["x-amz-version-id"] = version.version_id
        return answers.xml(call, "GetObjectAttributesResponse", content, headers=headers)


def _not_modified(error: NotModified) -> S3Error:
    refused = failure_of(error)
    refused.headers["Last-Modified"] = http_time(error.modified_us)
    return refused


def _part_number(call: Call) -> int:
    """The part that is asked for; 0: none."""
    text = call.target.params.get("partNumber")
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= _PARTS_MOST):
        raise invalid_argument(
            "partNumber", text, f"Part number must be an integer between 1 and {_PARTS_MOST}, inclusive"
        )
    if "range" in call.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    return int(text)


def _part_of(version: Version, table: Sequence[PartInfo], number: int) -> PartInfo:
    """A part's place. An object that was not uploaded in parts is its own first part."""
    if not version.parts_count and number == 1:
        return PartInfo(1, 0, version.size, b"", version.checksums)
    for part in table:
        if part.number == number:
            return part
    raise S3Error("InvalidPart", PartNumberRequested=str(number), ActualPartCount=str(max(1, version.parts_count)))


def _header_number(call: Call, name: str, default: int) -> int:
    text = call.headers.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise invalid_argument(name, text, f"Argument {name} must be an integer between 0 and 2147483647")
    return int(text)


def _object_parts(table: Sequence[PartInfo], after: int, most: int) -> str:
    rest = [part for part in table if part.number > after]
    page = rest[:most]
    texts = "".join(
        f"<Part>{element('PartNumber', str(part.number))}{element('Size', str(part.length))}"
        f"{checksums(part.checksums)}</Part>"
        for part in page
        if part.checksums
    )
    return (
        f"<ObjectParts>{element('PartsCount', str(len(table)))}{element('PartNumberMarker', str(after))}"
        f"{element('NextPartNumberMarker', str(page[-1].number if page else after))}{element('MaxParts', str(most))}"
        f"{flag('IsTruncated', value=len(rest) > len(page))}{texts}</ObjectParts>"
    )
