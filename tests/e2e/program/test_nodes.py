"""The program over real Kubo nodes: what they hold is read back exactly, or 503 comes in time, and no wrong bytes."""

import asyncio
import base64
import hashlib
import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.kubo import SECRET, connect, swarm
from tests.support.proxies import DamagingProxy
from tests.support.server import ACCESS_KEY, SECRET_KEY, NotReady, RunningServer, noisefs
from tools.ipfs_daemon import IpfsDaemon

pytestmark = [pytest.mark.e2e, pytest.mark.needs("ipfs")]

SIZE = 12_000_000
LIMIT_S = 60


def content(size: int, seed: int = 0) -> bytes:
    """Reproducible bytes."""
    return random.Random(seed).randbytes(size)


def settings(nodes: Sequence[Mapping[str, object]], **fields: object) -> dict[str, str]:
    """The environment of a server with these nodes, which reads what is away from them again and again."""
    fields = {"min_free_bytes": 0, "min_free_inodes": 0, "pack_max_age_s": 0.2, "read_timeout_s": 8, **fields}
    named = {f"NOISEFS_IPFS__{name.upper()}": str(value) for name, value in fields.items()}
    return {"NOISEFS_IPFS__NODES": json.dumps(list(nodes)), "NOISEFS_CACHE__DISK_MAX_BYTES": "0", **named}


def node(daemon: IpfsDaemon, name: str, **fields: object) -> dict[str, object]:
    """A node of the configuration."""
    return {"api": daemon.api, "gateway": daemon.gateway, "name": name, **fields}


def served(folder: Path, environment: Mapping[str, str]) -> RunningServer:
    """A server on the store in this folder."""
    return RunningServer(folder / "data", environment=environment)


def s3(server: RunningServer, *, retries: int = 0) -> Any:  # Any: boto3 makes its clients at run time
    """A client that tries again as often as it is told."""
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": retries}, read_timeout=LIMIT_S),
    )


def put(server: RunningServer, key: str, data: bytes) -> None:
    """Store an object, in a bucket that is made if need be."""
    client = s3(server)
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key=key, Body=data)


def put_until_refused(server: RunningServer, data: bytes) -> tuple[int, Any]:  # Any: as boto3 has it
    """Store objects called by numbers until one is refused; how many were not, and the answer of that one."""
    client = s3(server)
    for number in range(20):
        try:
            client.put_object(Bucket="bucket", Key=f"{number}", Body=data)
        except ClientError as exc:
            return number, exc.response
    raise AssertionError("nothing was refused")


def get(server: RunningServer, key: str, **fields: str) -> bytes:
    """Read an object."""
    return bytes(s3(server).get_object(Bucket="bucket", Key=key, **fields)["Body"].read())


def ask(server: RunningServer, *command: str, code: int = 0) -> Any:  # Any: each command has its own answer
    """Run a command with ``--json``; its answer."""
    done = noisefs(*command, "--json", "--data", str(server.data))
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def until(what: str, holds: Any) -> None:  # Any: a function without arguments
    """Wait until something holds."""
    late = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < late, f"not in time: {what}"
        time.sleep(0.1)  # another process works at it, and has no event for us


def settle(server: RunningServer, least_bytes: int = 1) -> None:
    """Wait until so much lies in sealed packs, and all of them have their copies."""

    def settled() -> bool:
        found = ask(server, "ipfs", "status")
        return bool(found["clean"] and found["bytes"] >= least_bytes)

    until("packs on nodes", settled)


def lose_packs(server: RunningServer) -> None:
    """Remove every pack of a stopped server."""
    for file in (server.data / "packs").glob("*.pack"):
        file.unlink()


