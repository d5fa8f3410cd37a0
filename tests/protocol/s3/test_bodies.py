"""Request bodies on the wire: framing, lengths, invitations, cuts, and answers that come early."""

import base64
import hashlib
import time
import zlib
from collections.abc import Iterator, Sequence

import pytest

from noisefs.adapters.inbound.s3 import S3Settings
from noisefs.core.ports.telemetry import Counter
from tests.support.s3_raw import ChunkWriter, Reply, Wire, request, signed_head
from tests.support.s3_server import SECRET_KEY, S3Server, serve

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = f"{SIGNED}-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
MIB = 1 << 20


def crc(body: bytes) -> str:
    """CRC32 as S3 writes it."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def streaming_head(server: S3Server, target: str, payload: str, size: int, length: int, **more: str) -> bytes:
    """The head of a PUT in chunks."""
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(size),
        "content-length": str(length),
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return signed_head(server, "PUT", target, headers, payload)


def signed_length(pieces: Sequence[bytes], trailer: int = 0) -> int:
    """Length of a body in signed chunks, the last one included."""
    mark = len(";chunk-signature=") + 64 + 2
    frames = sum(len(f"{len(piece):x}") + mark + len(piece) + (2 if piece else 0) for piece in pieces)
    return frames + (trailer or 2)


def put_signed(server: S3Server, target: str, pieces: Sequence[bytes], flip: int | None = None) -> Reply:
    """A PUT in signed chunks; ``flip``: the chunk of which a bit is turned after signing."""
    size = sum(map(len, pieces))
    head = streaming_head(server, target, SIGNED, size, signed_length([*pieces, b""]))
    writer = ChunkWriter(head, SECRET_KEY)
    frames = [writer.chunk(piece) for piece in [*pieces, b""]]
    if flip is not None:
        at = frames[flip].index(b"\r\n") + 2
        frames[flip] = frames[flip][:at] + bytes([frames[flip][at] ^ 1]) + frames[flip][at + 1 :]
    with Wire(server) as wire:
        wire.send(head, *frames, b"\r\n")
        return wire.receive()


@pytest.mark.parametrize(
    "sizes",
    [[0], [1], [65_536, 1024], [8192] * 20, [3 * MIB], [MIB, 5]],
    ids=["0", "1", "65k+1k", "20x8k", "3M", "1M+5"],
)
def test_signed_chunks_are_taken_apart(server: S3Server, bucket: str, sizes: list[int]) -> None:
    pieces = [bytes([number % 251]) * size for number, size in enumerate(sizes) if size]
    reply = put_signed(server, f"/{bucket}/k", pieces)
    assert reply.status == 200, reply.body
    got = request(server, "GET", f"/{bucket}/k")
    assert got.body == b"".join(pieces)
    assert "content-encoding" not in got.headers


@pytest.mark.parametrize("sizes", [[100], [65_536, 65_536], [100, 2 * MIB]])
def test_a_chunk_that_was_changed_on_the_way_changes_nothing(server: S3Server, bucket: str, sizes: list[int]) -> None:
    request(server, "PUT", f"/{bucket}/k", b"old")
    pieces = [b"x" * size for size in sizes]
    reply = put_signed(server, f"/{bucket}/k", pieces, flip=len(pieces) - 1)
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    assert request(server, "GET", f"/{bucket}/k").body == b"old"


@pytest.mark.parametrize("right", [True, False])
def test_a_signed_trailer_is_verified(server: S3Server, bucket: str, right: bool) -> None:
    body = b"trailing" * 1000
    trailer_bytes = len("x-amz-checksum-crc32:") + 8 + 2 + len("x-amz-trailer-signature:") + 64 + 4
    length = signed_length([body, b""], trailer_bytes)
    head = streaming_head(
        server, f"/{bucket}/k", SIGNED_TRAILER, len(body), length, x_amz_trailer="x-amz-checksum-crc32"
    )
    writer = ChunkWriter(head, SECRET_KEY)
    frames = [writer.chunk(body), writer.chunk(b"")]
    trailer = writer.trailer([("x-amz-checksum-crc32", crc(body if right else b"other"))])
    with Wire(server) as wire:
        wire.send(head, *frames, trailer)
        reply = wire.receive()
    if right:
        assert (reply.status, reply.headers["x-amz-checksum-crc32"]) == (200, crc(body))
    else:
        assert (reply.status, reply.code) == (400, "BadDigest")


def put_unsigned(server: S3Server, target: str, framed: bytes, size: int, **more: str) -> Reply:
    """A PUT in unsigned chunks with a trailer, as current SDKs send it over TLS."""
    head = streaming_head(server, target, UNSIGNED_TRAILER, size, len(framed), **more)
    with Wire(server) as wire:
        wire.send(head, framed)
        return wire.receive()


def test_an_unsigned_trailer_is_verified(server: S3Server, bucket: str) -> None:
    framed = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n"
    named = {"x_amz_trailer": "x-amz-checksum-crc32"}
    right = put_unsigned(server, f"/{bucket}/k", framed % crc(b"hello").encode(), 5, **named)
    assert right.status == 200
    for value, code in ((crc(b"other").encode(), "BadDigest"), (b"bad", "BadDigest")):
        wrong = put_unsigned(server, f"/{bucket}/k", framed % value, 5, **named)
        assert (wrong.status, wrong.code) == (400, code)
    missing = put_unsigned(server, f"/{bucket}/k", b"5\r\nhello\r\n0\r\n\r\n", 5, **named)
    assert (missing.status, missing.code) == (400, "MalformedTrailerError")
    odd = put_unsigned(server, f"/{bucket}/k", b"5\r\nhello\r\n0\r\n\r\n", 5, x_amz_trailer="x-amz-meta-m")
    assert (odd.status, odd.code) == (400, "InvalidRequest")
    assert request(server, "GET", f"/{bucket}/k").body == b"hello"


@pytest.mark.parametrize(
    ("framed", "size"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", 6),
        (b"5\r\nhello\r\n0\r\n\r\n", 4),
        (b"5\r\nhello", 5),
        (b"5\r\nhelloo0\r\n\r\n", 5),
        (b"zz\r\nhello\r\n0\r\n\r\n", 5),
        (b"hello", 5),
        (b"", 0),
    ],
)
def test_broken_chunks_are_an_incomplete_body(server: S3Server, bucket: str, framed: bytes, size: int) -> None:
    reply = put_unsigned(server, f"/{bucket}/k", framed, size)
    assert (reply.status, reply.code) == (400, "IncompleteBody")
    assert request(server, "HEAD", f"/{bucket}/k").status == 404


@pytest.mark.parametrize("length", [None, "x", "-1", "", "9" * 30])
def test_a_streamed_body_must_say_its_length(server: S3Server, bucket: str, length: str | None) -> None:
    headers = (
        {"content-length": "15"}
        if length is None
        else {
            "content-length": "15",
            "x-amz-decoded-content-length": length,
        }
    )
    with Wire(server) as wire:
        wire.send(signed_head(server, "PUT", f"/{bucket}/k", headers, UNSIGNED_TRAILER), b"5\r\nhello\r\n0\r\n\r\n")
        reply = wire.receive()
    assert (reply.status, reply.code) == (411, "MissingContentLength")


def test_a_put_without_a_length_is_told(server: S3Server, bucket: str) -> None:
    with Wire(server) as wire:
        wire.send(signed_head(server, "PUT", f"/{bucket}/k"))
        reply = wire.receive()
    assert (reply.status, reply.code) == (411, "MissingContentLength")


def test_a_body_in_http_chunks_needs_no_length(server: S3Server, bucket: str) -> None:
    with Wire(server) as wire:
        wire.send(signed_head(server, "PUT", f"/{bucket}/k", {"transfer-encoding": "chunked"}))
        wire.send(b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
        assert wire.receive().status == 200
    assert request(server, "GET", f"/{bucket}/k").body == b"hello"


def test_aws_chunks_inside_http_chunks_are_taken_apart(server: S3Server, bucket: str) -> None:
    headers = {"transfer-encoding": "chunked", "x-amz-decoded-content-length": "5"}
    with Wire(server) as wire:
        wire.send(signed_head(server, "PUT", f"/{bucket}/k", headers, UNSIGNED_TRAILER))
        wire.send(b"a\r\n5\r\nhello\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n")
        assert wire.receive().status == 200
    assert request(server, "GET", f"/{bucket}/k").body == b"hello"


def test_a_body_that_is_cut_changes_nothing(server: S3Server, bucket: str) -> None:
    request(server, "PUT", f"/{bucket}/k", b"old")
    for sent in (0, 10, 70_000):
        with Wire(server) as wire:
            wire.send(signed_head(server, "PUT", f"/{bucket}/k", {"content-length": "100000"}), b"x" * sent)
    assert request(server, "GET", f"/{bucket}/k").body == b"old"


def test_the_invitation_comes_after_the_checks(server: S3Server, bucket: str) -> None:
    expects = {"expect": "100-continue", "content-length": "5"}
    with Wire(server) as wire:
        wire.send(signed_head(server, "PUT", f"/{bucket}/k", expects))
        assert wire.receive().status == 100
        wire.send(b"hello")
        assert wire.receive().status == 200
        wire.send(signed_head(server, "GET", f"/{bucket}/k"))
        assert wire.receive().body == b"hello"
    for target, more, code in (
        ("/nowhere/k", {}, "NoSuchBucket"),
        (f"/{bucket}/k", {"if-none-match": "*"}, "PreconditionFailed"),
        (f"/{bucket}/k", {"content-md5": "bad"}, "InvalidDigest"),
        (f"/{bucket}/k", {"x-amz-acl": "public-read"}, "AccessControlListNotSupported"),
        (f"/{bucket}/{'x' * 1025}", {}, "KeyTooLongError"),
    ):
        with Wire(server) as wire:
            wire.send(signed_head(server, "PUT", target, {**expects, **more}))
            reply = wire.receive()
            assert reply.code == code
            assert reply.closed
            assert wire.ended()


def test_a_wrong_signature_gets_no_invitation(server: S3Server, bucket: str) -> None:
    head = signed_head(server, "PUT", f"/{bucket}/k", {"expect": "100-continue", "content-length": "5"})
    with Wire(server) as wire:
        wire.send(head.replace(b"Signature=", b"Signature=0"))
        assert wire.receive().status == 403


def test_a_small_refused_body_is_dropped_and_the_connection_lives(server: S3Server, bucket: str) -> None:
    with Wire(server) as wire:
        wire.send(signed_head(server, "PUT", "/nowhere/k", {"content-length": "100000"}), b"x" * 100_000)
        reply = wire.receive()
        assert (reply.code, reply.closed) == ("NoSuchBucket", False)
        wire.send(signed_head(server, "GET", f"/{bucket}"))
        assert wire.receive().status == 200


def test_a_client_that_sends_first_reads_the_refusal_of_a_large_body(server: S3Server) -> None:
    size = 8 * MIB
    with Wire(server) as wire:
        wire.send(signed_head(server, "PUT", "/nowhere/k", {"content-length": str(size)}), b"x" * size)
        reply = wire.receive()
        assert (reply.code, reply.closed) == ("NoSuchBucket", True)
        assert wire.ended()


@pytest.fixture(scope="module")
def strict() -> Iterator[S3Server]:
    """A server with small limits."""
    with serve(S3Settings(body_timeout_s=0.3, max_put_bytes=1000, max_xml_bytes=10_000)) as running:
        yield running


def test_a_body_above_the_limit_is_refused_before_it_is_read(strict: S3Server) -> None:
    reply = request(strict, "PUT", "/bucket/k", b"x" * 1001)
    assert (reply.status, reply.code) == (400, "EntityTooLarge")
    assert (reply.text("ProposedSize"), reply.text("MaxSizeAllowed")) == ("1001", "1000")
    assert request(strict, "PUT", "/bucket/k", b"x" * 1000).status == 200
    with Wire(strict) as wire:
        wire.send(signed_head(strict, "PUT", "/bucket/k", {"transfer-encoding": "chunked"}))
        wire.send(b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n")
        assert wire.receive().code == "EntityTooLarge"


def test_a_slow_body_is_timed_out_and_told(strict: S3Server) -> None:
    for head_bytes in (b"", b"x" * 10):
        with Wire(strict) as wire:
            wire.send(signed_head(strict, "PUT", "/bucket/k", {"content-length": "100"}), head_bytes)
            reply = wire.receive()
            assert (reply.status, reply.code, reply.closed) == (400, "RequestTimeout", True)


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    with serve(S3Settings(body_timeout_s=0.3)) as server:
        server.client().put_object(Bucket="bucket", Key="k", Body=b"x" * (40 * MIB))
        with Wire(server) as wire:
            wire.send(signed_head(server, "GET", "/bucket/k"))
            received = 0
            try:
                while not server.world.telemetry.counted(Counter.REQUESTS, ("s3", "GetObject", "400")):
                    pass  # nothing is taken until the server has given up; then what is in the pipe comes
                while data := wire.socket.recv(MIB):
                    received += len(data)
            except ConnectionError:
                pass
            assert received < 40 * MIB


def test_a_client_that_takes_its_time_gets_everything() -> None:
    with serve(S3Settings(body_timeout_s=0.2)) as server:
        server.client().put_object(Bucket="bucket", Key="k", Body=b"x" * (12 * MIB))
        with Wire(server) as wire:
            wire.send(signed_head(server, "GET", "/bucket/k"))
            received = len(wire.receive_head())
            while received < 12 * MIB:
                time.sleep(0.05)  # the pace of a slow reader
                received += len(wire.socket.recv(MIB // 2))


BOMB = b'<!DOCTYPE Delete [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete>",
        b"<Delete/>",
        b"<Delete><Object/></Delete>",
        b"<Delete><Object><Key></Key></Object></Delete>",
        b"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        b"<Wrong/>",
        b"\xff\xfe",
        b"<a>" * 3000,
        BOMB,
        b'<!DOCTYPE Delete SYSTEM "file:///etc/passwd"><Delete><Object><Key>k</Key></Object></Delete>',
    ],
)
def test_xml_that_is_not_what_it_should_be_is_malformed(server: S3Server, bucket: str, body: bytes) -> None:
    reply = request(server, "POST", f"/{bucket}?delete=", body)
    assert (reply.status, reply.code) == (400, "MalformedXML")


def test_xml_above_the_limit_is_refused_unread(server: S3Server, bucket: str) -> None:
    body = b"<Delete>" + b" " * (10 * MIB) + b"</Delete>"
    reply = request(server, "POST", f"/{bucket}?delete=", body)
    assert (reply.status, reply.code) == (400, "EntityTooLarge")


def test_xml_is_verified_like_any_body(server: S3Server, bucket: str) -> None:
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    target = f"/{bucket}?delete="
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    digest = hashlib.sha256(body).hexdigest()
    assert request(server, "POST", target, body).status == 200
    assert request(server, "POST", target, body, {"content-md5": md5, "x-amz-checksum-crc32": crc(body)}).status == 200
    assert request(server, "POST", target, body, payload=digest).status == 200
    assert request(server, "POST", target, body + b" ", {"content-md5": md5}).code == "BadDigest"
    assert request(server, "POST", target, body + b" ", {"x-amz-checksum-crc32": crc(body)}).code == "BadDigest"
    assert request(server, "POST", target, body + b" ", payload=digest).code == "XAmzContentSHA256Mismatch"
    framed = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\nx-amz-checksum-crc32:" + crc(body).encode() + b"\r\n\r\n"
    headers = {"x-amz-decoded-content-length": str(len(body)), "x-amz-trailer": "x-amz-checksum-crc32"}
    assert request(server, "POST", target, framed, headers, payload=UNSIGNED_TRAILER).status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(5000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: h\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: x\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_server_lives(server: S3Server, bucket: str, raw: bytes) -> None:
    with Wire(server) as wire:
        wire.send(raw)
        try:
            reply = wire.receive()
        except ConnectionError:
            pass
        else:
            assert 400 <= reply.status < 500
    assert request(server, "GET", f"/{bucket}").status == 200


def test_requests_in_a_row_on_one_connection_are_answered_in_order(server: S3Server, bucket: str) -> None:
    with Wire(server) as wire:
        wire.send(
            *(
                part
                for number in range(20)
                for part in (
                    signed_head(server, "PUT", f"/{bucket}/{number}", {"content-length": "2"}),
                    b"%2d" % number,
                    signed_head(server, "GET", f"/{bucket}/{number}"),
                )
            )
        )
        for number in range(20):
            assert wire.receive().status == 200
            assert wire.receive().body == b"%2d" % number
