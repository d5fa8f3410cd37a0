"""The short way answers as the long one does, and leaves to it what it cannot answer."""

import base64
import hashlib
import http.client
import socket
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from noisefs.core.ports.telemetry import Counter
from noisefs.gateway import server as serving
from tests.support.s3_raw import ChunkWriter, Wire, request, signed_head
from tests.support.s3_server import SECRET_KEY, S3Server

DATA = bytes(range(256)) * 20
KEY = "short%20way"


@pytest.fixture
def path(s3: Any, bucket: str) -> str:
    """An object with everything that a header can tell."""
    s3.put_object(
        Bucket=bucket,
        Key="short way",
        Body=DATA,
        ContentType="text/plain",
        CacheControl="no-store",
        Metadata={"name": "value"},
        ChecksumAlgorithm="SHA256",
    )
    return f"/{bucket}/{KEY}"


def ask(
    server: S3Server, method: str, path: str, headers: Mapping[str, str], query: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection that was used before: the first of a connection always takes the long way."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        signed = server.signer().sign("HEAD", "/bucket")
        connection.request("HEAD", "/bucket", headers=signed)
        connection.getresponse().read()
        signed = server.signer().sign(method, path, query, headers=headers)
        connection.request(method, f"{path}?{query}" if query else path, headers=signed)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"range": "bytes=10-19"},
        {"range": "bytes=-5"},
        {"range": "bytes=5000-"},
        {"range": "bytes=9000-"},
        {"range": "nonsense"},
        {"x-amz-checksum-mode": "ENABLED"},
    ],
)
def test_both_ways_say_the_same(server: S3Server, path: str, method: str, headers: dict[str, str]) -> None:
    """A condition that always holds is what takes a request the long way."""
    ask(server, "GET", path, {})  # so that all is at hand
    status, short, body = ask(server, method, path, headers)
    long_status, long, long_body = ask(server, method, path, {**headers, "if-match": "*"})
    for found in (short, long):
        assert len(found.pop("x-amz-request-id")) == 16
        assert found.pop("date").endswith(" GMT")
    assert (status, short) == (long_status, long)
    if status != 416:  # its text has the request's id
        assert body == long_body


def test_every_answer_is_counted_once(server: S3Server, path: str) -> None:
    """Whichever way it took."""
    telemetry = server.world.telemetry
    labels = ("s3", "GetObject", "200")
    before = telemetry.counted(Counter.REQUESTS, labels)
    sent = telemetry.counted(Counter.BYTES_OUT)
    for headers in ({}, {"if-match": "*"}, {}):
        ask(server, "GET", path, headers)
    assert telemetry.counted(Counter.REQUESTS, labels) == before + 3
    assert telemetry.counted(Counter.BYTES_OUT) == sent + 3 * len(DATA)


def test_what_is_wrong_is_told_and_counted_once(server: S3Server, path: str) -> None:
    """The short way refuses nobody: it leaves that to the long one."""
    failures = server.world.telemetry.counted(Counter.AUTH_FAILURES)
    missing = server.world.telemetry.counted(Counter.REQUESTS, ("s3", "GetObject", "404"))
    assert ask(server, "GET", f"{path}x", {})[0] == 404
    assert server.world.telemetry.counted(Counter.REQUESTS, ("s3", "GetObject", "404")) == missing + 1
    signed = server.signer().sign("GET", path)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for wanted, status in ((path, 200), (f"{path}x", 403), (path, 200)):
        connection.request("GET", wanted, headers=signed)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()
    assert server.world.telemetry.counted(Counter.AUTH_FAILURES) == failures + 1


def test_an_overwritten_a_deleted_and_a_forbidden_object_are_seen_at_once(s3: Any, server: S3Server, path: str) -> None:
    """Nothing of a version is remembered."""
    bucket = path.split("/")[1]
    assert ask(server, "GET", path, {})[2] == DATA
    s3.put_object(Bucket=bucket, Key="short way", Body=b"new")
    assert ask(server, "GET", path, {})[2] == b"new"
    s3.delete_object(Bucket=bucket, Key="short way")
    assert ask(server, "GET", path, {})[0] == 404
    s3.delete_bucket(Bucket=bucket)
    assert ask(server, "GET", path, {})[0] == 404
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="short way", Body=b"again")
    assert ask(server, "GET", path, {})[2] == b"again"


