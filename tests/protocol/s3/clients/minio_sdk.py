"""What applications do with minio-py: every call of its that the server has, each answer checked."""

import io
import json
import os
import sys
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from minio import Minio
from minio.commonconfig import COMPLIANCE, ENABLED, ComposeSource, CopySource, Filter, Tags
from minio.credentials import AssumeRoleProvider
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.objectlockconfig import DAYS, GOVERNANCE, ObjectLockConfig
from minio.retention import Retention
from minio.sseconfig import Rule as EncryptionRule
from minio.sseconfig import SSEConfig
from minio.versioningconfig import VersioningConfig

BUCKET = "minio"
PART = 5 << 20


def put(client: Minio, name: str, body: bytes, bucket: str = BUCKET) -> str | None:
    """Put a small object; its version."""
    version: str | None = client.put_object(bucket, name, io.BytesIO(body), len(body)).version_id
    return version


def get(client: Minio, name: str, **options: object) -> bytes:
    """All of an object, or the range asked for."""
    answer = client.get_object(BUCKET, name, **options)
    try:
        body: bytes = answer.read()
        return body
    finally:
        answer.close()
        answer.release_conn()


def refusal(call: Callable[[], object]) -> str:
    """The code of a refusal."""
    try:
        call()
    except S3Error as exc:
        return str(exc.code)
    raise AssertionError("it was not refused")


def objects(client: Minio) -> None:
    """Metadata, ranges, listings with a delimiter, conditional copies, deletes of many."""
    assert not client.bucket_exists(BUCKET)
    client.make_bucket(BUCKET)
    assert client.bucket_exists(BUCKET)
    assert [bucket.name for bucket in client.list_buckets()] == [BUCKET]
    body = os.urandom(70_000)
    name = "a b/ümläut+&%.bin"
    put_ = client.put_object(
        BUCKET, name, io.BytesIO(body), len(body), content_type="text/x-own", metadata={"Owner": "some one"}
    )
    stat = client.stat_object(BUCKET, name)
    assert (stat.size, stat.content_type, stat.etag) == (len(body), "text/x-own", put_.etag)
    assert stat.metadata is not None
    assert stat.metadata["x-amz-meta-owner"] == "some one"
    assert get(client, name) == body
    assert get(client, name, offset=100, length=50) == body[100:150]
    copied = client.copy_object(BUCKET, "copy", CopySource(BUCKET, name, match_etag=put_.etag))
    assert copied.etag == put_.etag
    wrong = CopySource(BUCKET, name, match_etag="0" * 32)
    assert refusal(lambda: client.copy_object(BUCKET, "copy", wrong)) == "PreconditionFailed"
    for number in range(12):
        put(client, f"many/{number:02}", b"x")
    listed = [found.object_name for found in client.list_objects(BUCKET)]
    assert sorted(listed) == ["a b/", "copy", "many/"]
    everything = {found.object_name for found in client.list_objects(BUCKET, recursive=True)}
    assert everything == {name, "copy", *(f"many/{number:02}" for number in range(12))}
    doomed = [DeleteObject(f"many/{number:02}") for number in range(12)]
    assert list(client.remove_objects(BUCKET, doomed)) == []
    assert refusal(lambda: client.stat_object(BUCKET, "many/00")) == "NoSuchKey"


def multipart(client: Minio) -> None:
    """Uploads in parts, of known and unknown length, and an object composed of others."""
    body = os.urandom(2 * PART + 12_345)
    client.put_object(BUCKET, "parts", io.BytesIO(body), len(body), part_size=PART)
    assert get(client, "parts") == body
    client.put_object(BUCKET, "stream", io.BytesIO(body), -1, part_size=PART)
    assert get(client, "stream") == body
    etag = client.stat_object(BUCKET, "stream").etag
    assert etag is not None
    assert etag.endswith("-3")
    sources = [ComposeSource(BUCKET, "parts"), ComposeSource(BUCKET, "stream", offset=7, length=1000)]
    client.compose_object(BUCKET, "composed", sources)
    assert get(client, "composed") == body + body[7:1007]


