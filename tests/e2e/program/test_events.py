"""Events of the real program at a real receiver: signed, in order, again after failures, and after a kill."""

import base64
import hashlib
import hmac
import http.client
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.receivers import Received, Receiver, receiving, told
from tests.support.redis_server import redis_server
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer, noisefs

pytestmark = pytest.mark.e2e

SECRET = "a secret of enough bytes"
ARN = "arn:noisefs:sqs::hook:webhook"
EVERYTHING = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"]


def configured(folder: Path, url: str, *, name: str = "hook", more: str = "") -> str:
    """A configuration file with one receiver."""
    (folder / "secret").write_text(f"{SECRET}\n")
    file = folder / "noisefs.toml"
    file.write_text(
        f'[events]\nretry_max_s = 1\n{more}\n[[events.webhooks]]\nname = "{name}"\nurl = "{url}"\n'
        f'secret_file = "{folder / "secret"}"\n'
    )
    return str(file)


def client(server: RunningServer) -> Any:
    """A boto3 client. Any: boto3 makes its clients at run time."""
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, proxies={}, retries={"total_max_attempts": 1}),
    )


def watch(s3: Any, bucket: str = "bucket") -> None:
    """Make a bucket and tell of everything in it."""
    s3.create_bucket(Bucket=bucket)
    rule = {"Id": "all", "QueueArn": ARN, "Events": EVERYTHING}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [rule]})


