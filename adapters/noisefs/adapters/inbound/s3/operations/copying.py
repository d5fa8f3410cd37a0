"""CopyObject and UploadPartCopy: no bytes move, unless their inner seal changes."""

import asyncio
import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.asking.acl_headers import acl_wish
from noisefs.adapters.inbound.s3.body.checksums import algorithm_of
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.conditions import copy_range, read_condition, write_condition
from noisefs.adapters.inbound.s3.encryption import SOURCE, Encryptions, Wanted, customer_key_of, told_of
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.headers import REDIRECT, attributes_of, redirect_of
from noisefs.adapters.inbound.s3.object_lock import wish_of
from noisefs.adapters.inbound.s3.operations.multipart import part_number_of, upload_id_of
from noisefs.adapters.inbound.s3.target import decode
from noisefs.adapters.inbound.s3.xml.documents import checksums, element, etag
from noisefs.adapters.inbound.s3.xml.text import iso_time
from noisefs.core.domain.objects.composition import DEFAULT
from noisefs.core.domain.objects.conditions import check_source
from noisefs.core.domain.objects.digests import Digests
from noisefs.core.domain.records import Part, Version
from noisefs.core.domain.requests import Attributes, Digested, ReadCondition, WriteCondition
from noisefs.core.errors import DeleteMarkerNamed, ObjectDeleted, RangeNotSatisfiable
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.uploads.service import Uploads

_PREFIX = "x-amz-copy-source-"
_COPIED = "x-amz-copy-source-version-id"


class Source(NamedTuple):
    """What ``x-amz-copy-source`` names. ``version_id``: ``None`` for the current version."""

    bucket: str
    key: str
    version_id: str | None


class Copying:
    """Answers copies. Task-safe."""

    def __init__(self, *, objects: Objects, uploads: Uploads, encryptions: Encryptions) -> None:
        self._encryptions = encryptions
        self._objects = objects
        self._uploads = uploads

    async def copy_object(self, call: Call) -> Answer:
        """Let the key name the source's bytes; with its attributes, or with those of the request."""
        headers = call.headers
        source = source_of(headers["x-amz-copy-source"])
        replaces = _replaces(headers)
        if source == (call.bucket, call.key, None) and not replaces and not _changes(headers):
            raise S3Error(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes.",
            )
        wanted = await self._encryptions.wanted(call)
        given = replace(attributes_of(headers), sse=wanted.sse)
        attributes = given if replaces else None
        tags = given.tags if headers.get("x-amz-tagging-directive") == "REPLACE" else None
        condition = write_condition(headers)
        source_condition = read_condition(headers, _PREFIX)
        algorithm = algorithm_of(headers["x-amz-checksum-algorithm"]) if "x-amz-checksum-algorithm" in headers else ""
        with _source_answers():
            seen = await self._objects.head(call.who, source.bucket, source.key, version_id=source.version_id)
            self._objects.check_key(seen, customer_key_of(call, SOURCE))
            if seen.inner is not None or wanted.outer is not None:
                version, copied = await self._rewrite(
                    call, source, attributes, tags, source_condition, condition, algorithm, wanted
                )
            else:
                version, copied = await self._objects.copy(
                    call.who,
                    source.bucket,
                    source.key,
                    call.bucket,
                    call.key,
                    attributes=attributes,
                    source_condition=source_condition,
                    condition=condition,
                    source_version=source.version_id,
                    lock=wish_of(headers),
                    acl=given.acl,
                    tags=tags,
                    sse=wanted.sse,
                    headers={REDIRECT: redirect_of(headers)},
                    digested=await self._digested(call, source, source_condition, algorithm, seen),
                )
        answered = dict(wanted.answered)
        if version.version_id:
            answered["x-amz-version-id"] = version.version_id
        if copied:
            answered[_COPIED] = copied
        content = (
            f"{element('LastModified', iso_time(version.modified_us))}{etag(version.etag)}"
            f"{checksums(version.checksums, version.checksum_type)}"
        )
        return answers.xml(call, "CopyObjectResult", content, headers=answered)

    async def _digested(
        self, call: Call, source: Source, condition: ReadCondition, algorithm: str, seen: Version
    ) -> tuple[str, Mapping[str, str]] | None:
        """A checksum of the source that is asked for and not known: its bytes are read once, and none are written."""
        if not algorithm or algorithm in seen.checksums:
            return None
        digests = Digests((algorithm,))
        opening = await self._objects.open(call.who, source.bucket, source.key, version_id=source.version_id)
        async with opening as opened:
            check_source(condition, opened.version)
            async for chunk in opened.chunks():
                await asyncio.to_thread(digests.update, chunk)
            return opened.version.etag, {algorithm: base64.b64encode(digests.results()[algorithm]).decode()}

    async def _rewrite(
        self,
        call: Call,
        source: Source,
        attributes: Attributes | None,
        tags: Mapping[str, str] | None,
        source_condition: ReadCondition,
        condition: WriteCondition,
        algorithm: str,
        wanted: Wanted,
    ) -> tuple[Version, str]:
        """A copy with another inner seal: the bytes are read and written once."""
        computed = algorithm or DEFAULT

        def verify(digested: Digested) -> Mapping[str, str]:
            return {computed: base64.b64encode(digested.digests[computed]).decode()}

        opening = await self._objects.open(
            call.who,
            source.bucket,
            source.key,
            version_id=source.version_id,
            customer_key=customer_key_of(call, SOURCE),
        )
        async with opening as opened:
            version = opened.version
            check_source(source_condition, version)
            written = await self._objects.put(
                call.who,
                call.bucket,
                call.key,
                opened.chunks(),
                replace(
                    attributes or _attributes_as(version, redirect_of(call.headers)),
                    tags=version.tags if tags is None else tags,
                    sse=wanted.sse,
                    acl=acl_wish(call.headers),
                ),
                condition=condition,
                digests=("MD5", computed),
                verify=verify,
                lock=wish_of(call.headers),
                outer=wanted.outer,
            )
            return written, version.version_id

    async def upload_part_copy(self, call: Call) -> Answer:
        """Make a part from an object, or from a range of it."""
        source = source_of(call.headers["x-amz-copy-source"])
        wanted = copy_range(call.headers.get("x-amz-copy-source-range"))
        upload = await self._uploads.get(call.who, call.bucket, call.key, upload_id_of(call))
        with _source_answers():
            version = await self._objects.head(call.who, source.bucket, source.key, version_id=source.version_id)
            if version.inner is not None or upload.template.inner is not None:
                part, copied = await self._seal_part(call, source, wanted)
            else:
                self._objects.check_key(version, customer_key_of(call, SOURCE))
                part, copied = await self._uploads.copy_part(
                    call.who,
                    call.bucket,
                    call.key,
                    upload_id_of(call),
                    part_number_of(call),
                    source.bucket,
                    source.key,
                    byte_range=wanted,
                    source_condition=read_condition(call.headers, _PREFIX),
                    source_version=source.version_id,
                )
        answered = told_of(call, upload.template) | ({_COPIED: copied} if copied else {})
        content = (
            f"{element('LastModified', iso_time(part.modified_us))}{etag(part.md5.hex())}{checksums(part.checksums)}"
        )
        return answers.xml(call, "CopyPartResult", content, headers=answered)

    async def _seal_part(self, call: Call, source: Source, wanted: tuple[int, int] | None) -> tuple[Part, str]:
        """A part of bytes that are sealed twice, or shall be: they are read and written once."""
        condition = read_condition(call.headers, _PREFIX)

        def span(version: Version) -> tuple[int, int]:
            check_source(condition, version)
            if wanted is None:
                return 0, version.size
            if not 0 <= wanted[0] <= wanted[1] < version.size:
                raise RangeNotSatisfiable(version.size)
            return wanted[0], wanted[1] + 1

        opening = await self._objects.open(
            call.who,
            source.bucket,
            source.key,
            version_id=source.version_id,
            wanted=span,
            customer_key=customer_key_of(call, SOURCE),
        )
        async with opening as opened:
            part = await self._uploads.put_part(
                call.who,
                call.bucket,
                call.key,
                upload_id_of(call),
                part_number_of(call),
                opened.chunks(),
                customer_key=customer_key_of(call),
            )
            return part, opened.version.version_id


