"""Multipart uploads: create, upload part, list parts, list uploads, complete, abort."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.body.checksums import ALGORITHM_BYTES, HEADERS, algorithm_of
from noisefs.adapters.inbound.s3.body.payload import Payload
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.conditions import write_condition
from noisefs.adapters.inbound.s3.encryption import Encryptions, customer_key_of, told_of
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.headers import attributes_of, checksum_headers
from noisefs.adapters.inbound.s3.object_lock import wish_of
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml import documents
from noisefs.adapters.inbound.s3.xml.documents import element, flag, optional, person
from noisefs.adapters.inbound.s3.xml.listing import Encode, common_prefixes, encoder
from noisefs.adapters.inbound.s3.xml.reading import name_of, texts_of
from noisefs.adapters.inbound.s3.xml.text import iso_time
from noisefs.core.domain.records import Upload
from noisefs.core.domain.requests import CompletedPart
from noisefs.core.errors import UploadNotFound
from noisefs.core.services.accounts import Accounts
from noisefs.core.services.namespace.uploads.service import Uploads

PARTS_MOST: Final = 10_000
_PAGE_MOST: Final = 1000
_CHECKSUM_ELEMENTS: Final = {f"Checksum{algorithm}": algorithm for algorithm in ALGORITHM_BYTES}
_TYPES: Final = ("COMPOSITE", "FULL_OBJECT")


class Multipart:
    """Answers multipart requests. Task-safe."""

    def __init__(
        self, *, accounts: Accounts, uploads: Uploads, bodies: XmlBodies, encryptions: Encryptions, max_put_bytes: int
    ) -> None:
        self._encryptions = encryptions
        self._accounts = accounts
        self._uploads = uploads
        self._bodies = bodies
        self._max_put_bytes = max_put_bytes

    async def create(self, call: Call) -> Answer:
        """Begin an upload."""
        algorithm = call.headers.get("x-amz-checksum-algorithm", "")
        kind = _type_of(call.headers)
        if algorithm:
            algorithm = algorithm_of(algorithm)
        elif kind:
            raise S3Error(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )
        if kind and not _fits(algorithm, kind):
            raise S3Error(
                "InvalidRequest",
                f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.",
            )
        wanted = await self._encryptions.wanted(call)
        upload_id = await self._uploads.create(
            call.who,
            call.bucket,
            call.key,
            replace(attributes_of(call.headers), sse=wanted.sse),
            checksum_algorithm=algorithm,
            checksum_type=kind,
            lock=wish_of(call.headers),
            outer=wanted.outer,
        )
        headers = dict(wanted.answered)
        if algorithm:
            upload = await self._uploads.get(call.who, call.bucket, call.key, upload_id)
            headers |= {
                "x-amz-checksum-algorithm": upload.checksum_algorithm,
                "x-amz-checksum-type": upload.checksum_type,
            }
        content = element("Bucket", call.bucket) + element("Key", call.key) + element("UploadId", upload_id)
        return answers.xml(call, "InitiateMultipartUploadResult", content, headers=headers)

    async def upload_part(self, call: Call) -> Answer:
        """Store one part. All checks that need no bytes come before the client is asked for them."""
        number, upload_id = part_number_of(call), upload_id_of(call)
        payload = Payload(call.headers, call.session, call.incoming, self._max_put_bytes, default="")
        algorithm = payload.declared.algorithm
        upload = await self._uploads.get(call.who, call.bucket, call.key, upload_id)
        template = upload.template
        if algorithm and upload.checksum_algorithm not in ("", algorithm):
            raise S3Error(
                "InvalidRequest",
                "Checksum Type mismatch occurred, expected checksum Type: "
                f"{upload.checksum_algorithm.lower()}, actual checksum Type: {algorithm.lower()}",
            )
        part = await self._uploads.put_part(
            call.who,
            call.bucket,
            call.key,
            upload_id,
            number,
            payload.pieces(),
            digests=payload.digests,
            verify=payload.verify,
            customer_key=customer_key_of(call),
        )
        checks = {algorithm: part.checksums[algorithm]} if algorithm else part.checksums
        headers = {"ETag": f'"{part.md5.hex()}"', **checksum_headers(checks, "")}
        return answers.empty(call, headers=headers | told_of(call, template))

    async def abort(self, call: Call) -> Answer:
        """Forget the upload and its parts."""
        await self._uploads.abort(call.who, call.bucket, call.key, upload_id_of(call))
        return answers.empty(call, 204)

    async def complete(self, call: Call) -> Answer:
        """Publish the parts as the object. Quick whatever its size: nothing is copied."""
        upload_id = upload_id_of(call)
        parts = await self._bodies.read(call, "CompleteMultipartUpload", _parts_of, of_object=True)
        await self._check_type(call, upload_id)
        size = call.headers.get("x-amz-mp-object-size")
        if size is not None and not (size.isascii() and size.isdigit() and len(size) < 19):
            raise S3Error("InvalidRequest", "Value for x-amz-mp-object-size header is invalid.")
        version = await self._uploads.complete(
            call.who,
            call.bucket,
            call.key,
            upload_id,
            parts,
            condition=write_condition(call.headers),
            expected_size=None if size is None else int(size),
            checksums=_object_checksums(call.headers),
        )
        headers = told_of(call, version)
        if version.version_id:
            headers["x-amz-version-id"] = version.version_id
        scheme = call.request.get("scheme") or call.request.scheme
        location = f"{scheme}://{call.headers.get('host', '')}/{call.bucket}/{quote(call.key, safe='/-_.~')}"
        content = (
            f"{element('Location', location)}{element('Bucket', call.bucket)}{element('Key', call.key)}"
            f"{documents.etag(version.etag)}{documents.checksums(version.checksums, version.checksum_type)}"
        )
        return answers.xml(call, "CompleteMultipartUploadResult", content, headers=headers)

    async def _check_type(self, call: Call, upload_id: str) -> None:
        """Refuse a checksum type that is not the upload's. One that was completed already has answered that."""
        kind = _type_of(call.headers)
        if not kind:
            return
        try:
            upload = await self._uploads.get(call.who, call.bucket, call.key, upload_id)
        except UploadNotFound:
            return
        if upload.checksum_type and upload.checksum_type != kind:
            raise S3Error(
                "InvalidRequest",
                f"The upload was created using the {upload.checksum_type} checksum mode. The complete request must use "
                "the same checksum mode.",
            )

    async def list_parts(self, call: Call) -> Answer:
        """The parts of an upload, by number."""
        upload_id = upload_id_of(call)
        encode = _encoder(call)
        after = call.number("part-number-marker", 0, 2**31 - 1)
        limit = call.number("max-parts", _PAGE_MOST, _PAGE_MOST)
        upload, parts, more = await self._uploads.list_parts(
            call.who, call.bucket, call.key, upload_id, after=after, limit=max(limit, 1)
        )
        page = parts[:limit]
        texts = "".join(
            [
                f"<Part>{element('PartNumber', str(number))}{element('LastModified', iso_time(part.modified_us))}"
                f"{documents.etag(part.md5.hex())}{element('Size', str(part.size))}"
                f"{documents.checksums(part.checksums)}</Part>"
                for number, part in page
            ]
        )
        content = (
            f"{element('Bucket', call.bucket)}<Key>{encode(call.key)}</Key>{element('UploadId', upload_id)}"
            f"{element('PartNumberMarker', str(after))}"
            f"{element('NextPartNumberMarker', str(page[-1][0] if page else 0))}{element('MaxParts', str(limit))}"
            f"{flag('IsTruncated', value=more and limit > 0)}{optional('EncodingType', call.param('encoding-type'))}"
            f"{texts}{self._people(upload, call)}{element('StorageClass', upload.template.storage_class)}"
            f"{optional('ChecksumAlgorithm', upload.checksum_algorithm)}"
            f"{optional('ChecksumType', upload.checksum_type)}"
        )
        return answers.xml(call, "ListPartsResult", content)

    def _people(self, upload: Upload, call: Call) -> str:
        names = self._accounts.names_of({upload.owner, upload.template.owner} - {call.who.user_id})
        return person("Initiator", upload.owner, call.who, names) + person(
            "Owner", upload.template.owner, call.who, names
        )

    async def list_uploads(self, call: Call) -> Answer:
        """The open uploads of a bucket, by key, then by age."""
        prefix, delimiter = call.param("prefix"), call.param("delimiter")
        key_marker, id_marker = call.param("key-marker"), call.param("upload-id-marker")
        encode = _encoder(call)
        limit = call.number("max-uploads", _PAGE_MOST, _PAGE_MOST)
        found, prefixes, following = await self._uploads.list(
            call.who,
            call.bucket,
            prefix=prefix,
            delimiter=delimiter,
            key_marker=key_marker,
            upload_id_marker=id_marker if key_marker else "",
            limit=limit,
        )
        texts = "".join(
            [
                f"<Upload><Key>{encode(key)}</Key>{element('UploadId', upload_id)}{self._people(upload, call)}"
                f"{element('StorageClass', upload.template.storage_class)}"
                f"{element('Initiated', iso_time(upload.created_us))}"
                f"{optional('ChecksumAlgorithm', upload.checksum_algorithm)}"
                f"{optional('ChecksumType', upload.checksum_type)}</Upload>"
                for key, upload_id, upload in found
            ]
        )
        markers = ""
        if following is not None:
            markers = (
                f"<NextKeyMarker>{encode(following[0])}</NextKeyMarker>{element('NextUploadIdMarker', following[1])}"
            )
        content = (
            f"{element('Bucket', call.bucket)}<KeyMarker>{encode(key_marker)}</KeyMarker>"
            f"{element('UploadIdMarker', id_marker)}{markers}<Prefix>{encode(prefix)}</Prefix>"
            f"{f'<Delimiter>{encode(delimiter)}</Delimiter>' if delimiter else ''}"
            f"{element('MaxUploads', str(limit))}{optional('EncodingType', call.param('encoding-type'))}"
            f"{flag('IsTruncated', value=following is not None)}{texts}{common_prefixes(prefixes, encode)}"
        )
        return answers.xml(call, "ListMultipartUploadsResult", content)


