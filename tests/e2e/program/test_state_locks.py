"""Locks as Terraform's S3 backend takes them: a file made with ``If-None-Match: *``, over several workers."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer

pytestmark = pytest.mark.e2e

CLIENTS = 50
BUCKET, STATE, LOCK = "states", "env/prod.tfstate", "env/prod.tfstate.tflock"


@pytest.fixture
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client with a connection for each thread, of a server of two workers. Any: boto3 makes it at run time."""
    with RunningServer(tmp_path_factory.mktemp("locks") / "data", "--workers", "2") as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.s3,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(max_pool_connections=CLIENTS, retries={"total_max_attempts": 1}),
        )
        client.create_bucket(Bucket=BUCKET)
        yield client
        client.close()


def test_of_fifty_that_take_a_lock_exactly_one_does(s3: Any) -> None:
    """Those that do not are told who has it; who has it writes the state and gives the lock back."""

    def take(client: int) -> str:
        body = json.dumps({"ID": client, "Operation": "OperationTypeApply"})
        try:
            s3.put_object(Bucket=BUCKET, Key=LOCK, Body=body, ContentType="application/json", IfNoneMatch="*")
        except ClientError as exc:
            return str(exc.response["Error"]["Code"])
        return "taken"

    def holder() -> int:
        return int(json.loads(s3.get_object(Bucket=BUCKET, Key=LOCK)["Body"].read())["ID"])

    with ThreadPoolExecutor(CLIENTS) as pool:
        for serial in range(4):
            outcomes = list(pool.map(take, range(CLIENTS)))
            assert outcomes.count("taken") == 1
            assert outcomes.count("PreconditionFailed") == CLIENTS - 1
            assert set(pool.map(lambda _: holder(), range(CLIENTS))) == {outcomes.index("taken")}
            s3.put_object(Bucket=BUCKET, Key=STATE, Body=json.dumps({"serial": serial}), ContentType="application/json")
            s3.delete_object(Bucket=BUCKET, Key=LOCK)
    assert json.loads(s3.get_object(Bucket=BUCKET, Key=STATE)["Body"].read()) == {"serial": 3}
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [STATE]