def presigned(client: Minio) -> None:
    """URLs that need no key, and a browser form."""
    put_url = client.presigned_put_object(BUCKET, "by url", expires=timedelta(minutes=5))
    with urllib.request.urlopen(urllib.request.Request(put_url, data=b"by url", method="PUT")) as answer:
        assert answer.status == 200
    get_url = client.presigned_get_object(
        BUCKET, "by url", response_headers={"response-content-type": "application/x-mine"}
    )
    with urllib.request.urlopen(get_url) as answer:
        assert answer.headers["content-type"] == "application/x-mine"
        assert answer.read() == b"by url"
    policy = PostPolicy(BUCKET, datetime.now(UTC) + timedelta(minutes=5))
    policy.add_starts_with_condition("key", "form/")
    policy.add_content_length_range_condition(1, 100)
    fields = {**client.presigned_post_policy(policy), "key": "form/one"}
    edge = "edge0123456789"
    lines = [f'--{edge}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    file = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nformed\r\n--{edge}--\r\n'
    form = ("".join(lines) + file).encode()
    base = get_url.partition("/minio/")[0]
    request = urllib.request.Request(f"{base}/{BUCKET}", data=form)
    request.add_header("content-type", f"multipart/form-data; boundary={edge}")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 204
    assert get(client, "form/one") == b"formed"


def configurations(client: Minio) -> None:
    """Tags, policy with an anonymous reader, lifecycle and default encryption read back as they were put."""
    tags = Tags.new_object_tags()
    tags["project"] = "a/b c"
    client.set_object_tags(BUCKET, "copy", tags)
    assert client.get_object_tags(BUCKET, "copy") == tags
    client.delete_object_tags(BUCKET, "copy")
    assert not client.get_object_tags(BUCKET, "copy")
    client.put_object(BUCKET, "tagged", io.BytesIO(b""), 0, tags=tags)
    assert client.get_object_tags(BUCKET, "tagged") == tags
    bucket_tags = Tags.new_bucket_tags()
    bucket_tags["cost"] = "centre"
    client.set_bucket_tags(BUCKET, bucket_tags)
    assert client.get_bucket_tags(BUCKET) == bucket_tags
    client.delete_bucket_tags(BUCKET)
    assert not client.get_bucket_tags(BUCKET)

    assert refusal(lambda: client.get_bucket_policy(BUCKET)) == "NoSuchBucketPolicy"
    open_read = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": ["*"]},
                "Action": ["s3:GetObject"],
                "Resource": [f"arn:aws:s3:::{BUCKET}/copy"],
            }
        ],
    }
    client.set_bucket_policy(BUCKET, json.dumps(open_read))
    assert json.loads(client.get_bucket_policy(BUCKET)) == open_read
    url = client.presigned_get_object(BUCKET, "copy").partition("?")[0]
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == get(client, "copy")
    client.delete_bucket_policy(BUCKET)
    assert refusal(lambda: client.get_bucket_policy(BUCKET)) == "NoSuchBucketPolicy"

    rule = Rule(ENABLED, rule_filter=Filter(prefix="logs/"), rule_id="old", expiration=Expiration(days=30))
    client.set_bucket_lifecycle(BUCKET, LifecycleConfig([rule]))
    found = client.get_bucket_lifecycle(BUCKET)
    assert found is not None
    assert [(one.rule_id, one.expiration.days) for one in found.rules if one.expiration] == [("old", 30)]
    client.delete_bucket_lifecycle(BUCKET)
    assert client.get_bucket_lifecycle(BUCKET) is None

    client.set_bucket_encryption(BUCKET, SSEConfig(EncryptionRule.new_sse_s3_rule()))
    encryption = client.get_bucket_encryption(BUCKET)
    assert encryption is not None
    assert encryption.rule.sse_algorithm == "AES256"
    client.delete_bucket_encryption(BUCKET)


