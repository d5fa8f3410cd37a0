"""Notification configurations through a real client: put, read back, refused, and carried out."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from noisefs.core.services.events import queue
from tests.support.receivers import MemorySink
from tests.support.s3_raw import request
from tests.support.s3_server import S3Server, serve

ARN = "arn:noisefs:sqs::hook:webhook"
OTHER = "arn:noisefs:sqs::other:webhook"
CREATED = ["s3:ObjectCreated:*"]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A server with two targets."""
    with serve(sinks={"hook": MemorySink(), "other": MemorySink()}) as running:
        asyncio.run_coroutine_threadsafe(running.world.store.events.start(), running.loop).result()
        yield running


def put(s3: Any, bucket: str, *configurations: dict[str, Any], kind: str = "Queue") -> None:
    """Put configurations of one kind."""
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={f"{kind}Configurations": list(configurations)}
    )


def read(s3: Any, bucket: str) -> dict[str, Any]:
    """What is configured."""
    found: dict[str, Any] = s3.get_bucket_notification_configuration(Bucket=bucket)
    found.pop("ResponseMetadata")
    return found


def refusal(s3: Any, bucket: str, **configuration: Any) -> dict[str, Any]:
    """The error of a configuration that is refused."""
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    error: dict[str, Any] = refused.value.response["Error"]
    return error


def waiting(server: S3Server, target: str = "hook") -> list[Any]:
    """Events that wait for a target, the test event apart; they wait no more."""
    index = server.world.index
    found = [event for _, event in index.read(lambda tx: queue.head(tx, target, 1000))]
    index.transact([lambda tx: queue.take_off(tx, target, 1 << 40)])
    return [event for event in found if event.key]


