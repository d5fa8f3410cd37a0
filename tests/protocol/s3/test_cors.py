"""Cross-origin requests: rules, preflights without credentials, and what answers say to scripts."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.s3_raw import Reply, Wire, head_of, request
from tests.support.s3_server import S3Server

RULES = [
    {"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": ["http://*.example", "https://exact"], "MaxAgeSeconds": 0},
    {
        "ID": "uploads",
        "AllowedMethods": ["PUT", "POST"],
        "AllowedOrigins": ["http://app.example"],
        "AllowedHeaders": ["Content-*", "x-amz-date"],
        "ExposeHeaders": ["ETag", "x-amz-version-id"],
        "MaxAgeSeconds": 3000,
    },
    {"AllowedMethods": ["DELETE"], "AllowedOrigins": ["*"], "AllowedHeaders": ["*"]},
]


@pytest.fixture
def ruled(s3: Any, bucket: str) -> str:
    """A bucket with the rules above."""
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    return bucket


def ask(server: S3Server, target: str, **headers: str) -> Reply:
    """A preflight, without credentials. ``origin``, ``method``, ``headers``."""
    names = {"origin": "Origin", "method": "Access-Control-Request-Method", "headers": "Access-Control-Request-Headers"}
    with Wire(server) as wire:
        wire.send(head_of("OPTIONS", target, {"Host": "h", **{names[key]: value for key, value in headers.items()}}))
        return wire.receive()


def test_rules_read_back_as_they_were_put_until_they_are_deleted(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.get_bucket_cors(Bucket=bucket)
    assert refused.value.response["Error"]["Code"] == "NoSuchCORSConfiguration"
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    s3.delete_bucket_cors(Bucket=bucket)
    with pytest.raises(ClientError):
        s3.get_bucket_cors(Bucket=bucket)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}, "InvalidRequest"),
        ({"AllowedMethods": ["GET"], "AllowedOrigins": ["*.*"]}, "InvalidRequest"),
        ({"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "AllowedHeaders": ["a*b*"]}, "InvalidRequest"),
        ({"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": ["x-*"]}, "InvalidRequest"),
        ({"AllowedMethods": ["GET"], "AllowedOrigins": ["a\r\nb"]}, "InvalidRequest"),
        ({"AllowedMethods": [], "AllowedOrigins": ["*"]}, "MalformedXML"),
        ({"AllowedMethods": ["GET"], "AllowedOrigins": []}, "MalformedXML"),
        ({"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "MaxAgeSeconds": -1}, "MalformedXML"),
        ({"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ID": "x" * 256}, "MalformedXML"),
    ],
)
def test_rules_that_cannot_be_are_refused(s3: Any, bucket: str, rule: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert refused.value.response["Error"]["Code"] == code


def test_more_than_a_hundred_rules_are_refused(s3: Any, bucket: str) -> None:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule] * 100})
    with pytest.raises(ClientError):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule] * 101})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"origin": "http://x.example", "method": "GET"}, "http://x.example"),
        ({"origin": "http://.example", "method": "HEAD"}, "http://.example"),
        ({"origin": "https://exact", "method": "GET"}, "https://exact"),
        ({"origin": "https://exact.more", "method": "GET"}, None),
        ({"origin": "http://x.EXAMPLE", "method": "GET"}, None),
        ({"origin": "https://exact", "method": "get"}, None),
        (
            {"origin": "http://app.example", "method": "PUT", "headers": "content-type, X-Amz-Date"},
            "http://app.example",
        ),
        ({"origin": "http://app.example", "method": "PUT", "headers": "content-type,x-other"}, None),
        ({"origin": "https://exact", "method": "GET", "headers": "x"}, None),
        ({"origin": "null", "method": "DELETE", "headers": "any,thing"}, "*"),
    ],
)
@pytest.mark.parametrize("key", ["", "/some/key?partNumber=1"])
def test_a_preflight_is_answered_by_the_first_rule_that_fits(
    server: S3Server, ruled: str, given: dict[str, str], told: str | None, key: str
) -> None:
    reply = ask(server, f"/{ruled}{key}", **given)
    assert reply.status == (403 if told is None else 200)
    assert reply.headers.get("access-control-allow-origin") == told
    if told is None:
        assert b"<Code>AccessForbidden</Code>" in reply.body


def test_a_preflight_tells_everything_a_browser_needs(server: S3Server, ruled: str) -> None:
    reply = ask(server, f"/{ruled}/k", origin="http://app.example", method="POST", headers="Content-Type")
    told = {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}
    assert told == {
        "access-control-allow-origin": "http://app.example",
        "access-control-allow-methods": "PUT, POST",
        "access-control-allow-headers": "content-type",
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "ETag, x-amz-version-id",
        "access-control-max-age": "3000",
    }
    assert "Origin" in reply.headers["vary"]


def test_a_preflight_that_announces_nothing_is_bad_and_without_rules_forbidden(server: S3Server, bucket: str) -> None:
    assert ask(server, f"/{bucket}").status == 400
    assert ask(server, f"/{bucket}", origin="http://x").status == 400
    assert ask(server, f"/{bucket}", method="GET").status == 400
    for target in (f"/{bucket}", "/no-such-bucket/k", "/"):
        assert ask(server, target, origin="http://x", method="GET").status == 403


@pytest.mark.parametrize("size", [10, 300_000])
def test_answers_to_scripts_say_what_they_may(server: S3Server, s3: Any, ruled: str, size: int) -> None:
    s3.put_object(Bucket=ruled, Key="k", Body=b"x" * size)
    read = request(server, "GET", f"/{ruled}/k", headers={"origin": "http://x.example"})
    assert (read.status, len(read.body)) == (200, size)
    assert read.headers["access-control-allow-origin"] == "http://x.example"
    assert read.headers["access-control-allow-methods"] == "GET, HEAD"
    assert "Origin" in read.headers["vary"]
    other = request(server, "GET", f"/{ruled}/k", headers={"origin": "http://else"})
    assert other.status == 200
    assert "access-control-allow-origin" not in other.headers
    assert "Origin" in other.headers["vary"]
    plain = request(server, "GET", f"/{ruled}/k")
    assert "access-control-allow-origin" not in plain.headers
    put = request(server, "PUT", f"/{ruled}/k2", b"x", headers={"origin": "http://app.example"})
    assert put.headers["access-control-expose-headers"] == "ETag, x-amz-version-id"


def test_refusals_say_it_too(server: S3Server, ruled: str) -> None:
    missing = request(server, "GET", f"/{ruled}/none", headers={"origin": "http://x.example"})
    assert (missing.status, missing.headers["access-control-allow-origin"]) == (404, "http://x.example")
    with Wire(server) as wire:
        wire.send(head_of("GET", f"/{ruled}/k", {"Host": "h", "Origin": "https://exact"}))
        denied = wire.receive()
    assert (denied.status, denied.headers["access-control-allow-origin"]) == (403, "https://exact")


@pytest.mark.parametrize("origin", ["http://\udcff.example", "http://ü.example", "http://a b.example"])
def test_what_an_answer_cannot_repeat_fits_no_rule(server: S3Server, ruled: str, origin: str) -> None:
    assert ask(server, f"/{ruled}/k", origin=origin, method="GET").status == 403
    assert ask(server, f"/{ruled}/k", origin="http://x", method="DELETE", headers="x-ü, y").status == 403
    with Wire(server) as wire:
        wire.send(head_of("GET", f"/{ruled}/k", {"Host": "h", "Origin": origin}))
        reply = wire.receive()
    assert reply.status == 403
    assert "access-control-allow-origin" not in reply.headers
