"""moto as an oracle for shapes: what boto3 makes of both servers' answers has the same fields and the same codes."""

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.s3_server import S3Server
from tools import components

Call = Callable[[Any], Any]

BODY_ETAG = '"841a2d689ad86bd1611447453c22c6fc"'
NOT_COMPARED = {
    "BucketRegion",  # ListBuckets tells it since 2024
    "ChecksumAlgorithm",  # of listed objects: ours leave it out, it would double what a page of keys costs
    "ChecksumType",
    "DisplayName",
    "EncodingType",
    "Marker",
    "Prefix",
    "ServerSideEncryption",
    "RequestCharged",
}
"""Fields that one of the two leaves out, or gives always."""


@pytest.fixture(scope="module")
def oracle(free_port_of_module: int) -> Iterator[Any]:
    """A client of moto's server."""
    path = components.find("moto_server")
    assert path is not None
    with subprocess.Popen(
        [str(path), "-H", "127.0.0.1", "-p", str(free_port_of_module)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{free_port_of_module}",
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="s",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 12}, proxies={}),
        )
        try:
            client.create_bucket(Bucket="shapes")  # attempts until it listens
            yield client
        finally:
            client.close()
            process.terminate()


def filled(client: Any) -> str:
    """The upload that is left open in a bucket with some objects."""
    client.create_bucket(Bucket="shapes")
    for key in ("a", "b/1", "b/2", "ü +"):
        client.put_object(Bucket="shapes", Key=key, Body=b"body", Metadata={"m": "1"}, ContentType="text/x")
    upload_id = client.create_multipart_upload(Bucket="shapes", Key="up")["UploadId"]
    client.upload_part(Bucket="shapes", Key="up", UploadId=upload_id, PartNumber=1, Body=b"part")
    return str(upload_id)


CALLS: dict[str, Call] = {
    "list_buckets": lambda s3: s3.list_buckets(),
    "head_bucket": lambda s3: s3.head_bucket(Bucket="shapes"),
    "get_bucket_location": lambda s3: s3.get_bucket_location(Bucket="shapes"),
    "get_bucket_versioning": lambda s3: s3.get_bucket_versioning(Bucket="shapes"),
    "list_objects": lambda s3: s3.list_objects(Bucket="shapes", Delimiter="/"),
    "list_objects_v2": lambda s3: s3.list_objects_v2(Bucket="shapes", Prefix="b", FetchOwner=True),
    "list_objects_v2, page": lambda s3: s3.list_objects_v2(Bucket="shapes", MaxKeys=2, StartAfter="a"),
    "list_object_versions": lambda s3: s3.list_object_versions(Bucket="shapes"),
    "get_object": lambda s3: s3.get_object(Bucket="shapes", Key="a"),
    "get_object, range": lambda s3: s3.get_object(Bucket="shapes", Key="a", Range="bytes=1-2"),
    "head_object": lambda s3: s3.head_object(Bucket="shapes", Key="ü +"),
    "copy_object": lambda s3: s3.copy_object(Bucket="shapes", Key="c", CopySource="shapes/a"),
    "delete_object": lambda s3: s3.delete_object(Bucket="shapes", Key="missing"),
    "get_object_tagging": lambda s3: s3.get_object_tagging(Bucket="shapes", Key="a"),
    "list_multipart_uploads": lambda s3: s3.list_multipart_uploads(Bucket="shapes"),
    "missing key": lambda s3: s3.get_object(Bucket="shapes", Key="missing"),
    "missing key, head": lambda s3: s3.head_object(Bucket="shapes", Key="missing"),
    "missing bucket": lambda s3: s3.list_objects_v2(Bucket="nowhere"),
    "missing bucket, head": lambda s3: s3.head_bucket(Bucket="nowhere"),
    "missing upload": lambda s3: s3.list_parts(Bucket="shapes", Key="up", UploadId="nothing"),
    "condition": lambda s3: s3.get_object(Bucket="shapes", Key="a", IfMatch='"x"'),
    "not modified": lambda s3: s3.get_object(Bucket="shapes", Key="a", IfNoneMatch=BODY_ETAG),
    "range outside": lambda s3: s3.get_object(Bucket="shapes", Key="a", Range="bytes=9-"),
    "no policy": lambda s3: s3.get_bucket_policy(Bucket="shapes"),
    "no cors": lambda s3: s3.get_bucket_cors(Bucket="shapes"),
    "no lifecycle": lambda s3: s3.get_bucket_lifecycle_configuration(Bucket="shapes"),
    "no tags": lambda s3: s3.get_bucket_tagging(Bucket="shapes"),
    "bucket not empty": lambda s3: s3.delete_bucket(Bucket="shapes"),
    "self copy": lambda s3: s3.copy_object(Bucket="shapes", Key="a", CopySource="shapes/a"),
    "copy of nothing": lambda s3: s3.copy_object(Bucket="shapes", Key="d", CopySource="shapes/missing"),
}


def shape(value: Any) -> Any:
    """Names and kinds of what an answer holds, without its values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in sorted(value.items()) if name not in NOT_COMPARED}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__ if value is not None else "nothing"


def outcome(call: Call, client: Any) -> Any:
    """The shape of an answer, or status and code of an error."""
    try:
        answer = call(client)
    except ClientError as refused:
        return refused.response["ResponseMetadata"]["HTTPStatusCode"], refused.response["Error"]["Code"]
    status = answer.pop("ResponseMetadata")["HTTPStatusCode"]
    return status, {name: inner for name, inner in shape(answer).items() if not name.startswith("Checksum")}


@pytest.mark.needs("moto_server")
def test_answers_have_the_shape_of_motos(server: S3Server, oracle: Any) -> None:
    ours = server.client()
    for client in (ours, oracle):
        filled(client)
    differing = {
        name: (mine, theirs)
        for name, call in CALLS.items()
        if (mine := outcome(call, ours)) != (theirs := outcome(call, oracle))
    }
    assert differing == {}
