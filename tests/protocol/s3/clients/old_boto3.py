"""What boto3 did before 2025: no checksums unless asked for, Content-MD5 where S3 asks for a digest."""

import hashlib
import io
import os
import sys
from typing import Any

import boto3
import botocore
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

BUCKET = "old"
PART = 5 << 20


def main(endpoint: str, access_key: str, secret_key: str) -> None:
    """Run everything."""
    assert tuple(map(int, botocore.__version__.split(".")[:2])) < (1, 36)
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    sent: list[dict[str, str]] = []

    def note(request: Any, **_: object) -> None:  # Any: boto3 has no types
        sent.append({name.lower(): str(value) for name, value in request.headers.items()})

    s3.meta.events.register("before-send.s3", note)
    s3.create_bucket(Bucket=BUCKET)

    body = os.urandom(100_000)
    etag = s3.put_object(Bucket=BUCKET, Key="a b+ü", Body=body, Metadata={"one": "two"})["ETag"]
    assert etag == f'"{hashlib.md5(body).hexdigest()}"'
    assert not any(name.startswith("x-amz-checksum") for name in sent[-1])
    answer = s3.get_object(Bucket=BUCKET, Key="a b+ü")
    assert answer["Body"].read() == body
    assert answer["Metadata"] == {"one": "two"}
    ranged = s3.get_object(Bucket=BUCKET, Key="a b+ü", Range="bytes=10-19")
    assert ranged["Body"].read() == body[10:20]

    large = os.urandom(2 * PART + 77)
    parts = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    s3.upload_fileobj(io.BytesIO(large), BUCKET, "large", Config=parts)
    back = io.BytesIO()
    s3.download_fileobj(BUCKET, "large", back, Config=parts)
    assert back.getvalue() == large
    s3.copy({"Bucket": BUCKET, "Key": "large"}, BUCKET, "copy", Config=parts)
    assert s3.head_object(Bucket=BUCKET, Key="copy")["ContentLength"] == len(large)
    for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256")[:: 1 if has_crt() else 2]:
        s3.put_object(Bucket=BUCKET, Key="summed", Body=io.BytesIO(body), ChecksumAlgorithm=algorithm)
        head = s3.head_object(Bucket=BUCKET, Key="summed", ChecksumMode="ENABLED")
        assert head[f"Checksum{algorithm}"]
        assert s3.get_object(Bucket=BUCKET, Key="summed", ChecksumMode="ENABLED")["Body"].read() == body

    rules = {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": "l/"}, "Expiration": {"Days": 3}}]}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rules)
    assert "content-md5" in sent[-1]
    assert s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"] == rules["Rules"]
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    assert "content-md5" in sent[-1]

    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert sorted(keys) == ["a b+ü", "copy", "large", "summed"]
    done = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
    assert "content-md5" in sent[-1]
    assert sorted(one["Key"] for one in done["Deleted"]) == sorted(keys)
    assert "Errors" not in done
    s3.delete_bucket(Bucket=BUCKET)
    print(boto3.__version__)


def has_crt() -> bool:
    """Whether it can compute CRC32C."""
    return bool(botocore.compat.HAS_CRT)


if __name__ == "__main__":
    main(*sys.argv[1:])
