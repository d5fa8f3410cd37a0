"""What clients say about the bytes they send: checksums and sizes. What does not hold replaces nothing."""

import base64
import hashlib
import io
import zlib

import pytest

from tests.support.namespace import stream
from tests.support.webdav_server import WebdavServer

DATA = b"some bytes " * 20_000
DIGESTS = {
    "SHA1": hashlib.sha1(DATA).hexdigest(),
    "MD5": hashlib.md5(DATA).hexdigest(),
    "SHA256": hashlib.sha256(DATA).hexdigest(),
    "Adler32": f"{zlib.adler32(DATA):08x}",
    "CRC32": f"{zlib.crc32(DATA):08x}",
}
CHECKSUMS = '<propfind xmlns="DAV:"><prop><checksums xmlns="http://owncloud.org/ns"/></prop></propfind>'


@pytest.mark.parametrize("algorithm", DIGESTS)
@pytest.mark.parametrize("size", [30, len(DATA)])
async def test_a_checksum_is_checked(dav: WebdavServer, algorithm: str, size: int) -> None:
    """Large and small, right and wrong."""
    await dav("PUT", "/bucket/f", b"old")
    claim = f"{algorithm}:{DIGESTS[algorithm]}"
    assert (await dav("PUT", "/bucket/f", DATA[:size], OC_Checksum=claim)).status == (204 if size == len(DATA) else 400)
    assert (await dav("GET", "/bucket/f")).body == (DATA if size == len(DATA) else b"old")


@pytest.mark.parametrize("size", [30, len(DATA)])
async def test_a_content_md5_is_checked(dav: WebdavServer, size: int) -> None:
    """RFC 1864: in base64; what is none is refused, and so is another one than OC-Checksum says."""
    await dav("PUT", "/bucket/f", b"old")
    right = base64.b64encode(hashlib.md5(DATA[:size]).digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    for claim in (wrong, "x", "", right[:-4]):
        assert (await dav("PUT", "/bucket/f", io.BytesIO(DATA[:size]), Content_MD5=claim)).status == 400
    both = {"Content_MD5": right, "OC_Checksum": f"MD5:{hashlib.md5(b'other').hexdigest()}"}
    assert (await dav("PUT", "/bucket/f", io.BytesIO(DATA[:size]), **both)).status == 400
    assert (await dav("GET", "/bucket/f")).body == b"old"
    assert (await dav("PUT", "/bucket/f", io.BytesIO(DATA[:size]), Content_MD5=right)).status == 204
    assert (await dav("GET", "/bucket/f")).body == DATA[:size]


async def test_a_checksum_is_kept(dav: WebdavServer) -> None:
    """And told, to S3's clients too; a later version without one has only its MD5."""
    claim = f"SHA1:{DIGESTS['SHA1']} MD5:{DIGESTS['MD5']}"
    await dav("PUT", "/bucket/f", DATA, OC_Checksum=claim)
    assert claim in (await dav("PROPFIND", "/bucket/f", CHECKSUMS, Depth="0")).text
    assert (await dav("GET", "/bucket/f", Range="bytes=0-0")).headers["OC-Checksum"] == claim
    assert list((await dav.world.objects.head(dav.who, "bucket", "f")).checksums) == ["SHA1"]
    await dav("COPY", "/bucket/f", Destination="/bucket/g")
    assert claim in (await dav("PROPFIND", "/bucket/g", CHECKSUMS, Depth="0")).text
    await dav("PUT", "/bucket/f", b"new")
    shown = (await dav("PROPFIND", "/bucket/f", CHECKSUMS, Depth="0")).text
    assert f">MD5:{hashlib.md5(b'new').hexdigest()}<" in shown
    assert "OC-Checksum" not in (await dav("GET", "/bucket/f")).headers


@pytest.mark.parametrize("claim", ["SHA1", "SHA1:", "SHA1:xyz", "SHA3-256:00", "MD5:00 SHA1:zz"])
async def test_what_cannot_be_checked(dav: WebdavServer, claim: str) -> None:
    """It is not as good as checked."""
    assert (await dav("PUT", "/bucket/f", b"x", OC_Checksum=claim)).status == 400
    assert (await dav("GET", "/bucket/f")).status == 404


@pytest.mark.parametrize(("expected", "status"), [("11", 201), ("12", 400), ("10", 400), ("many", 201)])
async def test_the_expected_length_of_a_chunked_body(dav: WebdavServer, expected: str, status: int) -> None:
    """A proxy may end what it got of a cut upload as if that were all."""
    sent = await dav("PUT", "/bucket/f", stream(b"hello world", 3), X_Expected_Entity_Length=expected)
    assert sent.status == status
    assert (await dav("GET", "/bucket/f")).status == (200 if status == 201 else 404)
