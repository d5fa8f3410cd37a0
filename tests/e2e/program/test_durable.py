"""Buckets of class ``ipfs``: what was answered is there after the gateway's machine is gone, without any snapshot."""

import os
import shutil
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from noisefs.core.domain.nodes.root import RootKind, RootSealer
from noisefs.core.domain.sealing.head import decode_head
from noisefs.core.domain.sealing.keyring import parse_root_key
from noisefs.core.errors import RootDamaged
from tests.support.kubo import call, swarm
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer, noisefs
from tools.ipfs_daemon import IpfsDaemon

pytestmark = [pytest.mark.e2e, pytest.mark.needs("ipfs")]

SIZES = (0, 1, 900, 4096, 100_000, 131_072, 3_000_000)


def client(server: RunningServer) -> Any:  # Any: boto3 has no types
    """One that tries nothing twice."""
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60, s3={"addressing_style": "path"}),
    )


def configuration(folder: Path, apis: list[str], durability: str) -> Path:
    """A file that names the nodes and the class of new buckets."""
    nodes = "".join(f'[[ipfs.nodes]]\napi = "{api}"\nname = "n{at}"\n' for at, api in enumerate(apis))
    file = folder / "noisefs.toml"
    file.write_text(
        f'[store]\ndurability = "{durability}"\n[ipfs]\nmin_free_bytes = 0\nmin_free_inodes = 0\n'
        f"confirm_timeout_s = 5\n{nodes}"
    )
    return file


def restore(data: Path, config: Path, apis: list[str], key: Path) -> None:
    """The command, on an empty folder."""
    sources = [word for api in apis for word in ("--from-ipfs", api)]
    done = noisefs(
        "snapshot", "restore", *sources, "--root-key-file", str(key), "--data", str(data), "--config", str(config)
    )
    assert done.returncode == 0, done.stdout + done.stderr