def test_requests_sent_together_are_answered_in_their_order(server: S3Server, path: str) -> None:
    """Short and long ways, on one connection, before any answer was read."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
        wanted = []
        raw = b""
        for start in range(0, 200, 10):
            extra = {"range": f"bytes={start}-{start + 9}"} | ({"if-match": "*"} if start % 30 else {})
            signed = server.signer().sign("GET", path, headers=extra)
            head = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
            raw += f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
            wanted.append(DATA[start : start + 10])
        half = len(raw) // 2 + 7
        sock.sendall(raw[:half])
        sock.sendall(raw[half:])
        received = b""
        while received.count(b"\r\n\r\n") < len(wanted) or not received.endswith(wanted[-1]):
            piece = sock.recv(65536)
            assert piece
            received += piece
    bodies = [part[:10] for part in received.split(b"\r\n\r\n")[1:]]
    assert bodies == wanted


def chunked(*parts: bytes) -> bytes:
    """A body as HTTP frames one of unknown length."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def test_a_body_as_sdks_send_it_over_tls_takes_the_short_way(server: S3Server, bucket: str) -> None:
    """In chunks of chunks, with a checksum behind it, and only when it is asked for."""
    checksum = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
    headers = {
        "content-encoding": "aws-chunked",
        "transfer-encoding": "chunked",
        "x-amz-decoded-content-length": str(len(DATA)),
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-sdk-checksum-algorithm": "CRC32",
    }
    body = b"%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % (len(DATA), DATA, checksum.encode())
    head = signed_head(
        server, "PUT", f"/{bucket}/k", headers, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"expect": "100-continue"}
    )
    before = server.world.telemetry.counted(Counter.REQUESTS, ("s3", "PutObject", "200"))
    long = server.took_the_long_way
    with Wire(server) as wire:
        for _ in range(3):
            wire.send(head)
            assert wire.receive().status == 100
            wire.send(chunked(body[:3000], body[3000:]))
            reply = wire.receive()
            assert (reply.status, reply.headers["x-amz-checksum-crc32"]) == (200, checksum)
        assert server.took_the_long_way <= long + 1  # the first of a connection may
        wire.send(signed_head(server, "GET", f"/{bucket}/k"))
        reply = wire.receive()
        assert reply.body == DATA
        assert "content-encoding" not in reply.headers
        wire.send(head)
        assert wire.receive().status == 100
        wire.send(chunked(body.replace(b"crc32:", b"crc32:AAAA", 1)))
        assert wire.receive().code in ("BadDigest", "InvalidRequest")
    assert server.world.telemetry.counted(Counter.REQUESTS, ("s3", "PutObject", "200")) == before + 3


