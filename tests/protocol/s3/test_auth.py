"""Who is let in, and what the others are told. Signatures by hand and by boto3."""

import asyncio
import http.client
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from bench.sigv4 import UNSIGNED, Signer
from tests.support.s3_raw import Reply, Wire, head_of, request
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server


def exchange(server: S3Server, head: bytes, body: bytes = b"") -> Reply:
    """Send bytes as they are, receive one answer."""
    with Wire(server) as wire:
        wire.send(head, body)
        return wire.receive()


def altered(server: S3Server, changes: Mapping[str, str | None], target: str = "/bucket") -> Reply:
    """A signed GET with headers changed after signing."""
    headers: dict[str, str] = server.signer().sign("GET", target, payload_sha256=UNSIGNED)
    for name, value in changes.items():
        if value is None:
            headers.pop(name, None)
        else:
            headers[name] = value
    return exchange(server, head_of("GET", target, headers))


@pytest.mark.parametrize("target", ["/", "/bucket", "/bucket/k"])
def test_nobody_is_let_in_without_credentials(server: S3Server, target: str) -> None:
    reply = exchange(server, head_of("GET", target, {"host": "h"}))
    assert (reply.status, reply.code) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        ("", 403, "AccessDenied"),
        ("AWS AKID:signature", 400, "InvalidRequest"),
        ("Basic YTpi", 400, "InvalidArgument"),
        ("Bearer token", 400, "InvalidArgument"),
        ("AWS4-HMAC-SHA256", 400, "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 ", 400, "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/e", 400, "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=0", 400, "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 " + "x" * 5000, 400, "AuthorizationHeaderMalformed"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a, SignedHeaders=host, Signature=0", 501, "NotImplemented"),
    ],
)
def test_a_malformed_authorization_is_told_how(server: S3Server, authorization: str, status: int, code: str) -> None:
    reply = altered(server, {"authorization": authorization})
    assert (reply.status, reply.code) == (status, code)


def scope(day: str = "", region: str = "us-east-1", service: str = "s3", end: str = "aws4_request") -> str:
    """An Authorization header with a scope, correctly formed and wrongly signed."""
    day = day or datetime.now(UTC).strftime("%Y%m%d")
    return (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{day}/{region}/{service}/{end}, "
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={'0' * 64}"
    )


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (scope(), "SignatureDoesNotMatch"),
        (scope(region="eu-west-1"), "AuthorizationHeaderMalformed"),
        (scope(service="ec2"), "AuthorizationHeaderMalformed"),
        (scope(end="aws3"), "AuthorizationHeaderMalformed"),
        (scope(day="20000101"), "AuthorizationHeaderMalformed"),
        (scope(day="yesterday"), "AuthorizationHeaderMalformed"),
        (scope().replace(ACCESS_KEY, "AKIDNOBODY"), "InvalidAccessKeyId"),
        (scope().replace("0" * 64, "ü" * 10), "SignatureDoesNotMatch"),
        (scope().replace("host;", ""), "AccessDenied"),
        (scope().replace(";x-amz-date", ""), "AccessDenied"),
    ],
)
def test_a_wrong_signature_or_scope_is_told_how(server: S3Server, authorization: str, code: str) -> None:
    assert altered(server, {"authorization": authorization}).code == code


def test_the_expected_region_is_told(server: S3Server) -> None:
    reply = altered(server, {"authorization": scope(region="eu-west-1")})
    assert reply.text("Region") == "us-east-1"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"x-amz-date": "20000101T000000Z"}, "RequestTimeTooSkewed"),
        ({"x-amz-date": "garbage"}, "AccessDenied"),
        ({"x-amz-date": "20261399T000000Z"}, "AccessDenied"),
        ({"x-amz-date": None}, "AccessDenied"),
        ({"x-amz-content-sha256": None}, "InvalidRequest"),
        ({"x-amz-content-sha256": "short"}, "InvalidArgument"),
        ({"x-amz-content-sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, "NotImplemented"),
        ({"x-amz-content-sha256": "0" * 64}, "SignatureDoesNotMatch"),
        ({"x-amz-meta-added": "on the way"}, "AccessDenied"),
        ({"x-amz-security-token": "t"}, "InvalidToken"),
        ({"host": "other"}, "SignatureDoesNotMatch"),
    ],
)
def test_what_was_changed_after_signing_is_found(
    server: S3Server, changes: Mapping[str, str | None], code: str
) -> None:
    assert altered(server, changes).code == code


