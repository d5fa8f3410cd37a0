"""What Veeam asks every bucket for."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from lxml import etree

from noisefs.adapters.inbound.s3.operations.sosapi import CAPACITY, SYSTEM
from noisefs.adapters.inbound.s3.settings import S3Settings
from tests.support.s3_server import OTHER_KEY, OTHER_SECRET, S3Server, serve


def test_the_system_tells_what_it_can_do(s3: Any, bucket: str) -> None:
    answer = s3.get_object(Bucket=bucket, Key=SYSTEM)
    body = answer["Body"].read()
    told = etree.fromstring(body)
    assert (told.tag, told.findtext("ProtocolVersion")) == ("SystemInfo", '"1.0"')
    assert told.findtext("ProtocolCapabilities/CapacityInfo") == "true"
    assert told.findtext("SystemRecommendations/S3MultiObjectDeleteLimit") == "1000"
    assert told.findtext("SystemRecommendations/KbBlockSize") == "4096"
    assert s3.head_object(Bucket=bucket, Key=SYSTEM)["ETag"] == answer["ETag"]
    assert s3.head_object(Bucket=bucket, Key=SYSTEM)["ContentLength"] == len(body)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_the_capacity_counts_what_is_there(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 1000)
    told = etree.fromstring(s3.get_object(Bucket=bucket, Key=CAPACITY)["Body"].read())
    assert {child.tag: int(child.text or "") for child in told} == {
        "Capacity": 1_001_000,
        "Available": 1_000_000,
        "Used": 1000,
    }


def test_a_bucket_may_hold_its_own(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key=SYSTEM, Body=b"<SystemInfo/>")
    assert s3.get_object(Bucket=bucket, Key=SYSTEM)["Body"].read() == b"<SystemInfo/>"


def test_others_are_told_nothing(server: S3Server, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        server.client(OTHER_KEY, OTHER_SECRET).get_object(Bucket=bucket, Key=SYSTEM)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_no_bucket_shows_them_where_they_are_turned_off() -> None:
    with serve(S3Settings(sosapi=False)) as running, pytest.raises(ClientError) as refused:
        running.client().get_object(Bucket="bucket", Key=SYSTEM)
    assert refused.value.response["Error"]["Code"] == "NoSuchKey"
