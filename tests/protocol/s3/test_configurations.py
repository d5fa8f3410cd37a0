"""Bucket configurations: kept and read back as they were put, or refused; never taken and ignored."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.s3_raw import request
from tests.support.s3_server import S3Server


def encryption(algorithm: str, **more: Any) -> dict[str, Any]:
    """A configuration of default encryption."""
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}, **more}]}


def test_default_encryption_reads_back_as_it_was_put(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.get_bucket_encryption(Bucket=bucket)
    assert refused.value.response["Error"]["Code"] == "ServerSideEncryptionConfigurationNotFoundError"
    wanted = encryption("AES256", BucketKeyEnabled=True)
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=wanted)
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"] == wanted
    s3.delete_bucket_encryption(Bucket=bucket)
    with pytest.raises(ClientError):
        s3.get_bucket_encryption(Bucket=bucket)


@pytest.mark.parametrize(("algorithm", "status"), [("aws:kms:dsse", 501), ("ROT13", 400)])
def test_encryption_that_is_not_there_is_refused(s3: Any, bucket: str, algorithm: str, status: int) -> None:
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encryption(algorithm))
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_what_changes_nothing_is_taken_and_what_would_is_refused(s3: Any, bucket: str) -> None:
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"})
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    assert refused.value.response["Error"]["Code"] == "NotImplemented"


@pytest.mark.parametrize("sub", ["replication", "accelerate", "metrics&id=a", "inventory&id=a"])
def test_what_is_not_built_says_so(server: S3Server, bucket: str, sub: str) -> None:
    reply = request(server, "PUT", f"/{bucket}?{sub}", b"<A/>")
    assert reply.status == 501
    assert b"<Code>NotImplemented</Code>" in reply.body
