"""Two gateways go on with one store: the older one stops, says how to go on, and can take the store back."""

import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.program.test_restoring_from_nodes import ask, configuration, restore
from tests.support.kubo import swarm
from tests.support.server import ACCESS_KEY, SECRET_KEY, NotReady, RunningServer

pytestmark = [pytest.mark.e2e, pytest.mark.needs("ipfs")]

DATA = bytes(range(256)) * 4000


def s3(server: RunningServer) -> Any:  # Any: boto3 makes its clients at run time
    """A client that tries nothing again."""
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 0}),
    )


def put(server: RunningServer, *names: str) -> None:
    for name in names:
        s3(server).put_object(Bucket="bucket", Key=name, Body=DATA)


def names(server: RunningServer) -> list[str]:
    return [row["Key"] for row in s3(server).list_objects_v2(Bucket="bucket").get("Contents", [])]


def test_the_older_gateway_takes_its_store_back(tmp_path: Path) -> None:
    """What the other one wrote is lost, nothing of its own is; and the other one stops."""
    with swarm(tmp_path) as daemons:
        config = configuration(tmp_path, daemons)
        data, other = tmp_path / "data", tmp_path / "other"
        with RunningServer(data, "--config", str(config)) as server:
            s3(server).create_bucket(Bucket="bucket")
            put(server, "both")
            ask("snapshot", "create", "--data", str(data))
            put(server, "ours")
            server.kill()  # it took no snapshot of that
        restore(other, config, daemons, "--root-key-file", str(data / "root.key"))
        with RunningServer(other, "--config", str(config)) as rival:
            put(rival, "theirs")
            with pytest.raises(NotReady, match="noisefs take-over"):
                RunningServer(data, "--config", str(config)).start()
            found = ask("take-over", "--data", str(data), "--config", str(config), code=6)
            assert (found["taken_over"], found["epoch"]) == (False, 1)
            assert "restored elsewhere" in str(found["other_gateway"])
            taken = ask("take-over", "--accept-loss", "--data", str(data), "--config", str(config))
            assert (taken["taken_over"], taken["on_nodes"], taken["epoch"]) == (True, True, 3)
            ask("snapshot", "create", "--data", str(other), code=7)
            with pytest.raises(ClientError):
                put(rival, "later")
        with RunningServer(data, "--config", str(config)) as server:
            put(server, "again")
            assert names(server) == ["again", "both", "ours"]
            ask("take-over", "--accept-loss", "--data", str(data), "--config", str(config), code=4)  # a server runs
        shutil.copy(data / "root.key", tmp_path / "paper.key")
        shutil.rmtree(data)
        restore(data, config, daemons, "--root-key-file", str(tmp_path / "paper.key"))
        with RunningServer(data, "--config", str(config)) as server:
            assert names(server) == ["again", "both", "ours"]
            for name in names(server):
                assert s3(server).get_object(Bucket="bucket", Key=name)["Body"].read() == DATA


def test_of_two_copies_of_a_folder_one_can_go_on(tmp_path: Path) -> None:
    """The one that did not write last does not start; told to take over, it goes on."""
    with swarm(tmp_path) as daemons:
        config = configuration(tmp_path, daemons)
        data, copy = tmp_path / "data", tmp_path / "copy"
        with RunningServer(data, "--config", str(config)) as server:
            s3(server).create_bucket(Bucket="bucket")
            put(server, "both")
        shutil.copytree(data, copy)
        with RunningServer(copy, "--config", str(config)) as server:
            put(server, "theirs")
        with pytest.raises(NotReady, match="a copy of this data folder"):
            RunningServer(data, "--config", str(config)).start()
        taken = ask("take-over", "--accept-loss", "--data", str(data), "--config", str(config))
        assert taken["clean"], taken
        with RunningServer(data, "--config", str(config)) as server:
            put(server, "ours")
            assert names(server) == ["both", "ours"]
            assert s3(server).get_object(Bucket="bucket", Key="both")["Body"].read() == DATA
