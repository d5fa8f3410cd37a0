"""Stores of released formats are opened by the program as it is now, and hold what they held.

A golden store is never written again once its format was released: where one of these tests fails, the program is
wrong. A new format gets stores of its own (:mod:`tests.golden.make_store`).
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.domain.packs.coverage import covered, is_partly_dead
from noisefs.core.domain.records import Body, Lock, decode
from noisefs.core.ports.index import Table
from noisefs.gateway.assembly import open_store
from noisefs.gateway.config.load import load
from noisefs.gateway.folder import Folder
from tests.golden import content
from tests.golden.content import BUCKET, DAV_BUCKET, SECOND_BUCKET, pattern, s3_client
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer, noisefs

HERE = Path(__file__).parent
EXPECTED: dict[str, Any] = json.loads((HERE / "expected.json").read_text())  # Any: JSON
LARGE = [name for name, store in EXPECTED.items() if "upload" in store]

pytestmark = pytest.mark.e2e


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """The environment in which a golden store is opened: its root key lies beside it."""
    key_file = tmp_path / "root.key"
    key_file.write_text(content.ROOT_KEY_LINE)
    key_file.chmod(0o600)
    return {**content.SETTINGS, "NOISEFS_ROOT_KEY__FILE": str(key_file)}


def opened(name: str, place: Path) -> Path:
    """A copy of a golden store, as it would lie on a user's disk."""
    data = place / "data"
    shutil.copytree(HERE / name, data)
    for path in data.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return data


