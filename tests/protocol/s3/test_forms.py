"""Uploads by forms of browsers, with boto3's policies and with older ones, sent by urllib3."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3

from tests.support.s3_raw import Wire, head_of
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

Field = tuple[str, Any]  # Any: urllib3 takes texts, bytes, and triples with a file name


@pytest.fixture(scope="module")
def http() -> Iterator[urllib3.PoolManager]:
    """A client that follows no redirections."""
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


def send(http: urllib3.PoolManager, server: S3Server, bucket: str, fields: Sequence[Field]) -> Any:
    """Post a form. Any: urllib3's response."""
    return http.request("POST", f"{server.endpoint}/{bucket}", fields=list(fields), redirect=False)


def code_of(reply: Any) -> str:
    """The code of an error answer."""
    return str(reply.data.decode().partition("<Code>")[2].partition("</Code>")[0])


def old_form(
    bucket: str, conditions: list[Any], fields: dict[str, str], document: dict[str, Any] | None = None
) -> list[Field]:
    """A form as it was signed before Version 4. ``document``: what is else in its policy; ``None``: not there."""
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    policy = {"expiration": until, "conditions": [{"bucket": bucket}, *conditions]} | (document or {})
    text = base64.b64encode(json.dumps({name: value for name, value in policy.items() if value is not None}).encode())
    signature = base64.b64encode(hmac.new(SECRET_KEY.encode(), text, hashlib.sha1).digest())
    signed = {"AWSAccessKeyId": ACCESS_KEY, "signature": signature.decode(), "policy": text.decode()}
    return [*fields.items(), *signed.items()]


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("size", [0, 3, 5000, 700_000])
def test_a_file_is_stored_as_it_is_with_what_the_form_says(
    server: S3Server, s3: Any, http: urllib3.PoolManager, bucket: str, size: int, version: str
) -> None:
    signing = server.client(signature_version=version)
    body = (b"\r\n--\r\r\n-" * (size // 8 + 1))[:size]
    given = {
        "Content-Type": "text/x",
        "Cache-Control": "no-cache",
        "x-amz-meta-Who": "ü",
        "acl": "private",
        "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>",
    }
    conditions = [{name: value} for name, value in given.items()] + [["content-length-range", 0, size]]
    post = signing.generate_presigned_post(bucket, "in/${filename}", Fields=given, Conditions=conditions)
    reply = send(http, server, bucket, [*post["fields"].items(), ("file", ("C:\\dir\\a b.txt", body, "text/plain"))])
    assert (reply.status, reply.data) == (204, b"")
    read = s3.get_object(Bucket=bucket, Key="in/a b.txt")
    assert (read["Body"].read(), read["ContentType"], read["CacheControl"]) == (body, "text/x", "no-cache")
    assert (read["TagCount"], read["ETag"]) == (1, reply.headers["ETag"])
    assert s3.get_object_tagging(Bucket=bucket, Key="in/a b.txt")["TagSet"] == [{"Key": "a", "Value": "b c"}]


def test_only_the_field_called_file_is_the_file(
    server: S3Server, s3: Any, http: urllib3.PoolManager, bucket: str
) -> None:
    post = s3.generate_presigned_post(bucket, "k")
    fields = [(name, (f"{name}.txt", value)) for name, value in post["fields"].items()]
    reply = send(http, server, bucket, [*fields, ("FILE", ("f", b"abc")), ("behind", ("g", b"ignored"))])
    assert reply.status == 204
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abc"


@pytest.mark.parametrize(("status", "got"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204)])
def test_the_status_is_that_which_the_form_asks_for(
    server: S3Server, s3: Any, http: urllib3.PoolManager, bucket: str, status: str, got: int
) -> None:
    fields = {"success_action_status": status}
    post = s3.generate_presigned_post(bucket, "a b", Fields=fields, Conditions=[fields])
    reply = send(http, server, bucket, [*post["fields"].items(), ("file", ("f", b"abc"))])
    assert reply.status == got
    assert reply.headers["Location"] == f"{server.endpoint}/{bucket}/a%20b"
    if got == 201:
        assert b"<Key>a b</Key>" in reply.data
        assert f"<Bucket>{bucket}</Bucket>".encode() in reply.data


@pytest.mark.parametrize(
    ("url", "told"), [("http://x/y", "http://x/y?"), ("https://x/y?z=1", "https://x/y?z=1&"), ("javascript:1", "")]
)
def test_a_redirection_tells_what_was_stored(
    server: S3Server, s3: Any, http: urllib3.PoolManager, bucket: str, url: str, told: str
) -> None:
    fields = {"success_action_redirect": url}
    post = s3.generate_presigned_post(bucket, "a b", Fields=fields, Conditions=[fields])
    reply = send(http, server, bucket, [*post["fields"].items(), ("file", ("f", b"abc"))])
    etag = hashlib.md5(b"abc").hexdigest()
    assert reply.status == (303 if told else 204)
    if told:
        assert reply.headers["Location"] == f"{told}bucket={bucket}&key=a%20b&etag=%22{etag}%22"


@pytest.mark.parametrize(
    ("conditions", "fields", "refusal"),
    [
        ([], {"key": "k"}, (403, "AccessDenied")),
        ([{"key": "k"}], {"key": "other"}, (403, "AccessDenied")),
        ([["starts-with", "$key", "in/"]], {"key": "in/x"}, None),
        ([["StArTs-WiTh", "$KeY", "in/"], {"aCl": "private"}], {"kEy": "in/x", "ACL": "private"}, None),
        ([["starts-with", "$key", "in/"]], {"key": "out/x"}, (403, "AccessDenied")),
        ([{"key": "k"}], {"key": "k", "x-amz-meta-a": "1"}, (403, "AccessDenied")),
        ([{"key": "k"}], {"key": "k", "x-ignore-a": "1"}, None),
        ([{"key": "k"}, {"x-amz-meta-a": "1"}], {"key": "k"}, (403, "AccessDenied")),
        ([{"key": "k"}, ["starts-with", "$Content-Type", "image/"]], {"key": "k", "Content-Type": "image/x"}, None),
        (
            [{"key": "k"}, ["starts-with", "$Content-Type", "image/"]],
            {"key": "k", "Content-Type": "image/x,text/y"},
            (403, "AccessDenied"),
        ),
        ([{"key": "k"}, ["content-length-range", 3, 3]], {"key": "k"}, None),
        ([{"key": "k"}, ["content-length-range", 0, 2]], {"key": "k"}, (400, "EntityTooLarge")),
        ([{"key": "k"}, ["content-length-range", 4, 9]], {"key": "k"}, (400, "EntityTooSmall")),
        ([{"key": "k"}, ["content-length-range", 4]], {"key": "k"}, (400, "InvalidPolicyDocument")),
        ([{"key": "k"}, ["content-length-range", -1, 4]], {"key": "k"}, (400, "InvalidPolicyDocument")),
        ([{"key": "k"}, {}], {"key": "k"}, (400, "InvalidPolicyDocument")),
        ([{"key": "k"}, ["is", "$key", "k"]], {"key": "k"}, (400, "InvalidPolicyDocument")),
        ([{"key": "k"}], {}, (400, "InvalidArgument")),
        ([{"key": "k"}], {"key": "k", "x-amz-checksum-crc32": "NSRBwg=="}, None),
        ([{"key": "k"}], {"key": "k", "x-amz-checksum-crc32": "AAAAAA=="}, (400, "BadDigest")),
        ([{"key": "k"}, {"acl": "nonsense"}], {"key": "k", "acl": "nonsense"}, (400, "InvalidArgument")),
        ([{"key": "k"}, {"tagging": "<A/>"}], {"key": "k", "tagging": "<A/>"}, (400, "MalformedXML")),
    ],
)
def test_the_policy_says_what_may_be_sent(
    server: S3Server,
    s3: Any,
    http: urllib3.PoolManager,
    bucket: str,
    conditions: list[Any],
    fields: dict[str, str],
    refusal: tuple[int, str] | None,
) -> None:
    reply = send(http, server, bucket, [*old_form(bucket, conditions, fields), ("file", ("f", b"abc"))])
    assert (reply.status, code_of(reply)) == (refusal or (204, ""))
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == (0 if refusal else 1)


@pytest.mark.parametrize(
    ("document", "refusal"),
    [
        ({"expiration": "2020-01-01T00:00:00Z"}, (403, "AccessDenied")),
        ({"expiration": "tomorrow"}, (400, "InvalidPolicyDocument")),
        ({"expiration": None, "EXPIRATION": "2999-01-01T00:00:00Z"}, (400, "InvalidPolicyDocument")),
        ({"conditions": None}, (400, "InvalidPolicyDocument")),
        ({"conditions": [{"key": "k"}]}, (403, "AccessDenied")),
    ],
)
def test_a_policy_must_be_one_and_hold(
    server: S3Server, http: urllib3.PoolManager, bucket: str, document: dict[str, Any], refusal: tuple[int, str]
) -> None:
    form = old_form(bucket, [{"key": "k"}], {"key": "k"}, document)
    reply = send(http, server, bucket, [*form, ("file", ("f", b"abc"))])
    assert (reply.status, code_of(reply)) == refusal


def test_who_did_not_sign_it_is_refused(server: S3Server, s3: Any, http: urllib3.PoolManager, bucket: str) -> None:
    form = dict(old_form(bucket, [{"key": "k"}], {"key": "k"}))
    file = ("file", ("f", b"abc"))
    for changed, refusal in (
        ({"signature": "AAAA"}, (403, "SignatureDoesNotMatch")),
        ({"AWSAccessKeyId": "AKIDNOBODY"}, (403, "InvalidAccessKeyId")),
        ({"signature": ""}, (400, "InvalidArgument")),
        ({"policy": base64.b64encode(b"{}").decode()}, (403, "SignatureDoesNotMatch")),
    ):
        reply = send(http, server, bucket, [*(form | changed).items(), file])
        assert (reply.status, code_of(reply)) == refusal
    post = server.client(signature_version="s3v4").generate_presigned_post(bucket, "k")["fields"]
    for changed, refusal in (
        ({"x-amz-signature": "0" * 64}, (403, "SignatureDoesNotMatch")),
        ({"x-amz-algorithm": "AWS4-HMAC-SHA512"}, (400, "InvalidArgument")),
        ({"x-amz-credential": "a/b"}, (400, "InvalidArgument")),
    ):
        reply = send(http, server, bucket, [*(post | changed).items(), file])
        assert (reply.status, code_of(reply)) == refusal
    reply = send(http, server, bucket, [("key", "k"), file])
    assert (reply.status, code_of(reply)) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", "MalformedPOSTRequest"),
        (b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n", "MalformedPOSTRequest"),
        (b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx', "MalformedPOSTRequest"),
        (b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--B--\r\n', "InvalidArgument"),
        (b"--B\r\n" + b"x" * 30_000, "MaxPostPreDataLengthExceededError"),
        (b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--B--\r\n', "MalformedPOSTRequest"),
    ],
)
def test_what_is_no_form_is_refused(server: S3Server, bucket: str, body: bytes, refusal: str) -> None:
    head = {"Host": "h", "Content-Type": "multipart/form-data; boundary=B", "Content-Length": str(len(body))}
    with Wire(server) as wire:
        wire.send(head_of("POST", f"/{bucket}", head), body)
        reply = wire.receive()
    assert (reply.status, reply.code) == (400, refusal)


def test_a_file_without_an_end_is_not_stored(server: S3Server, s3: Any, bucket: str) -> None:
    fields = s3.generate_presigned_post(bucket, "k")["fields"]
    parts = [
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    body = "".join(parts).encode() + b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf of it\r\n--B'[:-1]
    head = {"Host": "h", "Content-Type": "multipart/form-data; boundary=B", "Content-Length": str(len(body))}
    with Wire(server) as wire:
        wire.send(head_of("POST", f"/{bucket}", head), body)
        reply = wire.receive()
    assert (reply.status, reply.code) == (400, "MalformedPOSTRequest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_post_that_is_no_form_is_refused(server: S3Server, bucket: str) -> None:
    with Wire(server) as wire:
        wire.send(head_of("POST", f"/{bucket}", {"Host": "h", "Content-Length": "1"}), b"x")
        reply = wire.receive()
    assert (reply.status, reply.code) == (412, "PreconditionFailed")


def test_nobody_may_send_a_form_where_a_policy_lets_everybody(
    server: S3Server, s3: Any, http: urllib3.PoolManager, bucket: str
) -> None:
    s3.delete_public_access_block(Bucket=bucket)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/open/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    file = ("file", ("f", b"abc"))
    assert send(http, server, bucket, [("key", "open/k"), ("x-amz-meta-a", "1"), file]).status == 204
    assert s3.get_object(Bucket=bucket, Key="open/k")["Metadata"] == {"a": "1"}
    reply = send(http, server, bucket, [("key", "closed/k"), file])
    assert (reply.status, code_of(reply)) == (403, "AccessDenied")


def test_a_form_of_nobody_is_refused_before_its_file_is_read(server: S3Server, bucket: str) -> None:
    """The answer comes while most of the body has not been sent."""
    named = b"--B\r\nContent-Disposition: form-data; name="
    begin = named + b'"key"\r\n\r\nk\r\n' + named + b'"file"\r\n\r\n'
    head = {"Host": "h", "Content-Type": "multipart/form-data; boundary=B", "Content-Length": str(1 << 30)}
    with Wire(server) as wire:
        wire.send(head_of("POST", f"/{bucket}", head), begin)
        reply = wire.receive()
    assert (reply.status, reply.code) == (403, "AccessDenied")


@pytest.mark.parametrize("name", ["x-amz-meta-a b", "x-amz-meta-ü", "x-amz-meta-a:b", "x-amz-meta-"])
def test_metadata_must_be_named_as_headers_are(
    server: S3Server, s3: Any, http: urllib3.PoolManager, bucket: str, name: str
) -> None:
    form = old_form(bucket, [{"key": "k"}, {name: "1"}], {"key": "k", name: "1"})
    reply = send(http, server, bucket, [*form, ("file", ("f", b"abc"))])
    assert reply.status in (204, 400)
    if reply.status == 204:
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abc"
    else:
        assert code_of(reply) == "InvalidArgument"


def test_a_value_of_two_lines_splits_no_answer(
    server: S3Server, s3: Any, http: urllib3.PoolManager, bucket: str
) -> None:
    fields = {"key": "k", "Content-Type": "a/b\r\nX-Evil: 1", "x-amz-meta-a": "1\r\nX-Evil: 1"}
    form = old_form(bucket, [{name: value} for name, value in fields.items()], fields)
    assert send(http, server, bucket, [*form, ("file", ("f", b"abc"))]).status == 204
    read = s3.get_object(Bucket=bucket, Key="k")
    assert "x-evil" not in read["ResponseMetadata"]["HTTPHeaders"]
    assert read["ContentType"] == "binary/octet-stream"
