"""Access logs of buckets through a real client: configured, read back, refused, and written."""

import asyncio
import hashlib
import http.client
import json
import re
import urllib.parse
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from noisefs.core.domain.rights.identity import canonical_id, user_arn
from tests.support.namespace import ACCOUNT
from tests.support.s3_raw import request
from tests.support.s3_server import OTHER_KEY, OTHER_SECRET, S3Server, serve

FIELDS = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')
SERVICE = "logging.s3.amazonaws.com"
Fields = dict[str, Any]  # Any: values of several types


class Line(NamedTuple):
    """A line's fields, as AWS names them."""

    owner: str
    bucket: str
    time: str
    client: str
    requester: str
    request_id: str
    operation: str
    key: str
    uri: str
    status: str
    error: str
    sent: str
    size: str
    total: str
    turned: str
    referer: str
    agent: str
    version: str
    host_id: str
    signature: str
    cipher: str
    auth: str
    host: str
    tls: str
    access_point: str
    acl_required: str


def allow(server: S3Server, source: str, target: str, **more: Any) -> str:
    """AWS's recommended policy of a target."""
    account = server.world.store.access_logs.account
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": SERVICE},
        "Action": ["s3:PutObject"],
        "Resource": f"arn:aws:s3:::{target}/*",
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source}"},
            "StringEquals": {"aws:SourceAccount": account},
        },
    } | more
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def enable(s3: Any, source: str, target: str, **more: Any) -> Fields:
    """Log a bucket's requests."""
    rule = {"TargetBucket": target, "TargetPrefix": "log/"} | more
    s3.put_bucket_logging(Bucket=source, BucketLoggingStatus={"LoggingEnabled": rule})
    return rule


@pytest.fixture
def target(s3: Any, server: S3Server, bucket: str) -> str:
    """A bucket that the service may write logs of ``bucket`` to."""
    name = f"{bucket}-logs"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_policy(Bucket=name, Policy=allow(server, bucket, name))
    return name


def flush(server: S3Server) -> None:
    """Have lines delivered now."""
    asyncio.run_coroutine_threadsafe(server.adapter.access_log.flush(), server.loop).result(30)


def keys(s3: Any, target: str) -> list[str]:
    """Names of the objects with lines."""
    return [found["Key"] for found in s3.list_objects_v2(Bucket=target).get("Contents", [])]


def lines(server: S3Server, s3: Any, target: str) -> list[Line]:
    """All lines that were written, in order."""
    flush(server)
    texts = [s3.get_object(Bucket=target, Key=key)["Body"].read().decode() for key in keys(s3, target)]
    return [Line(*FIELDS.findall(line)) for text in texts for line in text.splitlines()]


def code(refused: pytest.ExceptionInfo[ClientError]) -> str:
    """The error's."""
    found: str = refused.value.response["Error"]["Code"]
    return found


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"TargetPrefix": ""},
        {"TargetObjectKeyFormat": {"SimplePrefix": {}}},
        {"TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}},
        {"TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "DeliveryTime"}}},
    ],
)
def test_the_configuration_reads_back_as_it_was_put_until_it_is_removed(
    s3: Any, bucket: str, target: str, more: Fields
) -> None:
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    rule = enable(s3, bucket, target, **more)
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == rule
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)


@pytest.mark.parametrize(
    "more",
    [
        {"Principal": {"AWS": "*"}},
        {"Action": ["s3:GetObject"]},
        {"Resource": ["arn:aws:s3:::{target}/other/*"]},
        {"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::other"}}},
        {"Condition": {"StringEquals": {"aws:SourceAccount": "1"}}},
        {"Effect": "Deny"},
    ],
)
def test_a_target_whose_policy_does_not_let_the_service_write_is_refused(
    s3: Any, server: S3Server, bucket: str, target: str, more: Fields
) -> None:
    if "Resource" in more:
        more = {"Resource": [text.format(target=target) for text in more["Resource"]]}
    s3.put_bucket_policy(Bucket=target, Policy=allow(server, bucket, target, **more))
    with pytest.raises(ClientError) as refused:
        enable(s3, bucket, target)
    assert code(refused) == "InvalidTargetBucketForLogging"
    s3.delete_bucket_policy(Bucket=target)
    with pytest.raises(ClientError) as refused:
        enable(s3, bucket, target)
    assert code(refused) == "InvalidTargetBucketForLogging"


