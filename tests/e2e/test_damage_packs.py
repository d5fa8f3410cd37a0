"""The installed program over damaged, missing and swapped packs: never a wrong byte, all else served, all told."""

import json
import shutil
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError, ResponseStreamingError

from tests.support.server import ACCESS_KEY, SECRET_KEY, NotReady, RunningServer, noisefs

pytestmark = pytest.mark.e2e

BLOCK = 131088
MIB = 1 << 20
FAILED_READ = (ClientError, ConnectionClosedError, HTTPClientError, ResponseStreamingError, IncompleteRead)
FOUND = 6
"""Exit code: damage was found."""


def client(server: RunningServer) -> Any:  # Any: boto3 has no types
    """An S3 client that does not try again."""
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def body(name: str) -> bytes:
    """What an object holds."""
    size = {"first": 7 * MIB + 3, "second": 9 * MIB, "small": 30_000, "tiny": 300}[name]
    return (name.encode() * (size // len(name) + 1))[:size]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which ``first`` lies in one pack, ``second`` in another, ``small`` and ``tiny`` in none."""
    data = tmp_path_factory.mktemp("original") / "data"
    for names in (("first", "small", "tiny"), ("second",)):
        with RunningServer(data) as server:
            s3 = client(server)
            if "first" in names:
                s3.create_bucket(Bucket="objects")
            for name in names:
                s3.put_object(Bucket="objects", Key=name, Body=body(name))
            assert server.stop() == 0
    assert len(packs(data)) == 2
    return data


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copy = tmp_path / "data"
    shutil.copytree(original, copy)
    return copy


def packs(data: Path) -> list[Path]:
    """Sealed packs, the larger one (with ``second``) last."""
    return sorted((data / "packs").glob("*.pack"), key=lambda path: path.stat().st_size)


def overwrite(path: Path, at: int, what: bytes) -> None:
    """Change bytes of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def reads(server: RunningServer) -> dict[str, bool]:
    """Which objects come back whole. What does not must end in an error, never in other bytes."""
    s3 = client(server)
    found = {}
    for name in ("first", "second", "small", "tiny"):
        try:
            got = s3.get_object(Bucket="objects", Key=name)["Body"].read()
        except FAILED_READ:
            found[name] = False
        else:
            assert got == body(name)
            found[name] = True
    return found


def ask(data: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Run a command; its exit code and answer."""
    done = noisefs(*words, "--data", str(data), "--json")
    return done.returncode, json.loads(done.stdout)


def test_a_damaged_block_costs_what_lies_in_it_and_nothing_else(data: Path) -> None:
    overwrite(packs(data)[-1], 30 * BLOCK + 5, b"\xff" * 40)
    with RunningServer(data) as server:
        assert reads(server) == {"first": True, "second": False, "small": True, "tiny": True}
        s3 = client(server)
        part = s3.get_object(Bucket="objects", Key="second", Range="bytes=0-99999")
        assert part["Body"].read() == body("second")[:100_000]
        code, report = ask(data, "scrub")
        assert code == FOUND
        assert report["damaged_objects"] == ["objects/second"]
        s3.put_object(Bucket="objects", Key="second", Body=body("second"))
        assert reads(server)["second"]
        s3.delete_object(Bucket="objects", Key="first")
        assert ask(data, "clean")[0] == 0
        assert ask(data, "scrub")[0] == 0
    assert "SegmentDamaged" in server.stderr


def test_a_pack_cut_short_costs_its_end(data: Path) -> None:
    path = packs(data)[-1]
    with path.open("r+b") as file:
        file.truncate(40 * BLOCK)
    with RunningServer(data) as server:
        assert reads(server) == {"first": True, "second": False, "small": True, "tiny": True}
        code, report = ask(data, "scrub")
        assert code == FOUND
        assert report["damaged_objects"] == ["objects/second"]
        assert len(report["damaged_packs"]) == 1


def test_a_missing_pack_is_named_and_the_rest_is_served(data: Path) -> None:
    gone = packs(data)[-1]
    gone.unlink()
    with RunningServer(data) as server:
        assert reads(server) == {"first": True, "second": False, "small": True, "tiny": True}
        code, report = ask(data, "audit", "orphans")
        assert code == FOUND
        assert report["rows_without_pack"] == [gone.stem]
        assert ask(data, "scrub")[1]["damaged_objects"] == ["objects/second"]
        client(server).delete_object(Bucket="objects", Key="second")
        client(server).put_object(Bucket="objects", Key="second", Body=body("second"))
        assert reads(server) == dict.fromkeys(("first", "second", "small", "tiny"), True)
    assert "pack.missing" in server.stderr
    assert gone.stem in server.stderr


def test_swapped_packs_give_no_wrong_byte(data: Path) -> None:
    one, other = packs(data)
    aside = data / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    with RunningServer(data) as server:
        found = reads(server)
        assert found["tiny"]
        assert not found["first"]
        assert not found["second"]
        assert ask(data, "scrub")[0] == FOUND


def test_a_strange_pack_is_told_and_left_alone(data: Path) -> None:
    strange = data / "packs" / f"{'ab' * 16}.pack"
    shutil.copy(packs(data)[0], strange)
    with RunningServer(data) as server:
        assert all(reads(server).values())
        code, report = ask(data, "audit", "orphans")
        assert (code, report["packs_without_row"]) == (FOUND, [strange.stem])
        assert ask(data, "clean")[0] == 0
    assert strange.exists()
    assert "pack.unknown" in server.stderr


@pytest.mark.parametrize("at", [0, 5000])
def test_a_damaged_index_is_refused_and_named(data: Path, at: int) -> None:
    path = data / "index" / "index.db"
    overwrite(path, at, bytes(range(256)) * 8)
    with pytest.raises(NotReady, match=r"(?i)index"):
        RunningServer(data).start()


def test_a_damaged_head_is_refused_and_named(data: Path) -> None:
    overwrite(data / "head", 60, b"\xff" * 8)
    with pytest.raises(NotReady, match=r"exit code [56](.|\n)*(head|root key)"):
        RunningServer(data).start()
