"""Lifecycle configurations through a real client: kept, read back, refused, and told of."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

RULES: list[dict[str, Any]] = [  # Any: a rule has values of several types
    {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}},
    {
        "ID": "old",
        "Status": "Disabled",
        "Filter": {
            "And": {
                "Prefix": "a",
                "Tags": [{"Key": "k", "Value": "v"}],
                "ObjectSizeGreaterThan": 5,
                "ObjectSizeLessThan": 500,
            }
        },
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 2},
    },
    {
        "ID": "rest",
        "Status": "Enabled",
        "Filter": {},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    },
    {"ID": "dated", "Status": "Enabled", "Prefix": "d", "Expiration": {"Date": datetime(2030, 1, 1, tzinfo=UTC)}},
]


def put(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:  # Any: as above
    """Give a bucket these rules."""
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})


def test_rules_read_back_as_they_were_put_until_they_are_deleted(s3: Any, bucket: str) -> None:
    """All that S3 knows and one storage class allows."""
    put(s3, bucket, *RULES)
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == RULES
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with pytest.raises(ClientError) as refused:
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert refused.value.response["Error"]["Code"] == "NoSuchLifecycleConfiguration"


def test_a_rule_without_an_id_gets_one(s3: Any, bucket: str) -> None:
    """Which is told from then on."""
    put(s3, bucket, {"Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}})
    told = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert told[0]["ID"]
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == told


_DAY = {"Days": 1}


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([{"Status": "enabled", "Filter": {}, "Expiration": _DAY}], "MalformedXML"),
        ([{"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 0}}], "InvalidArgument"),
        ([{"Status": "Enabled", "Filter": {}, "Expiration": {"Days": -1}}], "InvalidArgument"),
        (
            [{"Status": "Enabled", "Filter": {}, "Expiration": {**_DAY, "ExpiredObjectDeleteMarker": True}}],
            "MalformedXML",
        ),
        (
            [{"Status": "Enabled", "Filter": {}, "Expiration": {"Date": datetime(2030, 1, 1, 7, tzinfo=UTC)}}],
            "InvalidArgument",
        ),
        ([{"Status": "Enabled", "Filter": {}}], "InvalidRequest"),
        ([{"Status": "Enabled", "Expiration": _DAY}], "MalformedXML"),
        ([{"Status": "Enabled", "Filter": {}, "Prefix": "x", "Expiration": _DAY}], "MalformedXML"),
        ([{"ID": "x" * 256, "Status": "Enabled", "Filter": {}, "Expiration": _DAY}], "InvalidArgument"),
        ([{"ID": "x", "Status": "Enabled", "Filter": {}, "Expiration": _DAY}] * 2, "InvalidArgument"),
        (
            [{"Status": "Enabled", "Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}],
            "NotImplemented",
        ),
        (
            [
                {
                    "Status": "Enabled",
                    "Filter": {"Tag": {"Key": "k", "Value": "v"}},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                }
            ],
            "InvalidRequest",
        ),
        ([], "MalformedXML"),
    ],
)
def test_what_cannot_be_honoured_is_refused(s3: Any, bucket: str, rules: list[dict[str, Any]], code: str) -> None:
    """And nothing of it is kept."""
    with pytest.raises(ClientError) as refused:
        put(s3, bucket, *rules)
    assert refused.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_answers_tell_when_an_object_goes(s3: Any, bucket: str) -> None:
    """The earliest date, and the rule that says so; of nothing else."""
    put(s3, bucket, *RULES[:1], {"ID": "a b", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 9}})
    due = (datetime.now(UTC) + timedelta(days=4)).strftime("%a, %d %b %Y 00:00:00 GMT")
    told = [
        s3.put_object(Bucket=bucket, Key="logs/a", Body=b"x")["Expiration"],
        s3.head_object(Bucket=bucket, Key="logs/a")["Expiration"],
        s3.get_object(Bucket=bucket, Key="logs/a")["Expiration"],
        s3.copy_object(Bucket=bucket, Key="logs/b", CopySource=f"{bucket}/logs/a")["Expiration"],
    ]
    assert told == [f'expiry-date="{due}", rule-id="logs"'] * 4
    assert 'rule-id="a%20b"' in s3.put_object(Bucket=bucket, Key="other", Body=b"x" * 100_000)["Expiration"]
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert "Expiration" not in s3.head_object(Bucket=bucket, Key="logs/a")