def test_a_target_that_is_nowhere_or_somebody_elses_is_refused(s3: Any, server: S3Server, bucket: str) -> None:
    other = server.client(OTHER_KEY, OTHER_SECRET)
    other.create_bucket(Bucket=f"{bucket}-bobs")
    other.put_bucket_policy(Bucket=f"{bucket}-bobs", Policy=allow(server, bucket, f"{bucket}-bobs"))
    for target in (f"{bucket}-nowhere", f"{bucket}-bobs"):
        with pytest.raises(ClientError) as refused:
            enable(s3, bucket, target)
        assert code(refused) == "InvalidTargetBucketForLogging"
    with pytest.raises(ClientError) as refused:
        enable(s3, f"{bucket}-nowhere", bucket)
    assert code(refused) == "NoSuchBucket"


@pytest.mark.parametrize(
    "inside",
    [
        "<LoggingEnabled><TargetBucket>{target}</TargetBucket></LoggingEnabled>",
        "<LoggingEnabled><TargetPrefix>x</TargetPrefix></LoggingEnabled>",
        "<LoggingEnabled>{both}<LoggingType>Journal</LoggingType></LoggingEnabled>",
        "<LoggingEnabled>{both}<TargetObjectKeyFormat/></LoggingEnabled>",
        "<LoggingEnabled>{both}<TargetObjectKeyFormat><Other/></TargetObjectKeyFormat></LoggingEnabled>",
        "<LoggingEnabled>{both}</LoggingEnabled><LoggingEnabled>{both}</LoggingEnabled>",
    ],
)
def test_what_is_no_configuration_is_malformed(server: S3Server, bucket: str, target: str, inside: str) -> None:
    both = f"<TargetBucket>{target}</TargetBucket><TargetPrefix>x</TargetPrefix>"
    body = f"<BucketLoggingStatus>{inside.format(target=target, both=both)}</BucketLoggingStatus>"
    assert request(server, "PUT", f"/{bucket}?logging", body.encode()).code == "MalformedXML"


def test_an_unknown_date_source_is_malformed(s3: Any, bucket: str, target: str) -> None:
    with pytest.raises(ClientError) as refused:
        enable(s3, bucket, target, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "kaboom"}})
    assert code(refused) == "MalformedXML"


def test_grants_need_a_target_that_takes_lists(s3: Any, server: S3Server, bucket: str, target: str) -> None:
    """There they are on the objects; the log delivery group's own grants are as good as a policy."""
    alice = s3.get_bucket_acl(Bucket=bucket)["Owner"]["ID"]
    grants = [
        {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}
    ]
    with pytest.raises(ClientError) as refused:
        enable(s3, bucket, target, TargetGrants=grants)
    assert code(refused) == "AccessControlListNotSupported"
    listed = f"{bucket}-lists"
    s3.create_bucket(Bucket=listed, ObjectOwnership="ObjectWriter")
    with pytest.raises(ClientError) as refused:
        enable(s3, bucket, listed, TargetGrants=grants)
    assert code(refused) == "InvalidTargetBucketForLogging"
    s3.put_bucket_acl(Bucket=listed, ACL="log-delivery-write")
    rule = enable(s3, bucket, listed, TargetGrants=grants)
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == rule
    s3.head_bucket(Bucket=bucket)
    flush(server)
    told = s3.get_object_acl(Bucket=listed, Key=keys(s3, listed)[0])
    assert told["Grants"][0] == grants[0]
    assert told["Grants"][1]["Grantee"]["ID"] == told["Owner"]["ID"] == alice