def content(s3: Any, bucket: str) -> dict[str, bytes]:  # Any: boto3 has no types
    """Every object of a bucket."""
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def test_what_was_answered_is_there_after_a_kill_and_the_loss_of_the_folder(tmp_path: Path) -> None:
    key = tmp_path / "paper.key"
    with swarm(tmp_path) as daemons:
        apis = [one.api for one in daemons]
        config = configuration(tmp_path, apis, "ipfs")
        data = tmp_path / "data"
        written: dict[str, bytes] = {}
        with RunningServer(data, "--config", str(config)) as server:
            shutil.copy(data / "root.key", key)
            s3 = client(server)
            s3.create_bucket(Bucket="photos")
            for number, size in enumerate(SIZES):
                written[f"key{number}"] = os.urandom(size)
                s3.put_object(Bucket="photos", Key=f"key{number}", Body=written[f"key{number}"])
            s3.delete_object(Bucket="photos", Key="key2")
            del written["key2"]
            upload = s3.create_multipart_upload(Bucket="photos", Key="parts")["UploadId"]
            parts = [os.urandom(5 << 20), os.urandom(1000)]
            tags = [
                s3.upload_part(Bucket="photos", Key="parts", UploadId=upload, PartNumber=n, Body=part)["ETag"]
                for n, part in enumerate(parts, 1)
            ]
            s3.complete_multipart_upload(
                Bucket="photos",
                Key="parts",
                UploadId=upload,
                MultipartUpload={"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]},
            )
            written["parts"] = b"".join(parts)
            server.kill()
        shutil.rmtree(data)
        restore(data, config, apis, key)
        with RunningServer(data, "--config", str(config)) as server:
            s3 = client(server)
            assert content(s3, "photos") == written
            s3.put_object(Bucket="photos", Key="after", Body=b"x" * 200_000)
            written["after"] = b"x" * 200_000
            server.kill()
        shutil.rmtree(data)
        restore(data, config, apis, key)
        with RunningServer(data, "--config", str(config)) as server:
            assert content(client(server), "photos") == written


def test_under_load_nothing_that_was_answered_is_lost(tmp_path: Path) -> None:
    """Eight writers, killed in the middle; one of two nodes is killed for good as well."""
    key = tmp_path / "paper.key"
    with swarm(tmp_path, 3) as daemons:
        apis = [one.api for one in daemons]
        config = configuration(tmp_path, apis, "replicated:2")
        data = tmp_path / "data"
        answered: dict[str, bytes] = {}
        begun: dict[str, bytes] = {}

        def bodies(writer: int) -> Iterator[tuple[str, bytes]]:
            for number in range(1000):
                yield f"{writer}-{number}", os.urandom(SIZES[(number + writer) % len(SIZES)])

        with RunningServer(data, "--config", str(config)) as server:
            shutil.copy(data / "root.key", key)
            client(server).create_bucket(Bucket="photos")
            enough = threading.Semaphore(0)

            def write(writer: int) -> None:
                s3 = client(server)
                for name, body in bodies(writer):
                    begun[name] = body
                    try:
                        s3.put_object(Bucket="photos", Key=name, Body=body)
                    except (BotoCoreError, ClientError):
                        return
                    answered[name] = body
                    enough.release()

            writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
            for one in writers:
                one.start()
            for _ in range(60):
                assert enough.acquire(timeout=60)
            server.kill()
            for one in writers:
                one.join()
        shutil.rmtree(data)
        daemons[2].kill()
        restore(data, config, apis, key)
        with RunningServer(data, "--config", str(config)) as server:
            found = content(client(server), "photos")
        assert {name: found.get(name) for name in answered} == answered
        assert all(begun[name] == body for name, body in found.items())


def reach(daemon: IpfsDaemon, sealer: RootSealer) -> tuple[int, int]:
    """The last commit that a node has log records of, and how far it has the open pack."""
    listed = call(daemon, "pin/ls", type="recursive")
    assert isinstance(listed, dict)
    commit = blocks = 0
    for text in listed.get("Keys", {}):
        query = urllib.parse.urlencode({"arg": text})
        request = urllib.request.Request(f"{daemon.api}/api/v0/block/get?{query}", method="POST", data=b"")
        with urllib.request.urlopen(request, timeout=10) as answer:
            raw = answer.read()
        try:
            meta = sealer.open(raw).meta
        except RootDamaged:
            continue  # what an empty repository has
        if meta.kind == RootKind.LOG:
            commit = max(commit, meta.log_number)
        elif meta.kind == RootKind.INTERIM:
            blocks = max(blocks, meta.first + meta.count)
    return commit, blocks


def test_nodes_may_be_lost_one_after_the_other(tmp_path: Path) -> None:
    """Two copies of three nodes: one is lost, what it had goes to others, another one is lost, and then the machine."""
    key = tmp_path / "paper.key"
    with swarm(tmp_path, 3) as daemons:
        config = configuration(tmp_path, [one.api for one in daemons], "replicated:2")
        config.write_text(config.read_text().replace("[ipfs]", "[snapshots]\nevery_s = 3600\n[ipfs]\ndown_after_s = 1"))
        data = tmp_path / "data"
        written = {"small": os.urandom(900), "large": os.urandom(3_000_000)}
        with RunningServer(data, "--config", str(config)) as server:
            shutil.copy(data / "root.key", key)
            head = decode_head((data / "head").read_bytes(), parse_root_key(key.read_text()))
            sealer = RootSealer(head.store_id, head.keyring.store_key)
            s3 = client(server)
            s3.create_bucket(Bucket="photos")
            for name, body in written.items():
                s3.put_object(Bucket="photos", Key=name, Body=body)
            before = {one: reach(one, sealer) for one in daemons}
            goal = tuple(map(max, zip(*before.values(), strict=True)))
            assert sorted(commit == goal[0] for commit, _ in before.values()) == [False, True, True]
            lost, kept, spare = sorted(daemons, key=lambda one: before[one], reverse=True)
            lost.kill()
            late = time.monotonic() + 60
            while any(there < wanted for there, wanted in zip(reach(spare, sealer), goal, strict=True)):
                assert time.monotonic() < late, reach(spare, sealer)
                time.sleep(0.2)  # another process works at it
            server.kill()
        shutil.rmtree(data)
        kept.kill()
        restore(data, config, [spare.api], key)
        with RunningServer(data, "--config", str(config)) as server:
            assert content(client(server), "photos") == written


def test_without_nodes_a_write_fails_in_time_and_reads_go_on(tmp_path: Path) -> None:
    with swarm(tmp_path) as daemons:
        config = configuration(tmp_path, [one.api for one in daemons], "ipfs")
        with RunningServer(tmp_path / "data", "--config", str(config)) as server:
            s3 = client(server)
            s3.create_bucket(Bucket="photos")
            s3.put_object(Bucket="photos", Key="key", Body=b"y" * 300_000)
            daemons[0].kill()
            with pytest.raises(ClientError) as refused:
                s3.put_object(Bucket="photos", Key="key", Body=b"z" * 300_000)
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
            assert s3.get_object(Bucket="photos", Key="key")["Body"].read() == b"y" * 300_000
            daemons[0].start()
            for _ in range(20):
                try:
                    s3.put_object(Bucket="photos", Key="key", Body=b"z" * 300_000)
                    break
                except ClientError:
                    continue
            assert s3.get_object(Bucket="photos", Key="key")["Body"].read() == b"z" * 300_000