def versions(client: Minio) -> None:
    """Old versions are listed and read; a delete marker hides and is removed."""
    client.set_bucket_versioning(BUCKET, VersioningConfig(ENABLED))
    assert client.get_bucket_versioning(BUCKET).status == ENABLED
    old, new = put(client, "v", b"old"), put(client, "v", b"new")
    assert old != new
    assert get(client, "v", version_id=old) == b"old"
    client.remove_object(BUCKET, "v")
    assert refusal(lambda: get(client, "v")) == "NoSuchKey"
    listed = list(client.list_objects(BUCKET, prefix="v", include_version=True))
    assert {one.version_id for one in listed if not one.is_delete_marker} == {old, new}
    (marker,) = [one.version_id for one in listed if one.is_delete_marker]
    client.remove_object(BUCKET, "v", version_id=marker)
    assert get(client, "v") == b"new"
    client.copy_object(BUCKET, "v", CopySource(BUCKET, "v", version_id=old))
    assert get(client, "v") == b"old"


def locks(client: Minio) -> None:
    """Default retention, compliance and legal hold."""
    bucket = f"{BUCKET}-locked"
    client.make_bucket(bucket, object_lock=True)
    client.set_object_lock_config(bucket, ObjectLockConfig(GOVERNANCE, 1, DAYS))
    config = client.get_object_lock_config(bucket)
    assert (config.mode, config.duration, config.duration_unit) == (GOVERNANCE, 1, DAYS)
    version = put(client, "kept", b"kept", bucket)
    assert refusal(lambda: client.remove_object(bucket, "kept", version_id=version)) == "AccessDenied"
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    assert refusal(lambda: client.set_object_retention(bucket, "kept", Retention(COMPLIANCE, until))) == "AccessDenied"
    client.set_object_retention(bucket, "kept", Retention(GOVERNANCE, until))
    retention = client.get_object_retention(bucket, "kept")
    assert retention is not None
    assert (retention.mode, retention.retain_until_date) == (GOVERNANCE, until)
    strict = Retention(COMPLIANCE, until)
    client.put_object(bucket, "strict", io.BytesIO(b""), 0, retention=strict, legal_hold=True)
    retention = client.get_object_retention(bucket, "strict")
    assert retention is not None
    assert retention.mode == COMPLIANCE
    assert client.is_object_legal_hold_enabled(bucket, "strict")
    client.enable_object_legal_hold(bucket, "kept")
    assert client.is_object_legal_hold_enabled(bucket, "kept")
    client.disable_object_legal_hold(bucket, "kept")
    assert not client.is_object_legal_hold_enabled(bucket, "kept")
    errors = list(client.remove_objects(bucket, [DeleteObject("kept", version)]))
    assert [error.code for error in errors] == ["AccessDenied"]


def temporary(host: str, access_key: str, secret_key: str) -> None:
    """Credentials of a session, by a call that names no role."""
    provider = AssumeRoleProvider(
        sts_endpoint=f"http://{host}",
        access_key=access_key,
        secret_key=secret_key,
        duration_seconds=900,
        region="us-east-1",
    )
    client = Minio(host, credentials=provider, secure=False)
    put(client, "by a session", b"data")
    assert client.stat_object(BUCKET, "by a session").size == 4


def end(client: Minio) -> None:
    """Everything goes, and the bucket with it."""
    assert refusal(lambda: client.remove_bucket(BUCKET)) == "BucketNotEmpty"
    found = client.list_objects(BUCKET, recursive=True, include_version=True)
    doomed = [DeleteObject(str(one.object_name), one.version_id) for one in found]
    assert list(client.remove_objects(BUCKET, doomed)) == []
    client.remove_bucket(BUCKET)
    assert not client.bucket_exists(BUCKET)


def main(host: str, access_key: str, secret_key: str) -> None:
    """Run everything."""
    client = Minio(host, access_key=access_key, secret_key=secret_key, secure=False)
    for step in (objects, multipart, presigned, configurations, versions, locks):
        step(client)
        print(step.__name__)
    temporary(host, access_key, secret_key)
    end(client)
    print("end")


if __name__ == "__main__":
    main(*sys.argv[1:])