def test_a_configuration_reads_back_as_it_was_put(s3: Any, bucket: str) -> None:
    assert read(s3, bucket) == {}
    rules = [{"Name": "prefix", "Value": "in/ & <out>"}, {"Name": "suffix", "Value": ".jpg"}]
    one = {"Id": "a", "QueueArn": ARN, "Events": CREATED, "Filter": {"Key": {"FilterRules": rules}}}
    two = {"Id": "b", "QueueArn": OTHER, "Events": ["s3:ObjectRemoved:*", "s3:ObjectTagging:Put"]}
    put(s3, bucket, one, two)
    found = read(s3, bucket)
    for rule in found["QueueConfigurations"][0]["Filter"]["Key"]["FilterRules"]:
        rule["Name"] = rule["Name"].lower()
    assert found == {"QueueConfigurations": [one, two]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert read(s3, bucket) == {}


@pytest.mark.parametrize(("kind", "arn"), [("Topic", "TopicArn"), ("LambdaFunction", "LambdaFunctionArn")])
def test_a_target_may_be_named_in_any_kind_of_configuration(
    s3: Any, server: S3Server, bucket: str, kind: str, arn: str
) -> None:
    put(s3, bucket, {"Id": "a", arn: ARN, "Events": CREATED}, kind=kind)
    assert read(s3, bucket) == {f"{kind}Configurations": [{"Id": "a", arn: ARN, "Events": CREATED}]}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert [event.key for event in waiting(server)] == ["k"]


def test_a_configuration_without_an_id_gets_one(s3: Any, bucket: str) -> None:
    put(s3, bucket, {"QueueArn": ARN, "Events": CREATED})
    (found,) = read(s3, bucket)["QueueConfigurations"]
    assert len(found.pop("Id")) == 32
    assert found == {"QueueArn": ARN, "Events": CREATED}


@pytest.mark.parametrize("arn", ["arn:noisefs:sqs::elsewhere:webhook", "arn:aws:sqs:us-east-1:1:q", "http://127.0.0.1"])
def test_another_target_is_refused_and_those_that_are_there_are_named(s3: Any, bucket: str, arn: str) -> None:
    error = refusal(s3, bucket, QueueConfigurations=[{"QueueArn": arn, "Events": CREATED}])
    assert error["Code"] == "InvalidArgument"
    assert ARN in error["Message"]
    assert OTHER in error["Message"]


def test_without_targets_the_refusal_says_so(s3: Any) -> None:
    with serve() as bare:
        client = bare.client()
        error = refusal(client, "bucket", QueueConfigurations=[{"QueueArn": ARN, "Events": CREATED}])
        assert error["Code"] == "InvalidArgument"
        assert "events.webhooks" in error["Message"]
        client.put_bucket_notification_configuration(Bucket="bucket", NotificationConfiguration={})


@pytest.mark.parametrize("event", ["s3:Replication:*", "s3:ObjectCreated:Nothing", "s3:TestEvent", "ObjectCreated"])
def test_an_event_that_never_happens_is_refused_by_name(s3: Any, bucket: str, event: str) -> None:
    error = refusal(s3, bucket, QueueConfigurations=[{"QueueArn": ARN, "Events": [event]}])
    assert error["Code"] == "InvalidArgument"
    assert event in error["Message"]


def test_configurations_that_overlap_are_refused(s3: Any, bucket: str) -> None:
    one = {"Id": "a", "QueueArn": ARN, "Events": CREATED}
    two = {"Id": "b", "QueueArn": OTHER, "Events": ["s3:ObjectCreated:Put"]}
    error = refusal(s3, bucket, QueueConfigurations=[one, two])
    assert error["Code"] == "InvalidArgument"
    assert "overlap" in error["Message"]


def test_event_bridge_is_refused(s3: Any, bucket: str) -> None:
    assert refusal(s3, bucket, EventBridgeConfiguration={})["Code"] == "NotImplemented"


@pytest.mark.parametrize(
    "inside",
    [
        "<QueueConfiguration/>",
        f"<QueueConfiguration><Queue>{ARN}</Queue></QueueConfiguration>",
        f"<QueueConfiguration><Queue>{ARN}</Queue><Event>s3:ObjectCreated:*</Event><X/></QueueConfiguration>",
        (
            f"<QueueConfiguration><Queue>{ARN}</Queue><Queue>{ARN}</Queue><Event>s3:ObjectCreated:*</Event>"
            "</QueueConfiguration>"
        ),
        (
            f"<QueueConfiguration><Queue>{ARN}</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule>"
            "<Name>middle</Name><Value>x</Value></FilterRule></S3Key></Filter></QueueConfiguration>"
        ),
        (
            f"<QueueConfiguration><Queue>{ARN}</Queue><Event>s3:ObjectCreated:*</Event><Filter><X/></Filter>"
            "</QueueConfiguration>"
        ),
        "<NatsConfiguration/>",
    ],
)
def test_what_is_malformed_is_refused(server: S3Server, bucket: str, inside: str) -> None:
    body = f"<NotificationConfiguration>{inside}</NotificationConfiguration>".encode()
    assert request(server, "PUT", f"/{bucket}?notification", body).status == 400


def test_requests_are_told_with_who_sent_them(s3: Any, server: S3Server, bucket: str) -> None:
    put(s3, bucket, {"QueueArn": ARN, "Events": [*CREATED, "s3:ObjectRemoved:*"]})
    waiting(server)
    answer = s3.put_object(Bucket=bucket, Key="a b", Body=b"x")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a b"}, {"Key": "none"}]})
    made, removed = waiting(server)
    assert (made.event, made.key, made.requester) == ("s3:ObjectCreated:Put", "a b", "alice")
    assert made.request_id == answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]
    assert made.source_ip == "127.0.0.1"
    assert made.etag == answer["ETag"].strip('"')
    assert (removed.event, removed.key) == ("s3:ObjectRemoved:Delete", "a b")


def test_a_form_is_told_as_a_post(s3: Any, server: S3Server, bucket: str) -> None:
    put(s3, bucket, {"QueueArn": ARN, "Events": CREATED})
    post = s3.generate_presigned_post(bucket, "form")
    waiting(server)
    with urllib3.PoolManager() as http:
        fields = [*post["fields"].items(), ("file", ("f", b"abc"))]
        assert http.request("POST", f"{server.endpoint}/{bucket}", fields=fields, retries=False).status == 204
    (event,) = waiting(server)
    assert (event.event, event.key) == ("s3:ObjectCreated:Post", "form")