def part_number_of(call: Call) -> int:
    """The part number of a request. Raises ``S3Error``: ``InvalidArgument``."""
    text = call.param("partNumber")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= PARTS_MOST):
        raise invalid_argument(
            "partNumber", text, f"Part number must be an integer between 1 and {PARTS_MOST}, inclusive"
        )
    return int(text)


def upload_id_of(call: Call) -> str:
    """The upload id of a request; an empty one is unknown. Raises ``S3Error``: ``NoSuchUpload``."""
    text = call.param("uploadId")
    if not text:
        raise S3Error("NoSuchUpload")
    return text


def _encoder(call: Call) -> Encode:
    kind = call.param("encoding-type")
    if kind not in ("", "url"):
        raise invalid_argument("encoding-type", kind, "Invalid Encoding Method specified in Request")
    return encoder(kind)


def _type_of(headers: Mapping[str, str]) -> str:
    kind = headers.get("x-amz-checksum-type", "").upper()
    if kind and kind not in _TYPES:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    return kind


def _fits(algorithm: str, kind: str) -> bool:
    if algorithm == "CRC64NVME":
        return kind == "FULL_OBJECT"
    return algorithm.startswith("CRC") or kind == "COMPOSITE"


def _object_checksums(headers: Mapping[str, str]) -> dict[str, str]:
    """The whole object's checksum that a Complete declares."""
    return {algorithm: headers[name] for name, algorithm in HEADERS.items() if name in headers}


def _parts_of(root: etree._Element) -> list[CompletedPart]:
    """The parts that are named. Of one that is named twice in a row (it was sent again) the later entry counts."""
    parts: list[CompletedPart] = []
    for child in root:
        if name_of(child) == "Part":
            part = _part_of(child)
            if parts and parts[-1].number == part.number:
                parts.pop()
            parts.append(part)
    if not 1 <= len(parts) <= PARTS_MOST:
        raise S3Error("MalformedXML")
    return parts


def _part_of(child: etree._Element) -> CompletedPart:
    fields = texts_of(child)
    number = fields.get("PartNumber", "").strip()
    if not (number.isascii() and number.isdigit() and len(number) < 10) or "ETag" not in fields:
        raise S3Error("MalformedXML")
    checksums = {algorithm: fields[name] for name, algorithm in _CHECKSUM_ELEMENTS.items() if fields.get(name)}
    return CompletedPart(int(number), fields["ETag"].strip().strip('"'), checksums)
