"""Every error has its S3 code, and every answer is XML."""

import re
from collections.abc import Iterator

import pytest
from lxml import etree

from noisefs.adapters.inbound.s3.failure import CODES, TABLE, S3Error, failure_of
from noisefs.core import errors


def classes(kind: type[errors.NoisefsError] = errors.NoisefsError) -> Iterator[type[errors.NoisefsError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith(f"{errors.__name__}."):
            yield from classes(child)


def test_every_error_class_is_in_the_table() -> None:
    assert set(classes()) == set(TABLE)


def test_every_code_of_the_table_exists() -> None:
    assert set(TABLE.values()) <= set(CODES)


def test_codes_and_statuses_are_ones_http_knows() -> None:
    for code, (status, words) in CODES.items():
        assert re.fullmatch(r"(KMS\.)?[A-Za-z0-9]+", code)
        assert status == 304 or 400 <= status < 600
        assert words


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (errors.BucketNotFound("b"), "NoSuchBucket", 404),
        (errors.BucketExists("b", owned=True), "BucketAlreadyOwnedByYou", 409),
        (errors.BucketExists("b", owned=False), "BucketAlreadyExists", 409),
        (errors.ObjectNotFound("b", "k"), "NoSuchKey", 404),
        (errors.VersionNotFound("b", "k", "v"), "NoSuchVersion", 404),
        (errors.UploadNotFound("u"), "NoSuchUpload", 404),
        (errors.PreconditionFailed("If-Match"), "PreconditionFailed", 412),
        (errors.NotModified("e", 1), "NotModified", 304),
        (errors.RangeNotSatisfiable(5), "InvalidRange", 416),
        (errors.EntityTooLarge(2, 1), "EntityTooLarge", 400),
        (errors.PartTooSmall(1, 2, 3), "EntityTooSmall", 400),
        (errors.InvalidPart(1), "InvalidPart", 400),
        (errors.KeyTooLong("key", "k", "1024"), "KeyTooLongError", 400),
        (errors.InvalidBucketName("bucket name", "B", "lower case"), "InvalidBucketName", 400),
        (errors.SegmentDamaged(b"b" * 16, 3), "InternalError", 500),
        (errors.BlockUnavailable(b"p" * 16, 3), "ServiceUnavailable", 503),
        (errors.SlowDown("later"), "SlowDown", 503),
        (errors.DiskFull("full"), "InsufficientStorage", 507),
        (errors.CommitConflict("again"), "OperationAborted", 409),
        (errors.OutcomeUnknown("?"), "ServiceUnavailable", 503),
        (errors.Draining("bye"), "ServiceUnavailable", 503),
    ],
)
def test_an_error_has_s3s_code_and_status(error: errors.NoisefsError, code: str, status: int) -> None:
    told = failure_of(error)
    assert (told.code, told.status) == (code, status)


def test_a_class_that_is_new_counts_as_its_nearest_ancestor() -> None:
    class Newer(errors.SlowDown):
        pass

    assert failure_of(Newer("x")).code == "SlowDown"


def test_what_may_be_tried_again_says_when() -> None:
    assert failure_of(errors.SlowDown("later")).headers["Retry-After"] == "2"
    assert "Retry-After" not in failure_of(errors.DiskFull("full")).headers


@pytest.mark.parametrize(
    "error",
    [errors.SegmentDamaged(b"\xab" * 16, 3), errors.PackPoisoned(b"\xab" * 16), errors.StorageFailed("/data/x")],
)
def test_broken_storage_tells_clients_nothing_about_packs(error: errors.NoisefsError) -> None:
    body = failure_of(error).xml("/b/k", "R", "H")
    assert b"abab" not in body
    assert b"/data" not in body


def test_the_answer_is_xml_whatever_a_key_holds() -> None:
    key = 'a<b>&"\x00\x01\ud800\ufffe]]>\r\n'
    root = etree.fromstring(S3Error("NoSuchKey", Key=key).xml(f"/b/{key}", "R", "H"))
    assert root.tag == "Error"
    assert [child.tag for child in root] == ["Code", "Message", "Key", "Resource", "RequestId", "HostId"]
    assert root.findtext("Key") == 'a<b>&"\ufffd\ufffd\ufffd\ufffd]]>\r\n'
