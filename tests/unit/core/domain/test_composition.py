"""ETags and checksums of objects made of parts, against digests of the whole bytes."""

import base64
import hashlib

import pytest

from noisefs.core.domain.objects import composition
from noisefs.core.domain.objects.composition import COMPOSITE, FULL_OBJECT
from noisefs.core.domain.objects.digests import Digests
from noisefs.core.errors import InvalidArgument

PARTS = [b"first part", b"", b"\xff" * 1000, b"x"]


def digest(algorithm: str, data: bytes) -> bytes:
    running = Digests((algorithm,))
    running.update(data)
    return running.results()[algorithm]


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_the_etag_is_the_md5_of_md5s_and_their_number() -> None:
    md5s = [hashlib.md5(part).digest() for part in PARTS]
    assert composition.etag_of_parts(md5s) == f"{hashlib.md5(b''.join(md5s)).hexdigest()}-4"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_crcs_of_parts_combine_to_that_of_the_whole(algorithm: str) -> None:
    parts = [(b64(digest(algorithm, part)), len(part)) for part in PARTS]
    found = composition.checksum_of_parts(algorithm, FULL_OBJECT, parts)
    assert found == b64(digest(algorithm, b"".join(PARTS)))


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_composite_is_the_digest_of_digests(algorithm: str) -> None:
    raws = [digest(algorithm, part) for part in PARTS]
    found = composition.checksum_of_parts(algorithm, COMPOSITE, [(b64(raw), 0) for raw in raws])
    assert found == f"{b64(digest(algorithm, b''.join(raws)))}-4"


@pytest.mark.parametrize(
    ("algorithm", "wanted", "kind"),
    [
        ("", "", ""),
        ("CRC32", "", COMPOSITE),
        ("CRC32", FULL_OBJECT, FULL_OBJECT),
        ("CRC64NVME", "", FULL_OBJECT),
        ("SHA256", "", COMPOSITE),
        ("SHA1", COMPOSITE, COMPOSITE),
    ],
)
def test_types_by_algorithm(algorithm: str, wanted: str, kind: str) -> None:
    assert composition.checksum_type_of(algorithm, wanted) == kind


@pytest.mark.parametrize(
    ("algorithm", "wanted"),
    [("", COMPOSITE), ("MD5", ""), ("SHA256", FULL_OBJECT), ("CRC64NVME", COMPOSITE), ("CRC32", "x")],
)
def test_types_that_cannot_be(algorithm: str, wanted: str) -> None:
    with pytest.raises(InvalidArgument):
        composition.checksum_type_of(algorithm, wanted)


def test_a_composite_may_be_declared_without_its_count() -> None:
    assert composition.same_checksum("abc=-3", "abc=-3")
    assert composition.same_checksum("abc=", "abc=-3")
    assert not composition.same_checksum("abc=-2", "abc=-3")
    assert not composition.same_checksum("abd=", "abc=-3")