@contextmanager
def _source_answers() -> Iterator[None]:
    """S3 says something else of a source than of an object that is read."""
    try:
        yield
    except DeleteMarkerNamed as exc:
        raise S3Error(
            "InvalidRequest",
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        ) from exc
    except ObjectDeleted as exc:
        raise S3Error("NoSuchKey", Key=exc.key) from exc


def source_of(text: str) -> Source:
    """The source of a copy: ``/bucket/key`` or ``bucket/key``, percent-encoded, perhaps with ``?versionId=...``.

    Raises:
        S3Error: ``InvalidArgument``: it is malformed.
    """
    path, separator, version_id = text.partition("?versionId=")
    bucket, slash, key = decode(path).removeprefix("/").partition("/")
    if not bucket or not slash or not key or bucket.startswith("arn:"):
        raise invalid_argument(
            "x-amz-copy-source", text, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        )
    if separator and not version_id:
        raise invalid_argument("x-amz-copy-source", text, "Version id cannot be the empty string")
    return Source(bucket, key, decode(version_id) if separator else None)


def _replaces(headers: Mapping[str, str]) -> bool:
    directive = headers.get("x-amz-metadata-directive", "COPY")
    if directive not in ("COPY", "REPLACE"):
        raise invalid_argument("x-amz-metadata-directive", directive, "Unknown metadata directive.")
    tagging = headers.get("x-amz-tagging-directive", "COPY")
    if tagging not in ("COPY", "REPLACE"):
        raise invalid_argument("x-amz-tagging-directive", tagging, "Unknown tagging directive.")
    return directive == "REPLACE"


def _changes(headers: Mapping[str, str]) -> bool:
    return (
        "x-amz-storage-class" in headers
        or "x-amz-server-side-encryption" in headers
        or REDIRECT in headers
        or headers.get("x-amz-tagging-directive") == "REPLACE"
    )


def _attributes_as(version: Version, redirect: str) -> Attributes:
    """The attributes of a source, but for where its page has moved to, which is never copied."""
    kept = {name: value for name, value in version.headers.items() if name != REDIRECT}
    return Attributes(
        content_type=version.content_type,
        headers={**kept, REDIRECT: redirect} if redirect else kept,
        metadata=version.metadata,
        storage_class=version.storage_class,
        sse=version.sse,
    )