def ask(data: Path, settings: dict[str, str], *command: str) -> dict[str, Any]:  # Any: JSON
    """A command's answer."""
    done = noisefs(*command, "--data", str(data), "--json", environment=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check_objects(server: RunningServer, expected: dict[str, Any]) -> None:  # Any: JSON
    """Every object is listed, and is what it was."""
    for bucket, objects in expected["objects"].items():
        second = (content.SECOND_KEY, content.SECOND_SECRET)
        client = s3_client(server.s3, *(second if bucket == SECOND_BUCKET else (ACCESS_KEY, SECRET_KEY)))
        rows = client.list_objects_v2(Bucket=bucket).get("Contents", [])
        assert [(row["Key"], row["Size"], row["ETag"]) for row in rows] == [
            (key, found["size"], found["ETag"])
            for key, found in sorted(objects.items(), key=lambda item: item[0].encode())
        ]
        for key, found in objects.items():
            assert content.described(client, bucket, key) == found, key
    client = s3_client(server.s3)
    for bucket, versions in expected.get("versions", {}).items():
        assert content.versions_of(client, bucket) == versions
    for bucket, answers in expected.get("configured", {}).items():
        assert content.configured(client, bucket, answers) == answers


def check_audits(data: Path, settings: dict[str, str]) -> None:
    """The store finds nothing wrong with itself."""
    for audit in ("orphans", "tuples", "space"):
        assert ask(data, settings, "audit", audit)["clean"], audit
    assert ask(data, settings, "scrub")["clean"]


@pytest.mark.parametrize("name", EXPECTED)
async def test_its_services_read_every_byte(name: str, tmp_path: Path, settings: dict[str, str]) -> None:
    folder = Folder(opened(name, tmp_path))
    config = load(None, environment=settings).config
    async with open_store(folder, config, MemoryTelemetry(), background=False) as target:
        store = target.store
        assert store.geometry.strategy == EXPECTED[name]["strategy"]
        who = await store.accounts.principal_of_name("admin")
        for bucket, objects in EXPECTED[name]["objects"].items():
            for key, found in objects.items():
                customer_key = content.CUSTOMER["SSECustomerKey"] if key.startswith("customer") else None
                async with await store.objects.open(who, bucket, key, customer_key=customer_key) as opened_object:
                    digest = hashlib.sha256()
                    async for chunk in opened_object.chunks():
                        digest.update(chunk)
                assert digest.hexdigest() == found["sha256"], key
        assert store.auditor.orphans().clean
        assert (await store.scrubber.run()).clean


@pytest.mark.parametrize("name", EXPECTED)
def test_the_program_serves_it(name: str, tmp_path: Path, settings: dict[str, str]) -> None:
    data = opened(name, tmp_path)
    with RunningServer(data, environment=settings) as server:
        check_objects(server, EXPECTED[name])
        check_audits(data, settings)
        for command, answer in EXPECTED[name].get("asked", {}).items():
            assert ask(data, settings, *command.split()) == answer


@pytest.mark.parametrize("name", EXPECTED)
def test_its_index_is_made_anew_from_its_snapshot_its_log_and_its_packs(
    name: str, tmp_path: Path, settings: dict[str, str]
) -> None:
    data = opened(name, tmp_path)
    shutil.rmtree(data / "index")
    report = ask(data, settings, "rebuild-index")
    assert report["clean"]
    assert (report["commits_lost"], report["objects_lost"], report["packs_quarantined"]) == (0, [], [])
    with RunningServer(data, environment=settings) as server:
        check_objects(server, EXPECTED[name])
        check_audits(data, settings)


@pytest.mark.parametrize("name", LARGE)
def test_it_is_written_to_and_cleaned(name: str, tmp_path: Path, settings: dict[str, str]) -> None:
    """What is left of its pack is moved to a new one, and is what it was."""
    data = opened(name, tmp_path)
    packs = {path.name for path in (data / "packs").iterdir()}
    objects = dict(EXPECTED[name]["objects"])
    with RunningServer(data, environment=settings) as server:
        client = s3_client(server.s3)
        more = pattern("written by a later version", 5 * content.S)
        client.put_object(Bucket=BUCKET, Key="more", Body=more)
        large = ["several segments", "copy", "multipart"]
        for key in large:
            client.delete_object(Bucket=BUCKET, Key=key)
        ask(data, settings, "clean")
        assert client.get_object(Bucket=BUCKET, Key="more")["Body"].read() == more
        client.delete_object(Bucket=BUCKET, Key="more")
        objects[BUCKET] = {key: found for key, found in objects[BUCKET].items() if key not in large}
        check_objects(server, {"objects": objects})
        check_audits(data, settings)
    assert not packs & {path.name for path in (data / "packs").iterdir()}


@pytest.mark.parametrize("name", LARGE)
def test_an_open_upload_goes_on(name: str, tmp_path: Path, settings: dict[str, str]) -> None:
    upload = EXPECTED[name]["upload"]
    place = {"Bucket": BUCKET, "Key": content.OPEN_KEY, "UploadId": upload["id"]}
    with RunningServer(opened(name, tmp_path), environment=settings) as server:
        client = s3_client(server.s3)
        assert [row["UploadId"] for row in client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [upload["id"]]
        (part,) = client.list_parts(**place)["Parts"]
        assert (part["PartNumber"], part["Size"], part["ETag"]) == (1, upload["size"], upload["part"])
        added = client.upload_part(**place, PartNumber=2, Body=pattern("open 2", 200_000))
        parts = [{"PartNumber": n, "ETag": etag} for n, etag in ((1, upload["part"]), (2, added["ETag"]))]
        client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
        found = client.get_object(Bucket=BUCKET, Key=content.OPEN_KEY)
        assert found["Body"].read() == pattern("open 1", upload["size"]) + pattern("open 2", 200_000)
        assert found["Metadata"] == {"open": "yes"}


@pytest.mark.parametrize("name", LARGE)
def test_users_have_what_they_had(name: str, tmp_path: Path, settings: dict[str, str]) -> None:
    with RunningServer(opened(name, tmp_path), environment=settings) as server:
        assert {row["Name"] for row in s3_client(server.s3).list_buckets()["Buckets"]} == set(EXPECTED[name]["objects"])
        other = s3_client(server.s3, content.SECOND_KEY, content.SECOND_SECRET)
        assert [row["Name"] for row in other.list_buckets()["Buckets"]] == [SECOND_BUCKET]
        with pytest.raises(ClientError, match="AccessDenied"):
            other.get_object(Bucket=BUCKET, Key="slice")
        disabled = s3_client(server.s3, content.DISABLED_KEY, content.DISABLED_SECRET)
        with pytest.raises(ClientError, match=r"AccessDenied|InvalidAccessKeyId"):
            disabled.list_buckets()


@pytest.mark.parametrize("name", LARGE)
def test_a_resource_keeps_its_property(name: str, tmp_path: Path, settings: dict[str, str]) -> None:
    with RunningServer(opened(name, tmp_path), environment=settings) as server:
        path = f"/{DAV_BUCKET}/{content.NAME}"
        status, answer = content.dav(server.webdav, "PROPFIND", path, None, {"Depth": "0"})
        assert status == 207
        assert content.VALUE in answer.decode()


@pytest.mark.parametrize("name", LARGE)
async def test_its_lock_is_read(name: str, tmp_path: Path, settings: dict[str, str]) -> None:
    """A lock ends after a day at most, so that only its row is left to be looked at."""
    folder = Folder(opened(name, tmp_path))
    config = load(None, environment=settings).config
    async with open_store(folder, config, MemoryTelemetry(), background=False) as target:
        (row,) = target.store.index.read(lambda tx: tx.scan(Table.LOCKS, b"p", b"q", 10))
        lock = decode(Lock, row[1])
        assert lock.path == f"/{DAV_BUCKET}/{content.NAME}"
        assert (lock.exclusive, lock.deep) == (True, False)
        assert lock.expires_us - lock.created_us == 86_400 * 1_000_000
        assert b"golden" in lock.data


@pytest.mark.parametrize("name", [name for name in LARGE if name != "format-1"])
async def test_it_has_a_body_of_which_a_part_was_given_up(name: str, tmp_path: Path, settings: dict[str, str]) -> None:
    """Whatever else the store is for: this kind of row is in it."""
    folder = Folder(opened(name, tmp_path))
    async with open_store(
        folder, load(None, environment=settings).config, MemoryTelemetry(), background=False
    ) as target:
        rows = target.store.index.read(lambda tx: tx.scan(Table.BODIES, b"", b"\xff" * 17, 1000))
        partial = [body for _key, raw in rows if (body := decode(Body, raw)).kept]
        assert [(body.size, covered(body)) for body in partial] == [(content.S + 100, ((content.S, content.S + 100),))]
        assert not any(map(is_partly_dead, partial))