def test_a_date_header_will_do(server: S3Server) -> None:
    now = datetime.now(UTC)
    signer = server.signer()
    signed = signer.sign("GET", "/bucket", headers={"date": now.strftime("%a, %d %b %Y %H:%M:%S GMT")})
    reply = exchange(server, head_of("GET", "/bucket", {**signed}))
    assert reply.status == 200


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_that_is_off_is_told_so(server: S3Server, minutes: int) -> None:
    when = datetime.now(UTC) + timedelta(minutes=minutes)
    signer = Signer(ACCESS_KEY, SECRET_KEY, f"127.0.0.1:{server.port}", when=when)
    reply = exchange(server, head_of("GET", "/bucket", signer.sign("GET", "/bucket")))
    assert (reply.status, reply.code) == (403, "RequestTimeTooSkewed")
    assert reply.text("MaxAllowedSkewMilliseconds") == "900000"


@pytest.mark.parametrize(
    "target",
    [
        "/bucket/a//b",
        "/bucket/./x",
        "/bucket/../x",
        "/bucket/a%2Fb",
        "/bucket/a+b",
        "/bucket/a%20b",
        "/bucket/%c3%bc",
        "/bucket/a(b)!*'",
        "/bucket/a:b@c,d;e=f$g&h",
        "/bucket/~x",
    ],
)
def test_a_path_is_signed_as_it_is_sent(server: S3Server, target: str) -> None:
    assert request(server, "PUT", target, b"x").status == 200
    assert request(server, "GET", target).body == b"x"


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ("/bucket/a(b)!", "/bucket/a%28b%29%21"),
        ("/bucket/%c3%bc", "/bucket/%C3%BC"),
        ("/bucket?prefix=a/b&delimiter=/", "/bucket?delimiter=%2F&prefix=a%2Fb"),
        ("/bucket?prefix=a+b", "/bucket?prefix=a%20b"),
        ("/bucket?acl", "/bucket?acl="),
    ],
)
def test_a_path_may_be_signed_as_the_rules_encode_it(server: S3Server, sent: str, signed: str) -> None:
    path, _, query = signed.partition("?")
    headers = server.signer().sign("GET", path, query, payload_sha256=UNSIGNED)
    reply = exchange(server, head_of("GET", sent, headers))
    assert reply.status in (200, 404)


@pytest.mark.parametrize(("sent", "signed"), [("/bucket/a/b", "/bucket/a//b"), ("/bucket/x", "/bucket/./x")])
def test_a_signature_of_one_key_opens_no_other(server: S3Server, sent: str, signed: str) -> None:
    headers = server.signer().sign("GET", signed, payload_sha256=UNSIGNED)
    assert exchange(server, head_of("GET", sent, headers)).code == "SignatureDoesNotMatch"


