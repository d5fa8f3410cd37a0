"""The examples of Amazon's own documentation, to the letter."""

import hashlib

import pytest

from noisefs.adapters.inbound.s3.auth import signature
from noisefs.adapters.inbound.s3.auth.signature import EMPTY_SHA256, ChunkSigner, Scope
from noisefs.adapters.inbound.s3.body.chunks import ChunkDecoder
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.core.errors import IncompleteBody

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
STAMP = "20130524T000000Z"
SCOPE = Scope("20130524", "us-east-1", "s3")
KEY = signature.signing_key(SECRET, SCOPE.date, SCOPE.region, SCOPE.service)
HOST = "examplebucket.s3.amazonaws.com"

PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
)
REQUESTS = {
    "GET an object": (
        ("GET", "/test.txt", ""),
        {"host": HOST, "range": "bytes=0-9", "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": STAMP},
        EMPTY_SHA256,
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PUT an object": (
        ("PUT", "/test%24file.text", ""),
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "host": HOST,
            "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "x-amz-date": STAMP,
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "GET a lifecycle": (
        ("GET", "/", "lifecycle="),
        {"host": HOST, "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": STAMP},
        EMPTY_SHA256,
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "list objects": (
        ("GET", "/", "max-keys=2&prefix=J"),
        {"host": HOST, "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": STAMP},
        EMPTY_SHA256,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
    "a presigned URL": (
        (
            "GET",
            "/test.txt",
            PRESIGNED,
        ),
        {"host": HOST},
        "UNSIGNED-PAYLOAD",
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_documented_request_has_the_documented_signature(name: str) -> None:
    (method, path, query), headers, payload, expected = REQUESTS[name]
    digest = signature.request_digest(method, path, query, headers, tuple(headers), payload)
    assert signature.sign_request(KEY, STAMP, SCOPE, digest) == expected


SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHUNK_SIGNATURES = (
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)
CHUNKS = (b"a" * 65_536, b"a" * 1024, b"")
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
TRAILER_SIGNATURES = (
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
)
TRAILER_SIGNATURE = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


def framed(signatures: tuple[str, ...]) -> bytes:
    parts = []
    for data, mark in zip(CHUNKS, signatures, strict=True):
        parts.append(f"{len(data):x};chunk-signature={mark}\r\n".encode() + data + (b"\r\n" if data else b""))
    return b"".join(parts)


def decoder(seed: str, *, trailing: bool = False) -> ChunkDecoder:
    return ChunkDecoder(66_560, ChunkSigner(KEY, STAMP, SCOPE, seed), trailing=trailing)


def decoded(body: bytes, decode: ChunkDecoder, piece: int = 1000) -> bytes:
    out = b"".join(bytes(view) for at in range(0, len(body), piece) for view in decode.feed(body[at : at + piece]))
    decode.finish()
    return out


def test_the_documented_chunks_are_accepted() -> None:
    assert decoded(framed(CHUNK_SIGNATURES) + b"\r\n", decoder(SEED)) == b"a" * 66_560


def test_the_documented_trailer_is_accepted() -> None:
    trailer = f"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:{TRAILER_SIGNATURE}\r\n\r\n".encode()
    decode = decoder(TRAILER_SEED, trailing=True)
    assert decoded(framed(TRAILER_SIGNATURES) + trailer, decode) == b"a" * 66_560
    assert decode.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


@pytest.mark.parametrize(
    "trailer",
    [
        f"x-amz-checksum-crc32c:sOO8/R==\r\nx-amz-trailer-signature:{TRAILER_SIGNATURE}\r\n\r\n",
        f"x-amz-trailer-signature:{TRAILER_SIGNATURE}\r\n\r\n",
        "x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n",
        "x-amz-checksum-crc32c:sOO8/Q==\r\n",
        "",
    ],
)
def test_a_trailer_that_was_tampered_with_is_refused(trailer: str) -> None:
    with pytest.raises((S3Error, IncompleteBody)):
        decoded(framed(TRAILER_SIGNATURES) + trailer.encode(), decoder(TRAILER_SEED, trailing=True))


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_no_byte_of_a_chunk_with_a_wrong_signature_is_given_out(chunk: int) -> None:
    wrong = tuple("0" * 64 if at == chunk else mark for at, mark in enumerate(CHUNK_SIGNATURES))
    decode = decoder(SEED)
    out: list[memoryview] = []
    lines = framed(wrong).splitlines(keepends=True)
    with pytest.raises(S3Error) as refused:
        out.extend(view for line in lines for view in decode.feed(line))
    assert refused.value.code == "SignatureDoesNotMatch"
    assert sum(map(len, out)) == sum(map(len, CHUNKS[:chunk]))


def test_an_unsigned_chunk_among_signed_ones_is_refused() -> None:
    with pytest.raises(S3Error):
        decoder(SEED).feed(b"400\r\n" + b"a" * 1024 + b"\r\n")


def test_a_chunk_larger_than_the_bound_is_refused_at_its_end() -> None:
    size = (1 << 20) + 1
    decode = ChunkDecoder(size, ChunkSigner(KEY, STAMP, SCOPE, SEED), trailing=False)
    given = decode.feed(f"{size:x};chunk-signature={'0' * 64}\r\n".encode() + b"a" * (size - 1))
    assert sum(map(len, given)) == size - 1
    with pytest.raises(S3Error):
        decode.feed(b"a")


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n",
        b"5\r\nhel",
        b"5\r\nhello\r\n0",
        b"6\r\nhello!\r\n0\r\n\r\n",
        b"4\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\nmore\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"five\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"x" * 2000 + b"\r\nhello\r\n0\r\n\r\n",
        b"",
    ],
)
def test_broken_framing_is_refused(body: bytes) -> None:
    with pytest.raises(IncompleteBody):
        decoded(body, ChunkDecoder(5, None, trailing=False), piece=3)


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\r\n", b"\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"])
def test_both_ways_to_end_a_body_are_understood(end: bytes) -> None:
    decode = ChunkDecoder(5, None, trailing=True)
    assert decoded(b"2\r\nhe\r\n3\r\nllo\r\n0" + end, decode, piece=1) == b"hello"
    assert decode.trailers in ({}, {"x-amz-checksum-crc32": "NhCmhg=="})


def test_a_flood_of_trailers_is_refused() -> None:
    decode = ChunkDecoder(0, None, trailing=True)
    with pytest.raises(S3Error) as refused:
        decode.feed(b"0\r\n" + b"".join(b"x-%d:y\r\n" % number for number in range(100)))
    assert refused.value.code == "MalformedTrailerError"


def test_spaces_in_signed_values_are_squeezed() -> None:
    headers = {"host": "h", "x-amz-meta-a": "  a   b "}
    squeezed = {"host": "h", "x-amz-meta-a": "a b"}
    names = ("host", "x-amz-meta-a")
    assert signature.request_digest("GET", "/", "", headers, names, "x") == signature.request_digest(
        "GET", "/", "", squeezed, names, "x"
    )


@pytest.mark.parametrize(
    ("raw", "as_sent", "anew"),
    [
        ("", "", ""),
        ("prefix=a%2Fb&delimiter=%2F", "delimiter=%2F&prefix=a%2Fb", "delimiter=%2F&prefix=a%2Fb"),
        ("prefix=a/b&acl", "acl=&prefix=a/b", "acl=&prefix=a%2Fb"),
        ("prefix=a+b", "prefix=a+b", "prefix=a%20b"),
        ("X-Amz-Signature=1&a=2", "a=2", "a=2"),
        ("b=2&a=2&a=1", "a=1&a=2&b=2", "a=1&a=2&b=2"),
    ],
)
def test_a_query_is_signed_sorted(raw: str, as_sent: str, anew: str) -> None:
    assert signature.query_as_sent(raw, "X-Amz-Signature") == as_sent
    assert signature.query_encoded_anew(raw, "X-Amz-Signature") == anew


@pytest.mark.parametrize(
    ("raw", "anew"),
    [("/a//b/./c", "/a//b/./c"), ("/a(b)!", "/a%28b%29%21"), ("/%c3%a4", "/%C3%A4"), ("/%2F+", "//%2B")],
)
def test_a_path_is_encoded_by_the_rules_and_never_normalised(raw: str, anew: str) -> None:
    assert signature.path_encoded_anew(raw) == anew


def test_the_empty_digest_is_that_of_nothing() -> None:
    assert hashlib.sha256(b"").hexdigest() == EMPTY_SHA256