@contextmanager
def damaging(upstream: str) -> Iterator[DamagingProxy]:
    """A proxy that flips bits, on a loop and thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    proxy = DamagingProxy(upstream)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(LIMIT_S)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result(LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_packs_lost_on_the_disk_are_read_from_a_node(tmp_path: Path) -> None:
    """Byte by byte, in parts and whole, over S3 and WebDAV, and every check of the store is content."""
    data, small = content(SIZE), content(5_000, 1)
    with swarm(tmp_path) as (daemon,):
        environment = settings([node(daemon, "one", managed=True)])
        with served(tmp_path, environment) as server:
            put(server, "large", data)
            s3(server).put_object(Bucket="bucket", Key="small", Body=small)
            settle(server, SIZE)
            (row,) = ask(server, "ipfs", "nodes")
            assert (row["node"], row["state"], row["packs"] > 0, row["version"] != "") == ("one", "ready", True, True)
        with served(tmp_path, environment) as server:  # the last packs were sealed by the stop
            settle(server, SIZE)
        lose_packs(server)
        with served(tmp_path, environment) as server:
            assert get(server, "large") == data
            assert get(server, "large", Range="bytes=5000000-5000099") == data[5_000_000:5_000_100]
            assert get(server, "small") == small
            request = urllib.request.Request(f"{server.webdav}/bucket/large", headers={"Authorization": _basic()})
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                assert hashlib.sha256(answer.read()).digest() == hashlib.sha256(data).digest()
            assert server.metrics()['noisefs_block_reads_total{tier="cold"}'] > 0
            assert ask(server, "audit", "orphans")["clean"]
            assert ask(server, "scrub")["bodies_on_nodes"] > 0
            assert ask(server, "scrub", "--network")["bodies_on_nodes"] == 0
            assert ask(server, "ipfs", "check")["clean"]
            assert ask(server, "ipfs", "repair")["left"] == 0
            status = ask(server, "ipfs", "status")
            assert status["evicted_packs"] == status["packs"]


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()


def test_packs_leave_the_disk_when_they_take_too_much(tmp_path: Path) -> None:
    """The oldest go, as many as needed; a GET finds them on the node, and writing goes on."""
    objects = {f"{number}": content(60_000_000, number) for number in range(5)}
    with swarm(tmp_path) as (daemon,):
        environment = settings([node(daemon, "one")], local_packs_max_bytes="1")  # that is four packs
        with served(tmp_path, environment) as server:
            for name, data in objects.items():
                put(server, name, data)
            until("eviction", lambda: server.metrics()["noisefs_packs_evicted_total"] > 0)
            assert ask(server, "ipfs", "status")["evicted_packs"] > 0
            for name, data in objects.items():
                assert get(server, name) == data
            assert server.metrics()['noisefs_block_reads_total{tier="cold"}'] > 0
            assert ask(server, "audit", "orphans")["clean"]


def test_what_a_silent_node_might_say_is_not_taken_for_good_news(tmp_path: Path) -> None:
    """A check and a snapshot that need it end with 7: the same command may succeed later."""
    with swarm(tmp_path) as (daemon,), served(tmp_path, settings([node(daemon, "one")])) as server:
        put(server, "key", content(SIZE))
        settle(server)
        assert ask(server, "ipfs", "check")["nodes_silent"] == []
        daemon.stop()
        found = ask(server, "ipfs", "check", code=7)
        assert (found["clean"], found["nodes_silent"]) == (False, ["one"])
        put(server, "later", b"x")
        assert ask(server, "snapshot", "create", code=7)["on_nodes"] is False


def test_packs_that_no_node_takes_slow_writers_down(tmp_path: Path) -> None:
    """Nothing that is on the disk only is evicted: writers wait, get 503 SlowDown, and go on when the node is back."""
    data = content(40_000_000)
    with swarm(tmp_path) as (daemon,):
        environment = settings([node(daemon, "one")], local_packs_max_bytes="1")  # that is four packs
        with served(tmp_path, environment) as server:
            put(server, "before", content(5_000))
            daemon.stop()
            stored, answer = put_until_refused(server, data)
            assert answer["Error"]["Code"] == "SlowDown"
            assert int(answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) > 0
            assert stored > 3
            assert get(server, f"{stored - 1}") == data
            s3(server).delete_object(Bucket="bucket", Key="0")
            assert server.metrics()["noisefs_packs_evicted_total"] == 0
            daemon.start()
            s3(server, retries=20).put_object(Bucket="bucket", Key="after", Body=data)
            assert get(server, "1") == data
            assert get(server, "after") == data


def test_a_node_killed_or_frozen_leaves_readers_to_the_other_one(tmp_path: Path) -> None:
    """With two copies one node is enough; with none it is 503 with Retry-After, in time, and then all is well again."""
    data = content(SIZE)
    with swarm(tmp_path, 2) as daemons:
        one, two = daemons
        environment = settings([node(one, "one"), node(two, "two")], copies=2)
        with served(tmp_path, environment) as server:
            put(server, "large", data)
        with served(tmp_path, environment) as server:
            settle(server, SIZE)
        lose_packs(server)
        with served(tmp_path, environment) as server:
            answer = s3(server).get_object(Bucket="bucket", Key="large")["Body"]
            begun = answer.read(1_000_000)
            one.kill()
            assert begun + answer.read() == data
            assert get(server, "large") == data
            two.freeze()
            try:
                began = time.monotonic()
                with pytest.raises(ClientError) as refused:
                    get(server, "large")
                assert time.monotonic() - began < 30, "bounded by ipfs.read_timeout_s"
                metadata = refused.value.response["ResponseMetadata"]
                assert metadata["HTTPStatusCode"] == 503
                assert int(metadata["HTTPHeaders"]["retry-after"]) > 0
                with urllib.request.urlopen(f"{server.admin}/readyz", timeout=LIMIT_S) as ready:
                    assert any("node one" in line for line in json.load(ready)["degraded"])
            finally:
                two.thaw()
            one.start()
            connect(daemons)
            until("nodes back", lambda: {row["state"] for row in ask(server, "ipfs", "nodes")} == {"ready"})
            assert get(server, "large") == data


def test_damaged_blocks_are_never_served(tmp_path: Path) -> None:
    """From a node with bit rot nothing is taken: the other one has it, and without another one it is 503."""
    data = content(SIZE)
    with swarm(tmp_path, 2) as (one, two), damaging(one.gateway) as proxy:
        proxy.damaging = False
        nodes = [node(one, "one", gateway=proxy.url), node(two, "two")]
        both, alone = settings(nodes, copies=2), settings(nodes[:1])
        with served(tmp_path, both) as server:
            put(server, "large", data)
        with served(tmp_path, both) as server:
            settle(server, SIZE)
        lose_packs(server)
        proxy.damaging = True
        with served(tmp_path, both) as server:
            assert get(server, "large") == data
        with served(tmp_path, alone) as server:
            with pytest.raises(ClientError) as refused:
                get(server, "large")
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
            assert server.metrics()['noisefs_node_block_reads_total{node="one",outcome="damaged"}'] > 0
            proxy.damaging = False
            assert get(server, "large") == data
        assert proxy.damaged > 0


def test_a_block_that_rots_on_a_node_is_found_and_mended(tmp_path: Path) -> None:
    """By a read, by ``check --verify``, or slowly by the server itself; and an operator sees it meanwhile."""
    data = content(SIZE)
    with swarm(tmp_path, 2) as (one, two):
        nodes = [node(one, "one"), node(two, "two")]
        with served(tmp_path, settings(nodes, copies=2)) as server:
            put(server, "large", data)
        with served(tmp_path, settings(nodes, copies=2)) as server:
            settle(server, SIZE)
            rotten = max((one.repo / "blocks").glob("*/*.data"), key=lambda file: file.stat().st_size)
            right = rotten.read_bytes()
            rotten.chmod(0o600)
            rotten.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
            found = ask(server, "ipfs", "check", "--verify", code=6)
            assert found["found_damaged"] >= 1
            repaired = ask(server, "ipfs", "repair")
            assert (repaired["left"], repaired["beyond_mending"]) == (0, 0)
            assert rotten.read_bytes() == right
            again = ask(server, "ipfs", "check", "--verify")
            assert (again["found_damaged"], again["unread"]) == (0, 0)
            assert server.metrics()['noisefs_node_mended_blocks_total{node="one"}'] >= 1
        rotten.chmod(0o600)
        rotten.write_bytes(bytes(len(right)))
        with served(tmp_path, settings(nodes, copies=2, verify_every_s=5)):
            until("mended by itself", lambda: rotten.exists() and rotten.read_bytes() == right)


def test_a_daemon_may_restart_while_the_gateway_is_up(tmp_path: Path) -> None:
    """What was written meanwhile goes there afterwards."""
    data = content(SIZE)
    with swarm(tmp_path) as (daemon,), served(tmp_path, settings([node(daemon, "one")])) as server:
        put(server, "before", data)
        settle(server, SIZE)
        daemon.stop()
        put(server, "meanwhile", data)
        assert get(server, "meanwhile") == data
        daemon.start()
        settle(server, 2 * SIZE)
        assert get(server, "before") == data


def test_a_node_that_does_not_let_us_in_is_told(tmp_path: Path) -> None:
    """The server runs, and says which node refuses it; the right token helps, from a file too."""
    rights = {"us": {"AuthSecret": "bearer:open sesame", "AllowedPaths": ["/api/v0"]}}
    with IpfsDaemon(tmp_path / "locked", secret=SECRET, settings={"API.Authorizations": rights}) as daemon:
        wrong = settings([node(daemon, "one", token="open barley")])
        with served(tmp_path, wrong) as server:
            put(server, "large", content(SIZE))
            (row,) = ask(server, "ipfs", "nodes")
            assert row["state"] == "down"
            assert "let us in" in row["reason"]
            assert "barley" not in server.stderr
            assert get(server, "large") == content(SIZE)
        secret = tmp_path / "token"
        secret.write_text("open sesame\n")
        right = settings([node(daemon, "one", token_file=str(secret))])
        with served(tmp_path, right) as server:
            settle(server)


def test_a_public_node_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    """By the server and by ``config check``: everybody would see what it holds."""
    with IpfsDaemon(tmp_path / "node", secret=SECRET) as daemon:
        daemon.stop()
        daemon.configure({"Routing.Type": "auto", "Provide.Enabled": True})
        daemon.start()
        (daemon.repo / "swarm.key").rename(daemon.repo / "away")
        environment = settings([node(daemon, "one")])
        checked = noisefs("config", "check", environment=environment)
        assert checked.returncode == 2
        assert "public network" in checked.stderr
        with pytest.raises(NotReady, match="public network"):
            served(tmp_path, environment).start()
        allowed = settings([node(daemon, "one")], public="true")
        assert noisefs("config", "check", environment=allowed).returncode == 0
        with served(tmp_path, allowed) as server:
            put(server, "large", content(SIZE))
            settle(server)


def test_commands_tell_when_there_are_no_nodes(tmp_path: Path) -> None:
    """Nothing is half there: neither the commands nor the classes that need nodes."""
    with RunningServer(tmp_path / "data") as server:
        for command in ("status", "nodes", "check", "repair"):
            done = noisefs("ipfs", command, "--data", str(server.data))
            assert done.returncode == 2
            assert "no nodes" in done.stderr
        refused = noisefs("bucket", "create", "safe", "--durability", "ipfs", "--data", str(server.data))
        assert refused.returncode == 2
        assert "nodes" in refused.stderr
        assert ask(server, "bucket", "create", "plain")["durability"] == "local"
        assert [row["durability"] for row in ask(server, "bucket", "list")] == ["local"]
