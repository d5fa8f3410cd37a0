"""CopyObject and UploadPartCopy: no bytes move, unless a checksum is asked for that the source does not have."""

import base64
from collections.abc import Mapping
from typing import NamedTuple

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.body.checksums import algorithm_of
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.conditions import copy_range, read_condition, write_condition
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.headers import attributes_of
from noisefs.adapters.inbound.s3.operations.multipart import part_number_of, upload_id_of
from noisefs.adapters.inbound.s3.target import decode
from noisefs.adapters.inbound.s3.xml.documents import checksums, element, etag
from noisefs.adapters.inbound.s3.xml.text import iso_time
from noisefs.core.domain.conditions import check_source
from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import Attributes, Digested, ReadCondition, WriteCondition
from noisefs.core.services.namespace.objects import Objects
from noisefs.core.services.namespace.uploads import Uploads

_PREFIX = "x-amz-copy-source-"


class Source(NamedTuple):
    """What ``x-amz-copy-source`` names."""

    bucket: str
    key: str


class Copying:
    """Answers copies. Task-safe."""

    def __init__(self, *, objects: Objects, uploads: Uploads) -> None:
        self._objects = objects
        self._uploads = uploads

    async def copy_object(self, call: Call) -> Answer:
        """Let the key name the source's bytes; with its attributes, or with those of the request."""
        headers = call.headers
        source = source_of(headers["x-amz-copy-source"])
        replaces = _replaces(headers)
        if (source.bucket, source.key) == (call.bucket, call.key) and not replaces and not _changes(headers):
            raise S3Error(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes.",
            )
        given = attributes_of(headers)
        attributes = given if replaces else None
        condition = write_condition(headers)
        source_condition = read_condition(headers, _PREFIX)
        algorithm = algorithm_of(headers["x-amz-checksum-algorithm"]) if "x-amz-checksum-algorithm" in headers else ""
        if algorithm and algorithm not in (await self._objects.head(call.who, *source)).checksums:
            version = await self._rewrite(call, source, attributes, source_condition, condition, algorithm)
        else:
            version = await self._objects.copy(
                call.who,
                *source,
                call.bucket,
                call.key,
                attributes=attributes,
                source_condition=source_condition,
                condition=condition,
            )
        encryption = version.sse or given.sse
        answered = {"x-amz-server-side-encryption": encryption} if encryption else {}
        content = (
            f"{element('LastModified', iso_time(version.modified_us))}{etag(version.etag)}"
            f"{checksums(version.checksums, version.checksum_type)}"
        )
        return answers.xml(call, "CopyObjectResult", content, headers=answered)

    async def _rewrite(
        self,
        call: Call,
        source: Source,
        attributes: Attributes | None,
        source_condition: ReadCondition,
        condition: WriteCondition,
        algorithm: str,
    ) -> Version:
        """A copy with a checksum that is not known yet: the bytes are read and written once."""

        def verify(digested: Digested) -> Mapping[str, str]:
            return {algorithm: base64.b64encode(digested.digests[algorithm]).decode()}

        async with await self._objects.open(call.who, *source) as opened:
            check_source(source_condition, opened.version)
            return await self._objects.put(
                call.who,
                call.bucket,
                call.key,
                opened.chunks(),
                attributes or _attributes_as(opened.version),
                condition=condition,
                digests=("MD5", algorithm),
                verify=verify,
            )

    async def upload_part_copy(self, call: Call) -> Answer:
        """Make a part from an object, or from a range of it."""
        source = source_of(call.headers["x-amz-copy-source"])
        wanted = copy_range(call.headers.get("x-amz-copy-source-range"))
        part = await self._uploads.copy_part(
            call.who,
            call.bucket,
            call.key,
            upload_id_of(call),
            part_number_of(call),
            *source,
            byte_range=wanted,
            source_condition=read_condition(call.headers, _PREFIX),
        )
        content = (
            f"{element('LastModified', iso_time(part.modified_us))}{etag(part.md5.hex())}{checksums(part.checksums)}"
        )
        return answers.xml(call, "CopyPartResult", content)


def source_of(text: str) -> Source:
    """The source of a copy: ``/bucket/key`` or ``bucket/key``, percent-encoded, perhaps with ``?versionId=null``.

    Raises:
        S3Error: ``InvalidArgument``: it is malformed; ``NoSuchVersion``: it names a version other than the only one.
    """
    path, separator, version_id = text.partition("?versionId=")
    bucket, slash, key = decode(path).removeprefix("/").partition("/")
    if not bucket or not slash or not key or bucket.startswith("arn:"):
        raise invalid_argument(
            "x-amz-copy-source", text, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        )
    if separator and version_id != "null":
        raise S3Error("NoSuchVersion", Key=key, VersionId=version_id[:200])
    return Source(bucket, key)


def _replaces(headers: Mapping[str, str]) -> bool:
    directive = headers.get("x-amz-metadata-directive", "COPY")
    if directive not in ("COPY", "REPLACE"):
        raise invalid_argument("x-amz-metadata-directive", directive, "Unknown metadata directive.")
    tagging = headers.get("x-amz-tagging-directive", "COPY")
    if tagging not in ("COPY", "REPLACE"):
        raise invalid_argument("x-amz-tagging-directive", tagging, "Unknown tagging directive.")
    return directive == "REPLACE"


def _changes(headers: Mapping[str, str]) -> bool:
    return "x-amz-storage-class" in headers or "x-amz-server-side-encryption" in headers


def _attributes_as(version: Version) -> Attributes:
    return Attributes(
        content_type=version.content_type,
        headers=version.headers,
        metadata=version.metadata,
        storage_class=version.storage_class,
        sse=version.sse,
    )
