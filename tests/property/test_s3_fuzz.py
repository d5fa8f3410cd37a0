"""Laws of the S3 adapter for all inputs: framing survives any cutting, no request gets a 500, nothing is lost."""

import hashlib
import string
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from noisefs.adapters.inbound.s3 import S3Settings
from noisefs.adapters.inbound.s3.auth.signature import ChunkSigner, Scope, query_as_sent, query_encoded_anew
from noisefs.adapters.inbound.s3.body.chunks import ChunkDecoder
from noisefs.adapters.inbound.s3.conditions import byte_range, etags_of
from noisefs.adapters.inbound.s3.failure import CODES, S3Error
from noisefs.adapters.inbound.s3.headers import attributes_of, object_headers
from noisefs.adapters.inbound.s3.target import target_of
from noisefs.adapters.inbound.s3.xml.text import url_text, xml_text
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Version
from noisefs.core.errors import IncompleteBody, RangeNotSatisfiable
from tests.support.s3_raw import Wire, head_of, request, signed_head
from tests.support.s3_server import S3Server, serve

KEY = b"k" * 32
SCOPE = Scope("20260101", "us-east-1", "s3")
STAMP = "20260101T000000Z"


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The bytes in pieces of the given sizes, round and round."""
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        yield data[at : at + size]
        at += size
        number += 1


sizes_of_pieces = st.lists(st.integers(1, 3000), min_size=1, max_size=8)


@given(chunks=st.lists(st.binary(min_size=1, max_size=2000), max_size=8), sizes=sizes_of_pieces, signed=st.booleans())
def test_framed_bytes_come_out_whatever_the_pieces(chunks: list[bytes], sizes: list[int], signed: bool) -> None:
    signer = ChunkSigner(KEY, STAMP, SCOPE, "0" * 64)
    framed = b""
    for chunk in [*chunks, b""]:
        mark = f";chunk-signature={signer.chunk(hashlib.sha256(chunk).hexdigest())}" if signed else ""
        framed += f"{len(chunk):x}{mark}\r\n".encode() + chunk + b"\r\n"
    whole = b"".join(chunks)
    decoder = ChunkDecoder(len(whole), ChunkSigner(KEY, STAMP, SCOPE, "0" * 64) if signed else None, trailing=False)
    out = b"".join(bytes(view) for piece in cut(framed, sizes) for view in decoder.feed(piece))
    decoder.finish()
    assert out == whole


@given(
    data=st.binary(max_size=400),
    sizes=sizes_of_pieces,
    size=st.integers(0, 500),
    trailing=st.booleans(),
    signed=st.booleans(),
)
def test_any_bytes_are_a_body_or_refused(
    data: bytes, sizes: list[int], size: int, trailing: bool, signed: bool
) -> None:
    signer = ChunkSigner(KEY, STAMP, SCOPE, "0" * 64) if signed else None
    decoder = ChunkDecoder(size, signer, trailing=trailing)
    try:
        out = b"".join(bytes(view) for piece in cut(data, sizes) for view in decoder.feed(piece))
        decoder.finish()
    except (IncompleteBody, S3Error):
        return
    assert len(out) == size


@given(flip=st.integers(0, 2**20), bit=st.integers(0, 7))
def test_a_signed_body_with_any_bit_turned_is_refused(flip: int, bit: int) -> None:
    signer = ChunkSigner(KEY, STAMP, SCOPE, "0" * 64)
    framed = bytearray()
    for chunk in (b"first chunk", b"second", b""):
        framed += f"{len(chunk):x};chunk-signature={signer.chunk(hashlib.sha256(chunk).hexdigest())}\r\n".encode()
        framed += chunk + b"\r\n" if chunk else b""
    at = flip % len(framed)
    framed[at] ^= 1 << bit
    decoder = ChunkDecoder(17, ChunkSigner(KEY, STAMP, SCOPE, "0" * 64), trailing=False)
    try:
        out = b"".join(bytes(view) for view in decoder.feed(bytes(framed)))
        decoder.finish()
    except (IncompleteBody, S3Error):
        return
    assert out == b"first chunksecond"  # only the case of a digit, or a line's end, was turned


texts = st.text(st.characters(codec="utf-8"), max_size=40)
ascii_texts = st.text(string.printable[:95], max_size=60)


@given(text=texts)
def test_xml_carries_any_text_that_it_can(text: str) -> None:
    got = etree.fromstring(f"<a>{xml_text(text)}</a>".encode()).text or ""
    for one, other in zip(text, got, strict=True):
        assert one == other or other == "\ufffd"


@given(text=texts)
def test_url_encoding_is_undone_by_decoding(text: str) -> None:
    assert target_of(f"/b?x={url_text(text)}", "h", None).params["x"] == text
    assert url_text(text).isascii()


@given(bucket=st.text("abc.-", min_size=1, max_size=5), key=texts)
def test_an_encoded_path_names_its_key(bucket: str, key: str) -> None:
    found = target_of(f"/{bucket}/{url_text(key)}", "h", None)
    assert (found.bucket, found.key) == (bucket, key)


@given(raw=ascii_texts)
def test_any_target_is_read_or_refused(raw: str) -> None:
    codes = set()
    try:
        target_of(raw, "h", "example.org")
    except S3Error as refused:
        codes.add(refused.code)
    assert codes <= {"InvalidURI"}


@given(raw=ascii_texts)
def test_encoding_a_query_anew_changes_nothing_twice(raw: str) -> None:
    once = query_encoded_anew(raw)
    assert query_encoded_anew(once) == once
    assert query_as_sent(once) == once


@given(text=st.text("bytes=0123456789-, ", max_size=20), size=st.integers(0, 50))
def test_a_range_lies_within_the_object(text: str, size: int) -> None:
    try:
        span = byte_range({"range": text}, Version(size, "e", 0, UserId("u")))
    except RangeNotSatisfiable:
        return
    assert span is None or 0 <= span[0] < span[1] <= size


@given(text=ascii_texts)
def test_etags_never_hold_quotes(text: str) -> None:
    assert not any('"' in tag for tag in etags_of(text))


@given(values=st.dictionaries(st.sampled_from(["x-amz-meta-a", "content-type", "cache-control", "expires"]), texts))
def test_whatever_is_stored_can_be_sent(values: dict[str, str]) -> None:
    try:
        attributes = attributes_of(values)
    except S3Error:
        return
    version = Version(
        0,
        "e",
        0,
        UserId("u"),
        content_type=attributes.content_type,
        headers=dict(attributes.headers),
        metadata=dict(attributes.metadata),
    )
    for name, value in object_headers(version).items():
        assert not set(name + value) & {"\r", "\n", "\0"}


# ---------------------------------------------------------------- against a server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """One server for all examples."""
    with serve(S3Settings(max_put_bytes=100_000, max_xml_bytes=20_000, body_timeout_s=5.0)) as running:
        running.client().put_object(Bucket="bucket", Key="witness", Body=b"untouched")
        yield running


methods = st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"])
paths = st.one_of(
    st.sampled_from(["/", "/bucket", "/bucket/", "/bucket/k", "/nowhere", "/nowhere/k", "/bucket/%00", "/bucket/%ff"]),
    st.text(string.ascii_letters + string.digits + "/%.-_~!*'();:@&=+$,", max_size=30).map("/bucket/f{}".format),
)
NAMES = (
    "acl attributes cors delete delimiter encoding-type encryption fetch-owner key-marker legal-hold lifecycle "
    "list-type location renameObject retention "
    "marker max-keys max-parts max-uploads object-lock part-number-marker partNumber policy prefix restore select "
    "response-content-type start-after tagging torrent upload-id-marker uploadId uploads version-id-marker versionId "
    "versioning versions x-id continuation-token X-Amz-Algorithm X-Amz-Credential X-Amz-Date"
)
FIELDS = (
    "range if-match if-none-match if-modified-since if-unmodified-since if-range content-md5 content-type "
    "content-encoding expires x-amz-acl x-amz-checksum-crc32 x-amz-checksum-mode x-amz-checksum-sha256 x-amz-date "
    "x-amz-checksum-algorithm x-amz-checksum-type x-amz-copy-source x-amz-copy-source-range x-amz-meta-a "
    "x-amz-copy-source-if-match x-amz-metadata-directive x-amz-object-attributes x-amz-max-parts x-amz-trailer "
    "x-amz-sdk-checksum-algorithm x-amz-storage-class x-amz-tagging x-amz-server-side-encryption "
    "x-amz-expected-bucket-owner x-amz-decoded-content-length x-amz-mp-object-size x-amz-object-lock-mode "
    "x-amz-object-lock-retain-until-date x-amz-object-lock-legal-hold x-amz-bypass-governance-retention "
    "x-amz-bucket-object-lock-enabled x-amz-if-match-size x-amz-if-match-last-modified-time x-amz-client-token"
)
VALUES = (
    "* bytes=0-1 0 -1 AES256 CRC32 /bucket/witness REPLACE ENABLED AAAAAA== GOVERNANCE COMPLIANCE ON true "
    "2140-01-01T00:00:00Z 99999-01-01T00:00:00Z null 0006443c1f3a2b00a1b2c3d4e5f60718"
)
names = st.sampled_from(NAMES.split())
parameters = st.lists(
    st.tuples(
        names,
        st.one_of(
            st.none(),
            st.sampled_from(["null", "0006443c1f3a2b00a1b2c3d4e5f60718"]),
            st.text(string.ascii_letters + string.digits + "%+-/=_.", max_size=12),
        ),
    ),
    max_size=4,
)
fields = st.dictionaries(
    st.sampled_from(FIELDS.split()),
    st.one_of(
        st.sampled_from(VALUES.split()),
        st.text(string.ascii_letters + string.digits + ' %+-/="_.,;:*', max_size=20).map(str.strip),
    ),
    max_size=4,
)
payloads = st.sampled_from(
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        hashlib.sha256(b"").hexdigest(),
    ]
)
bodies = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"5\r\nhello\r\n0\r\n\r\n",
            b"<Delete><Object><Key>fuzzed</Key></Object></Delete>",
            b"<Delete><Object><Key>fuzzed</Key><VersionId>null</VersionId><Size>1</Size></Object></Delete>",
            b"<Delete><Object><Key>k</Key><VersionId>v7</VersionId><LastModifiedTime>x</LastModifiedTime></Object></Delete>",
            b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
            b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
            (
                b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
                b"<Mode>GOVERNANCE</Mode><Days>9</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
            ),
            b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2140-01-01T00:00:00Z</RetainUntilDate></Retention>",
            b"<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>9999-12-31T23:59:59-12:00</RetainUntilDate></Retention>",
            b"<LegalHold><Status>ON</Status></LegalHold>",
            b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
            b"<CreateBucketConfiguration/>",
            b"<AccessControlPolicy/>",
            b"<!DOCTYPE x><x/>",
        ]
    ),
)
against_a_server = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


def check_whole(server: S3Server) -> None:
    """What no request of these may touch is as it was."""
    assert request(server, "GET", "/bucket/witness").body == b"untouched"


@against_a_server
@given(method=methods, path=paths, query=parameters, headers=fields, body=bodies, payload=payloads)
def test_any_signed_request_has_an_answer_that_is_not_our_fault(
    server: S3Server,
    method: str,
    path: str,
    query: list[tuple[str, str | None]],
    headers: dict[str, str],
    body: bytes,
    payload: str,
) -> None:
    if path.rstrip("/") == "/bucket" and method == "DELETE":
        path = "/nowhere"
    text = "&".join(name if value is None else f"{name}={value}" for name, value in query)
    target = f"{path}?{text}" if text else path
    reply = request(server, method, target, body, headers, payload)
    assert reply.status < 500 or reply.status == 501
    if reply.status >= 400 and method != "HEAD":
        assert reply.code in CODES
        assert CODES[reply.code][0] == reply.status
        assert reply.text("RequestId") == reply.headers["x-amz-request-id"]
    check_whole(server)


@against_a_server
@given(method=methods, path=paths, headers=fields, authorization=ascii_texts)
def test_any_unsigned_request_is_refused(
    server: S3Server, method: str, path: str, headers: dict[str, str], authorization: str
) -> None:
    sent = {"host": "h", "content-length": "0", **headers}
    if authorization.strip():
        sent["authorization"] = f"AWS4-HMAC-SHA256 {authorization.strip()}"
    with Wire(server) as wire:
        wire.send(head_of(method, path, sent))
        reply = wire.receive(head=method == "HEAD")
    assert 400 <= reply.status < 500 or reply.status == 501
    check_whole(server)


@against_a_server
@given(raw=st.binary(max_size=200), cut_at=st.integers(0, 400))
def test_any_bytes_on_the_wire_leave_the_server_alive(server: S3Server, raw: bytes, cut_at: int) -> None:
    head = signed_head(server, "PUT", "/bucket/fuzzed", {"content-length": "50000"})
    for sent in (raw, head[:cut_at] + raw, head + raw):
        with Wire(server) as wire:
            wire.send(sent)
    check_whole(server)
    assert request(server, "HEAD", "/bucket/fuzzed").status == 404