def test_a_put_and_a_get_leave_a_line_each_with_all_fields(s3: Any, server: S3Server, bucket: str, target: str) -> None:
    enable(s3, bucket, target)
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=b"data!")
    answer = s3.get_object(Bucket=bucket, Key="a b/ü", Range="bytes=1-2")
    answer["Body"].read()
    written = lines(server, s3, target)
    put, get = (line for line in written if line.operation.endswith(".OBJECT"))
    assert get.owner == canonical_id(asyncio.run(_owner(server)))
    assert get.bucket == bucket
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]", get.time)
    assert (get.client, get.requester) == ("127.0.0.1", user_arn(ACCOUNT, "alice"))
    assert get.request_id == answer["ResponseMetadata"]["RequestId"]
    assert get.host_id == answer["ResponseMetadata"]["HostId"]
    assert (put.operation, get.operation) == ("REST.PUT.OBJECT", "REST.GET.OBJECT")
    assert get.key == "a%2520b/%25C3%25BC"
    assert get.uri == f'"GET /{bucket}/a%20b/%C3%BC HTTP/1.1"'
    assert (get.status, get.error, get.sent, get.size) == ("206", "-", "2", "5")
    assert (put.status, put.error, put.sent, put.size) == ("200", "-", "-", "5")
    assert get.total.isdigit()
    assert get.turned.isdigit()
    assert get.referer == '"-"'
    assert "boto3" in get.agent.lower()
    assert (get.signature, get.cipher, get.auth, get.tls) == ("SigV4", "-", "AuthHeader", "-")
    assert get.host == f"127.0.0.1:{server.port}"
    assert (get.version, get.access_point, get.acl_required) == ("-", "-", "-")


async def _owner(server: S3Server) -> Any:
    return next(user_id for user_id, user in await server.world.accounts.list_users() if user.name == "alice")


def test_what_takes_the_short_way_elsewhere_is_logged_too(s3: Any, server: S3Server, bucket: str, target: str) -> None:
    """On a connection that was used before, without waiting to be told to send."""
    enable(s3, bucket, target)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for method, body in (("PUT", b"x"), ("PUT", b"y"), ("GET", b""), ("HEAD", b""), ("DELETE", b"")):
        signed = server.signer().sign(method, f"/{bucket}/k", payload_sha256=hashlib.sha256(body).hexdigest())
        connection.request(method, f"/{bucket}/k", body=body or None, headers=signed)
        connection.getresponse().read()
    connection.close()
    operations = [line.operation for line in lines(server, s3, target)]
    assert operations == ["REST.PUT.OBJECT"] * 2 + ["REST.GET.OBJECT", "REST.HEAD.OBJECT", "REST.DELETE.OBJECT"]


def test_refusals_strangers_and_presigned_requests_are_logged(
    s3: Any, server: S3Server, bucket: str, target: str
) -> None:
    enable(s3, bucket, target)
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="gone")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    url = server.client(signature_version="s3v4").generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "gone"}
    )
    headers = {"User-Agent": 'a"b', "Referer": "http://x/"}
    for path in (f"/{bucket}/k", url.partition(str(server.port))[2]):
        connection.request("GET", path, headers=headers)
        connection.getresponse().read()
    connection.close()
    gone, stranger, presigned = lines(server, s3, target)
    assert (gone.status, gone.error, gone.size) == ("404", "NoSuchKey", "-")
    assert int(gone.sent) > 0
    assert (stranger.status, stranger.error, stranger.requester) == ("403", "AccessDenied", "-")
    assert (stranger.signature, stranger.auth) == ("-", "-")
    assert (stranger.agent, stranger.referer) == ('"a%22b"', '"http://x/"')
    assert (presigned.auth, presigned.error) == ("QueryString", "NoSuchKey")
    assert "X-Amz-Signature=REDACTED" in presigned.uri
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["X-Amz-Signature"][0] not in presigned.uri


def test_operations_have_aws_names(s3: Any, server: S3Server, bucket: str, target: str) -> None:
    enable(s3, bucket, target)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    s3.list_objects_v2(Bucket=bucket)
    s3.get_bucket_acl(Bucket=bucket)
    s3.copy_object(Bucket=bucket, Key="l", CopySource={"Bucket": bucket, "Key": "k"})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
    )
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "l", "VersionId": "?"}]})
    written = lines(server, s3, target)
    assert [(line.operation, line.key, line.status) for line in written] == [
        ("REST.PUT.VERSIONING", "-", "200"),
        ("REST.PUT.OBJECT", "k", "200"),
        ("REST.GET.BUCKET", "-", "200"),
        ("REST.GET.ACL", "-", "200"),
        ("REST.COPY.OBJECT", "l", "200"),
        ("REST.COPY.OBJECT_GET", "k", "200"),
        ("REST.POST.UPLOADS", "m", "200"),
        ("REST.PUT.PART", "m", "200"),
        ("REST.POST.UPLOAD", "m", "200"),
        ("REST.POST.MULTI_OBJECT_DELETE", "-", "200"),
        ("BATCH.DELETE.OBJECT", "k", "204"),
        ("BATCH.DELETE.OBJECT", "l", "404"),
    ]
    assert written[1].version == version
    assert written[-1].error == "NoSuchVersion"