def dav(server: RunningServer, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
    """One WebDAV request; its status."""
    parts = urlsplit(server.webdav)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    basic = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
    connection.request(method, path, body, {"Authorization": f"Basic {basic}", **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def check_signed(message: Received) -> None:
    """The signature is that of the secret."""
    headers = {name.lower(): value for name, value in message.headers.items()}
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + message.body
    digest = hmac.digest(SECRET.encode(), content, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def check_ordered(receiver: Receiver) -> None:
    """Sequencers grow, as all messages go one after the other."""
    found = [record["s3"]["object"]["sequencer"] for record in receiver.records()]
    assert found == sorted(set(found))


def test_what_both_protocols_and_commands_do_is_told_signed_and_in_order(tmp_path: Path) -> None:
    with (
        receiving() as receiver,
        RunningServer(tmp_path / "data", "--config", configured(tmp_path, f"{receiver.url}/in")) as server,
    ):
        s3 = client(server)
        watch(s3)
        s3.put_object(Bucket="bucket", Key="a/1 2", Body=b"xyz")
        s3.copy_object(Bucket="bucket", Key="b", CopySource="bucket/a/1 2")
        s3.put_object_tagging(Bucket="bucket", Key="b", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
        assert dav(server, "PUT", "/bucket/c", b"dav") == 201
        assert dav(server, "MOVE", "/bucket/c", Destination=f"{server.webdav}/bucket/d") == 201
        assert noisefs("mv", "--data", str(server.data), "bucket/a/", "bucket/e/").returncode == 0
        s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "b"}, {"Key": "d"}]})
        records = receiver.wait_for(10)
        assert told(records) == [
            ("ObjectCreated:Put", "a/1+2"),
            ("ObjectCreated:Copy", "b"),
            ("ObjectTagging:Put", "b"),
            ("ObjectCreated:Put", "c"),
            ("ObjectRemoved:Delete", "c"),
            ("ObjectCreated:Copy", "d"),
            ("ObjectRemoved:Delete", "a/1+2"),
            ("ObjectCreated:Copy", "e/1+2"),
            ("ObjectRemoved:Delete", "b"),
            ("ObjectRemoved:Delete", "d"),
        ]
        assert b'"s3:TestEvent"' in receiver.messages[0].body
        for message in receiver.messages:
            check_signed(message)
        check_ordered(receiver)
        assert records[0]["s3"]["object"]["size"] == 3
        assert records[3]["responseElements"]["x-amz-request-id"]
        assert SECRET not in server.stderr
        assert "1 2" not in "".join(line for line in server.stderr.splitlines() if '"events.' in line)
    assert "job.failed" not in server.stderr


def test_what_is_refused_comes_again_and_a_redirection_is_not_followed(tmp_path: Path) -> None:
    with (
        receiving() as receiver,
        RunningServer(tmp_path / "data", "--config", configured(tmp_path, f"{receiver.url}/in")) as server,
    ):
        receiver.statuses += [500, 302]
        s3 = client(server)
        watch(s3)
        s3.put_object(Bucket="bucket", Key="a", Body=b"1")
        s3.put_object(Bucket="bucket", Key="b", Body=b"2")
        assert told(receiver.wait_for(2)) == [("ObjectCreated:Put", "a"), ("ObjectCreated:Put", "b")]
        assert len(receiver.refused) == 2
        assert {one.path for one in (*receiver.messages, *receiver.refused)} == {"/in"}
        assert server.metrics()['noisefs_events_total{outcome="failed",target="hook"}'] == 2


def test_what_was_answered_before_a_kill_is_told_after_it(tmp_path: Path) -> None:
    """No event of an answered write is lost, and none of another is told."""
    data = tmp_path / "data"
    with receiving() as receiver:
        flags = ("--config", configured(tmp_path, f"{receiver.url}/in"))
        receiver.statuses += [503] * 1000
        server = RunningServer(data, *flags).start()
        s3 = client(server)
        watch(s3)
        for number in range(20):
            s3.put_object(Bucket="bucket", Key=f"k{number:02}", Body=b"x")
        receiver.wait_for_refusals(1)
        server.signal(signal.SIGKILL)
        server.wait()
        receiver.statuses.clear()
        with RunningServer(data, *flags) as again:
            records = receiver.wait_for(20)
            assert told(records) == [("ObjectCreated:Put", f"k{number:02}") for number in range(20)]
            check_ordered(receiver)
            client(again).put_object(Bucket="bucket", Key="after", Body=b"x")
            assert told(receiver.wait_for(21))[-1] == ("ObjectCreated:Put", "after")


def test_a_receiver_that_is_no_more_is_given_up_with_a_warning(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with receiving() as receiver:
        receiver.statuses += [503] * 1000
        with RunningServer(data, "--config", configured(tmp_path, f"{receiver.url}/in")) as server:
            s3 = client(server)
            watch(s3)
            s3.put_object(Bucket="bucket", Key="a", Body=b"1")
    with RunningServer(data) as server:
        assert '"events.given_up"' in server.stderr
        client(server).put_object(Bucket="bucket", Key="b", Body=b"1")


@pytest.mark.parametrize(
    ("more", "named"), [("batch = 0", "events.batch"), ("queue = 1", "queue_max"), ("timeout_s = 0", "timeout_s")]
)
def test_bad_settings_are_refused_by_name(tmp_path: Path, more: str, named: str) -> None:
    file = configured(tmp_path, "http://127.0.0.1:1/", more=more)
    found = noisefs("serve", "--data", str(tmp_path / "data"), "--config", file)
    assert found.returncode != 0
    assert named in found.stderr


def test_a_secret_that_is_none_is_refused_and_not_repeated(tmp_path: Path) -> None:
    file = configured(tmp_path, "http://127.0.0.1:1/")
    (tmp_path / "secret").write_text("tooshort\n")
    found = noisefs("serve", "--data", str(tmp_path / "data"), "--config", file)
    assert found.returncode != 0
    assert "hook" in found.stderr
    assert "tooshort" not in found.stderr


def test_workers_share_one_queue_and_send_each_event_once(tmp_path: Path) -> None:
    """One of them sends, whoever took the request."""
    with receiving() as receiver:
        file = ("--config", configured(tmp_path, f"{receiver.url}/in"))
        with RunningServer(tmp_path / "data", "--workers", "2", *file) as server:
            watch(client(server))
            for number in range(20):  # each on a connection of its own, so that both workers get some
                s3 = client(server)
                s3.put_object(Bucket="bucket", Key=f"k{number:02}", Body=b"x")
                s3.close()
            records = receiver.wait_for(20)
            assert told(records) == [("ObjectCreated:Put", f"k{number:02}") for number in range(20)]
            check_ordered(receiver)


def test_a_kill_amid_writes_leaves_events_of_exactly_what_is_there(tmp_path: Path) -> None:
    """What was answered is told; what is told is there; what is there is told."""
    data, answered = tmp_path / "data", list[str]()
    with receiving() as receiver:
        flags = ("--config", configured(tmp_path, f"{receiver.url}/in"))
        server = RunningServer(data, *flags).start()
        watch(client(server))

        def write(thread: int) -> None:
            s3 = client(server)
            for number in range(10_000):
                key = f"{thread}-{number:05}"
                try:
                    s3.put_object(Bucket="bucket", Key=key, Body=b"x")
                except (BotoCoreError, ClientError):
                    return
                answered.append(key)

        with ThreadPoolExecutor(4) as pool:
            writing = [pool.submit(write, thread) for thread in range(4)]
            receiver.wait_for(50)
            server.signal(signal.SIGKILL)
            server.wait()
            for one in writing:
                one.result()
        with RunningServer(data, *flags) as again:
            s3 = client(again)
            s3.put_object(Bucket="bucket", Key="last", Body=b"x")
            with receiver.changed:
                assert receiver.changed.wait_for(lambda: "last" in {key for _, key in told(receiver.records())}, 30)
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket")
            there = {entry["Key"] for page in pages for entry in page["Contents"]}
        heard = [key for _, key in told(receiver.records())]
        assert set(answered) <= there
        assert set(heard) == there


@pytest.mark.needs("redis-server")
def test_events_go_to_a_stream_and_wait_while_it_takes_none(tmp_path: Path) -> None:
    with redis_server() as stream:
        file = tmp_path / "noisefs.toml"
        file.write_text(f'[events]\nretry_max_s = 1\n[[events.redis]]\nname = "s"\nurl = "{stream.url}"\n')
        with RunningServer(tmp_path / "data", "--config", str(file)) as server:
            s3 = client(server)
            s3.create_bucket(Bucket="bucket")
            rule = {"QueueArn": "arn:noisefs:sqs::s:redis", "Events": EVERYTHING}
            s3.put_bucket_notification_configuration(
                Bucket="bucket", NotificationConfiguration={"QueueConfigurations": [rule]}
            )
            s3.put_object(Bucket="bucket", Key="a", Body=b"a")
            assert stream.wait_for(1, "noisefs-events") == [("ObjectCreated:Put", "a")]
            stream.refuse()
            s3.put_object(Bucket="bucket", Key="b", Body=b"b")
            stream.relent()
            assert stream.wait_for(2, "noisefs-events")[1] == ("ObjectCreated:Put", "b")
