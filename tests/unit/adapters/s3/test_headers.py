"""Headers of objects in both directions."""

import msgspec
import pytest

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.headers import (
    attributes_of,
    check_built,
    checksum_headers,
    field_value,
    http_time,
    object_headers,
    overrides_of,
)
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Version


def test_a_write_without_headers_has_s3s_defaults() -> None:
    attributes = attributes_of({})
    assert attributes.content_type == "binary/octet-stream"
    assert attributes.storage_class == "STANDARD"
    assert not attributes.headers
    assert not attributes.metadata


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("gzip", "gzip"),
        ("aws-chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("deflate, aws-chunked, gzip", "deflate, gzip"),
    ],
)
def test_the_framing_is_no_content_encoding(sent: str, stored: str | None) -> None:
    assert attributes_of({"content-encoding": sent}).headers.get("Content-Encoding") == stored


def latin(text: str) -> str:
    """A header as aiohttp gives it when a client sent ISO 8859-1."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("sent", "stored", "given"),
    [
        ("plain", "plain", "plain"),
        ("grüße", "grüße", "=?UTF-8?B?Z3LDvMOfZQ==?="),
        (latin("grüße"), "grüße", "=?UTF-8?B?Z3LDvMOfZQ==?="),
        ("=?UTF-8?B?Z3LDvMOfZQ==?=", "grüße", "=?UTF-8?B?Z3LDvMOfZQ==?="),
        ("=?utf-8?q?gr=C3=BC=C3=9Fe?=", "grüße", "=?UTF-8?B?Z3LDvMOfZQ==?="),
        ("=?UTF-8?B?DQpTZXQtQ29va2llOiB4?=", "\r\nSet-Cookie: x", "=?UTF-8?B?DQpTZXQtQ29va2llOiB4?="),
        ("=?nonsense", "=?nonsense", "=?nonsense"),
        ("=?no-such-charset?B?AAAA?=", "=?no-such-charset?B?AAAA?=", "=?no-such-charset?B?AAAA?="),
    ],
)
def test_metadata_that_is_not_ascii_travels_by_rfc_2047(sent: str, stored: str, given: str) -> None:
    metadata = attributes_of({"x-amz-meta-name": sent}).metadata
    assert metadata == {"name": stored}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(metadata)) == metadata
    assert field_value(stored) == given


def test_too_much_metadata_is_refused() -> None:
    attributes_of({"x-amz-meta-a": "x" * 2047})
    with pytest.raises(S3Error) as refused:
        attributes_of({"x-amz-meta-a": "x" * 2048})
    assert refused.value.code == "MetadataTooLarge"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-amz-storage-class", "GLACIER", "NotImplemented"),
        ("x-amz-storage-class", "GOLD", "InvalidStorageClass"),
    ],
)
def test_storage_classes_that_are_not_there_are_refused(name: str, value: str, code: str) -> None:
    with pytest.raises(S3Error) as refused:
        attributes_of({name: value})
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-amz-server-side-encryption-context", "e30=", "NotImplemented"),
        ("x-amz-write-offset-bytes", "0", "NotImplemented"),
    ],
)
def test_headers_that_ask_for_what_is_not_there_are_refused(name: str, value: str, code: str) -> None:
    with pytest.raises(S3Error) as refused:
        check_built({name: value})
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-acl", "private"),
        ("x-amz-acl", "bucket-owner-full-control"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-bucket-object-lock-enabled", "false"),
        ("x-amz-request-payer", "requester"),
    ],
)
def test_headers_that_change_nothing_are_accepted(name: str, value: str) -> None:
    check_built({name: value})


def test_what_another_protocol_stored_cannot_split_a_response() -> None:
    version = Version(
        1,
        "e",
        0,
        UserId("u"),
        content_type="text/html\r\nX-Evil: 1",
        headers={"Cache-Control": "a\nb"},
        metadata={"m": "a\r\nb"},
    )
    for value in object_headers(version).values():
        assert not set(value) & {"\r", "\n"}


def test_names_in_other_scripts_are_kept() -> None:
    name = 'attachment; filename="\u3000全角\u00a0.txt"'
    version = Version(1, "e", 0, UserId("u"), headers={"Content-Disposition": name})
    assert object_headers(version)["Content-Disposition"] == name


def test_checksums_come_with_their_type() -> None:
    assert checksum_headers({"CRC32": "x"}, "FULL_OBJECT") == {
        "x-amz-checksum-crc32": "x",
        "x-amz-checksum-type": "FULL_OBJECT",
    }
    assert checksum_headers({}, "FULL_OBJECT") == {}


def test_headers_of_the_answer_can_be_replaced_but_not_split() -> None:
    assert overrides_of({"response-content-type": "text/x", "response-expires": "", "x": "y"}) == {
        "Content-Type": "text/x",
        "Expires": "",
    }
    with pytest.raises(S3Error):
        overrides_of({"response-content-type": "a\r\nb"})


def test_times_are_http_dates() -> None:
    assert http_time(1_000_000_000_999_999) == "Sun, 09 Sep 2001 01:46:40 GMT"