@pytest.mark.parametrize("source", ["EventTime", "DeliveryTime"])
def test_partitioned_names_tell_account_region_bucket_and_day(
    s3: Any, server: S3Server, bucket: str, target: str, source: str
) -> None:
    enable(s3, bucket, target, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": source}})
    s3.head_bucket(Bucket=bucket)
    flush(server)
    account = server.world.store.access_logs.account
    time = "00-00-00" if source == "EventTime" else r"\d\d-\d\d-\d\d"
    (key,) = keys(s3, target)
    assert re.fullmatch(
        rf"log/{account}/us-east-1/{bucket}/(\d{{4}})/(\d\d)/(\d\d)/\1-\2-\3-{time}-[0-9A-F]{{16}}", key
    )
    enable(s3, bucket, target)
    s3.head_bucket(Bucket=bucket)
    flush(server)
    assert any(re.fullmatch(r"log/\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-[0-9A-F]{16}", key) for key in keys(s3, target))


def test_a_right_that_is_taken_away_ends_the_delivery(s3: Any, server: S3Server, bucket: str, target: str) -> None:
    """Lines that wait are dropped; where it is given again, later ones arrive."""
    enable(s3, bucket, target)
    s3.head_bucket(Bucket=bucket)
    s3.delete_bucket_policy(Bucket=target)
    assert lines(server, s3, target) == []
    s3.put_bucket_policy(Bucket=target, Policy=allow(server, bucket, target))
    assert lines(server, s3, target) == []
    s3.head_bucket(Bucket=bucket)
    assert [line.operation for line in lines(server, s3, target)] == ["REST.HEAD.BUCKET"]


def test_lines_wait_while_the_store_cannot_take_them(s3: Any, server: S3Server, bucket: str, target: str) -> None:
    """A disk that is full refuses writes for now."""
    enable(s3, bucket, target)
    s3.head_bucket(Bucket=bucket)
    server.world.store.gate.close("full")
    try:
        flush(server)
    finally:
        server.world.store.gate.close("")
    assert keys(s3, target) == []
    assert [line.operation for line in lines(server, s3, target)] == ["REST.HEAD.BUCKET"]


def test_the_log_of_a_removed_bucket_tells_who_removed_it(s3: Any, server: S3Server, bucket: str, target: str) -> None:
    enable(s3, bucket, target)
    s3.delete_bucket(Bucket=bucket)
    assert [(line.operation, line.status) for line in lines(server, s3, target)] == [("REST.DELETE.BUCKET", "204")]


def test_whoever_is_let_by_a_list_alone_is_marked(s3: Any, server: S3Server, bucket: str, target: str) -> None:
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    enable(s3, bucket, target)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    server.client(OTHER_KEY, OTHER_SECRET).get_object(Bucket=bucket, Key="k")["Body"].read()
    assert [line.acl_required for line in lines(server, s3, target)] == ["-", "Yes"]


def test_lines_are_delivered_by_themselves_and_when_the_server_ends() -> None:
    """The first after the time that is set, the second by the end."""
    with serve() as server:
        s3 = server.client()
        s3.create_bucket(Bucket="target")
        s3.put_bucket_policy(Bucket="target", Policy=allow(server, "bucket", "target"))
        enable(s3, "bucket", "target")
        s3.head_bucket(Bucket="bucket")
        for _ in range(1000):
            server.loop.call_soon_threadsafe(server.clock.advance, 300)
            if keys(s3, "target"):
                break
        assert len(keys(s3, "target")) == 1
        s3.head_bucket(Bucket="bucket")
        asyncio.run_coroutine_threadsafe(server.adapter.close(), server.loop).result(30)
        assert len(keys(s3, "target")) == 2