def test_signed_chunks_take_the_short_way_only_with_good_signatures(server: S3Server, bucket: str) -> None:
    """A wrong one is refused as the long way refuses it."""
    pieces = [DATA[:4000], DATA[4000:]]
    frame = len(";chunk-signature=") + 64 + 2
    length = sum(len(f"{len(piece):x}") + frame + len(piece) + 2 for piece in [*pieces, b""])
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(DATA)),
        "content-length": str(length),
    }
    for flipped, status in ((b"", 200), (b"x", 403), (b"", 200)):
        head = signed_head(server, "PUT", f"/{bucket}/k", headers, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        writer = ChunkWriter(head, SECRET_KEY)
        frames = [writer.chunk(piece) for piece in [*pieces, b""]]
        if flipped:
            frames[1] = frames[1][:100] + bytes([frames[1][100] ^ 1]) + frames[1][101:]
        with Wire(server) as wire:
            wire.send(signed_head(server, "HEAD", f"/{bucket}"))
            wire.receive(head=True)
            long = server.took_the_long_way
            wire.send(head, *frames, b"\r\n")
            reply = wire.receive()
            assert reply.status == status
            assert server.took_the_long_way - long == len(flipped)
    assert request(server, "GET", f"/{bucket}/k").body == DATA


def test_a_body_that_is_invited_and_comes_late_is_invited_once(
    server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The long way waits for it then, and knows what the client was told."""
    monkeypatch.setattr(serving, "LATE_S", 0.0)
    head = signed_head(server, "PUT", f"/{bucket}/k", {"expect": "100-continue", "content-length": "5"})
    with Wire(server) as wire:
        for _ in range(3):
            wire.send(head)
            assert wire.receive().status == 100
            wire.send(b"he")
            wire.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                wire.receive()
            wire.socket.settimeout(10)
            wire.send(b"llo")
            assert wire.receive().status == 200
    assert request(server, "GET", f"/{bucket}/k").body == b"hello"


def test_boto3_takes_the_short_way(s3: Any, server: S3Server, bucket: str) -> None:
    """It waits to be told to send a body, however small."""
    long = server.took_the_long_way
    for number in range(3):
        s3.put_object(Bucket=bucket, Key="k", Body=DATA + bytes([number]))
    assert server.took_the_long_way == long
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == DATA + b"\x02"


@pytest.mark.parametrize(("size", "long"), [(0, 0), (16_384, 0), (16_385, 0), (70_000, 0), (1 << 17, 0), (1 << 18, 1)])
def test_bodies_of_up_to_128_kib_take_the_short_way(
    s3: Any, server: S3Server, bucket: str, size: int, long: int
) -> None:
    """Hashed on the loop or by a worker, they are stored and refused alike."""
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    path = f"/{bucket}/k"
    sha256 = hashlib.sha256(body).hexdigest()
    for expects in ({}, {"expect": "100-continue"}):
        headers = {"content-length": str(size), "x-amz-meta-a": "b"}
        with Wire(server) as wire:
            wire.send(signed_head(server, "HEAD", f"/{bucket}"))
            wire.receive(head=True)
            before = server.took_the_long_way
            wire.send(signed_head(server, "PUT", path, headers, sha256, expects))
            if expects and size:
                assert wire.receive().status == 100
            wire.send(body)
            reply = wire.receive()
            assert (reply.status, reply.headers["etag"]) == (200, f'"{hashlib.md5(body).hexdigest()}"')
            assert server.took_the_long_way - before <= (1 if expects and not size else long)
            assert server.took_the_long_way - before >= long
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body
    wrong = hashlib.sha256(b"another").hexdigest()
    assert request(server, "PUT", path, body, payload=wrong).code == "XAmzContentSHA256Mismatch"
    assert request(server, "PUT", path, body, {"if-none-match": "*"}).code == "PreconditionFailed"
    assert request(server, "PUT", "/nowhere/k", body).code == "NoSuchBucket"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_many_bodies_at_once_share_a_bounded_memory(server: S3Server, bucket: str) -> None:
    """Whichever way they take then, all of them arrive."""
    body = bytes(1 << 17)
    wires = [Wire(server) for _ in range(160)]
    for number, wire in enumerate(wires):
        head = signed_head(server, "PUT", f"/{bucket}/{number}", {"content-length": str(len(body))})
        wire.send(head, body[: 1 << 16])
    for wire in wires:
        wire.send(body[1 << 16 :])
    for wire in wires:
        assert wire.receive().status == 200
        wire.socket.close()


def test_a_write_that_waited_in_vain_is_refused_and_does_not_wait_again(server: S3Server, bucket: str) -> None:
    """A body of a size that a worker seals, while packs that no node has taken leave no room."""
    gate = server.world.store.gate
    patience_s, gate.crowd_patience_s = gate.crowd_patience_s, 0.0
    server.loop.call_soon_threadsafe(gate.crowd, 1.0)
    try:
        s3 = server.client()
        s3.head_bucket(Bucket=bucket)
        long = server.took_the_long_way
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket=bucket, Key="k", Body=bytes(50_000))
        answer = refused.value.response
        assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (503, "SlowDown")
        assert "retry-after" in answer["ResponseMetadata"]["HTTPHeaders"]
        assert answer["Error"]["Resource"] == f"/{bucket}/k"
        assert server.took_the_long_way == long
    finally:
        server.loop.call_soon_threadsafe(gate.crowd, 0.0)
        gate.crowd_patience_s = patience_s