def presigned(server: S3Server, method: str = "get_object", expires: int = 3600, **params: Any) -> str:
    """Path and query of a URL presigned by boto3."""
    client = server.client(signature_version="s3v4")
    url = client.generate_presigned_url(method, Params={"Bucket": "bucket", "Key": "pre", **params}, ExpiresIn=expires)
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def open_url(server: S3Server, method: str, target: str, body: bytes = b"", **headers: str) -> Reply:
    """A request that has nothing but its URL."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        fields = {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request(method, target, body or None, fields)
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def test_a_presigned_url_is_enough(server: S3Server) -> None:
    assert open_url(server, "PUT", presigned(server, "put_object"), b"bytes").status == 200
    reply = open_url(server, "GET", presigned(server, ResponseContentType="text/x"))
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"bytes", "text/x")
    assert open_url(server, "HEAD", presigned(server, "head_object")).status == 200


def test_headers_in_a_presigned_query_count(server: S3Server) -> None:
    target = presigned(server, "put_object", Metadata={"m": "1"}, ACL="private")
    if "x-amz-meta-m" in target.partition("X-Amz-SignedHeaders")[2].partition("&")[0]:
        reply = open_url(server, "PUT", target, b"x", x_amz_meta_m="1", x_amz_acl="private")
    else:
        reply = open_url(server, "PUT", target, b"x")
    assert reply.status == 200
    assert server.client().head_object(Bucket="bucket", Key="pre")["Metadata"] == {"m": "1"}


def changed(target: str, **changes: str | None) -> str:
    """The target with query parameters replaced or removed."""
    path, _, query = target.partition("?")
    pairs = dict(parse_qsl(query))
    for name, value in changes.items():
        if value is None:
            pairs.pop(name.replace("_", "-"))
        else:
            pairs[name.replace("_", "-")] = value
    return f"{path}?{urlencode(pairs)}"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"X_Amz_Signature": "0" * 64}, 403, "SignatureDoesNotMatch"),
        ({"X_Amz_Expires": "3601"}, 403, "SignatureDoesNotMatch"),
        ({"added": "1"}, 403, "SignatureDoesNotMatch"),
        ({"X_Amz_Expires": "soon"}, 400, "AuthorizationQueryParametersError"),
        ({"X_Amz_Expires": "-5"}, 403, "AccessDenied"),
        ({"X_Amz_Expires": "604801"}, 403, "AccessDenied"),
        ({"X_Amz_Algorithm": "AWS4-HMAC-MD5"}, 400, "AuthorizationQueryParametersError"),
        ({"X_Amz_Signature": None}, 400, "AuthorizationQueryParametersError"),
        ({"X_Amz_Date": None}, 400, "AuthorizationQueryParametersError"),
        ({"X_Amz_Date": "now"}, 400, "AuthorizationQueryParametersError"),
        ({"X_Amz_Date": "20000101T000000Z"}, 403, "AccessDenied"),
        ({"X_Amz_Credential": "a/b"}, 400, "AuthorizationQueryParametersError"),
        ({"X_Amz_Security_Token": "t"}, 400, "InvalidToken"),
    ],
)
def test_a_presigned_url_that_was_changed_is_refused(
    server: S3Server, changes: dict[str, str | None], status: int, code: str
) -> None:
    reply = open_url(server, "GET", changed(presigned(server), **changes))
    assert (reply.status, reply.code) == (status, code)


def test_a_presigned_url_ends(server: S3Server) -> None:
    target = presigned(server, expires=60)
    server.clock.ahead_s = 61
    try:
        reply = open_url(server, "GET", target)
    finally:
        server.clock.ahead_s = 0
    assert (reply.status, reply.code, reply.text("Message")) == (403, "AccessDenied", "Request has expired")


def test_only_one_way_to_sign_at_a_time(server: S3Server) -> None:
    reply = open_url(server, "GET", presigned(server), authorization=scope())
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_a_header_that_a_presigned_url_does_not_cover_is_refused(server: S3Server) -> None:
    reply = open_url(server, "PUT", presigned(server, "put_object"), b"x", x_amz_acl="private")
    assert (reply.status, reply.code) == (403, "AccessDenied")
    assert reply.text("HeadersNotSigned") == "x-amz-acl"


def test_signature_version_2_is_told_to_move_on(server: S3Server) -> None:
    client = server.client(signature_version="s3")
    url = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k"})
    parts = urlsplit(url)
    reply = open_url(server, "GET", f"{parts.path}?{parts.query}")
    assert (reply.status, reply.code) == (400, "InvalidRequest")
    assert "AWS4-HMAC-SHA256" in (reply.text("Message") or "")


def test_a_revoked_key_is_out_within_a_second(server: S3Server) -> None:
    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, server.loop).result()

    pair = run(server.world.accounts.add_key("alice"))
    signer = Signer(pair.access_key_id, pair.secret, f"127.0.0.1:{server.port}")
    head = head_of("GET", "/bucket", signer.sign("GET", "/bucket"))
    assert exchange(server, head).status == 200
    run(server.world.accounts.revoke_key(pair.access_key_id))
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    while (reply := exchange(server, head)).status == 200:
        assert datetime.now(UTC) < deadline
    assert reply.code == "InvalidAccessKeyId"


def test_failed_logins_are_counted_and_logged_without_secrets(
    server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"):
        altered(server, {"authorization": scope()})
        altered(server, {"authorization": scope().replace(ACCESS_KEY, "AKIDNOBODY")})
        exchange(server, head_of("GET", "/bucket", {"host": "h"}))
    lines = [record for record in caplog.records if record.message == "auth.failed"]
    fields = [(vars(line)["login"], vars(line)["reason"], vars(line)["client"]) for line in lines]
    assert fields == [(ACCESS_KEY, "signature", "127.0.0.1"), ("AKIDNOBODY", "unknown_key", "127.0.0.1")]
    assert "0" * 64 not in caplog.text


def test_a_key_of_another_day_signs_nothing_today(server: S3Server) -> None:
    """Whoever got hold of one day's signing key has that day only, also with a plain Date header."""
    yesterday = Signer(ACCESS_KEY, SECRET_KEY, f"127.0.0.1:{server.port}", when=datetime.now(UTC) - timedelta(days=1))
    today = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = yesterday.sign("GET", "/bucket", headers={"date": today})
    reply = exchange(server, head_of("GET", "/bucket", {n: v for n, v in headers.items() if n != "x-amz-date"}))
    assert (reply.status, reply.code) == (400, "AuthorizationHeaderMalformed")


def test_the_signing_key_does_not_outlive_the_day(server: S3Server) -> None:
    when = datetime.now(UTC) - timedelta(days=1)
    signer = Signer(ACCESS_KEY, SECRET_KEY, f"127.0.0.1:{server.port}", when=when)
    headers = signer.sign("GET", "/bucket")
    today = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    moved = re.sub(r"/\d{8}/", f"/{today[:8]}/", headers["authorization"])
    reply = exchange(server, head_of("GET", "/bucket", {**headers, "x-amz-date": today, "authorization": moved}))
    assert reply.code == "SignatureDoesNotMatch"
