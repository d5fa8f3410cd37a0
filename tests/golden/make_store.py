"""Writes golden stores: ``python -m tests.golden.make_store format-3 chain`` for a format that is new.

A store of a format that was released is never written again: what it holds, users have on their disks.
It takes a minute, because the packer has to have its turn.
"""

import hashlib
import json
import shutil
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.golden import content
from tests.golden.content import (
    BUCKET,
    DAV_BUCKET,
    KEPT_BUCKET,
    LOCKED_BUCKET,
    SEALED_BUCKET,
    SECOND_BUCKET,
    S,
    pattern,
    s3_client,
)
from tests.support.server import RunningServer, noisefs

HERE = Path(__file__).parent
KEPT = ("VERSION", "head", "index/index.db", "packs", "snapshots", "log")
"""What makes up a store; the rest are locks, sockets and held back space."""
LIMITED = (("bucket", "quota", BUCKET), ("user", "quota", "second"))
"""Commands that set limits, and tell of them."""
TOLD = (*LIMITED, ("user", "policy", "get", "second", "careful"), ("sse-key", "list"))
"""Commands that tell of what is in no bucket."""


def main(name: str, *strategies: str) -> None:
    """Write the store of the default strategy, and a small one of each other strategy named."""
    expected: dict[str, Any] = {}  # Any: JSON
    for strategy in strategies:
        folder = name if strategy == "chain" else f"{name}-{strategy}"
        if (HERE / folder).exists():
            sys.exit(f"{folder} is there: the stores of a released format are never written again")
        with tempfile.TemporaryDirectory() as place:
            expected[folder] = _made(Path(place), strategy)
            _keep(Path(place) / "data", HERE / folder)
    (HERE / "expected.json").write_text(json.dumps(_expected() | expected, indent=1, ensure_ascii=True) + "\n")


def _expected() -> dict[str, Any]:  # Any: JSON
    path = HERE / "expected.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _made(place: Path, strategy: str) -> dict[str, Any]:  # Any: JSON
    key_file, data = place / "root.key", place / "data"
    key_file.write_text(content.ROOT_KEY_LINE)
    key_file.chmod(0o600)
    settings = {
        **content.SETTINGS,
        "NOISEFS_ROOT_KEY__FILE": str(key_file),
        "NOISEFS_STORE__STRATEGY": strategy,
        "NOISEFS_SNAPSHOTS__EVERY_S": "86400",
    }
    with RunningServer(data, environment=settings) as server:
        make = _fill if strategy == "chain" else _fill_little
        return make(server, data)


def _run(data: Path, *command: str) -> str:
    done = noisefs(*command, "--data", str(data))
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def _asked(data: Path, *command: str) -> dict[str, Any]:  # Any: JSON
    found: dict[str, Any] = json.loads(_run(data, *command, "--json"))
    return found


def _fill(server: RunningServer, data: Path) -> dict[str, Any]:  # Any: JSON
    for user, key, secret in (
        ("second", content.SECOND_KEY, content.SECOND_SECRET),
        ("disabled", content.DISABLED_KEY, content.DISABLED_SECRET),
    ):
        _run(data, "user", "add", user)
        _run(data, "key", "add", user, "--access-key", key, "--secret-key", secret)
    _run(data, "user", "disable", "disabled")
    client = s3_client(server.s3)
    other = s3_client(server.s3, content.SECOND_KEY, content.SECOND_SECRET)
    client.create_bucket(Bucket=BUCKET)
    other.create_bucket(Bucket=SECOND_BUCKET)

    several = pattern("several segments", 2 * S + 1777)
    client.put_object(Bucket=BUCKET, Key="empty", Body=b"")
    client.put_object(Bucket=BUCKET, Key="tiny", Body=pattern("tiny", 1000))
    client.put_object(
        Bucket=BUCKET,
        Key="several segments",
        Body=several,
        ContentType="application/x-golden",
        CacheControl="max-age=60",
        ContentLanguage="de",
        Metadata={"plain": "value", "umlaut": "=?UTF-8?B?w7xiZXI=?="},
        ChecksumAlgorithm="SHA256",
    )
    client.put_object(
        Bucket=BUCKET, Key="slice", Body=pattern("slice", 5000), Metadata={"a": "b"}, ChecksumAlgorithm="CRC64NVME"
    )
    client.put_object(Bucket=BUCKET, Key="prefix/ä/larger slice", Body=pattern("larger slice", 70_000))
    client.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "several segments"})

    # A range outlives its source: the body has cells that nothing covers.
    client.put_object(Bucket=BUCKET, Key="gone", Body=pattern("gone", S + 100))
    _multipart(client, "range of gone", [{"CopySource": f"{BUCKET}/gone", "CopySourceRange": f"bytes={S}-{S + 99}"}])
    client.delete_object(Bucket=BUCKET, Key="gone")
    parts = [{"Body": pattern("part 1", 2000)}, {"Body": pattern("part 2", 30)}]
    copied = {"CopySource": f"{BUCKET}/several segments", "CopySourceRange": f"bytes={S - 10}-{S + 9}"}
    _multipart(client, "multipart", [*parts, copied])

    upload = client.create_multipart_upload(Bucket=BUCKET, Key=content.OPEN_KEY, Metadata={"open": "yes"})["UploadId"]
    first = client.upload_part(
        Bucket=BUCKET, Key=content.OPEN_KEY, UploadId=upload, PartNumber=1, Body=pattern("open 1", 3000)
    )
    other.put_object(Bucket=SECOND_BUCKET, Key="theirs", Body=pattern("theirs", 1500))
    _share(server)
    _keep_versions(client)
    _lock(client)
    _seal_twice(client, data)
    _configure(client, data)
    _restrict(data)

    # Slices of 1 KiB and less stay in the index; all others shall share one cell.
    sizes = [1777, 5000, 70_000, 2000, 3000, 1500, 1200, 1100, 1300, 1400, 1600]
    client.put_object(Bucket=BUCKET, Key="filling", Body=pattern("filling", content.filling(sizes)))
    _wait_for_packer(server)
    _run(data, "snapshot", "create")
    client.put_object(Bucket=BUCKET, Key="later, inline", Body=pattern("later, inline", 4000))
    client.put_object(Bucket=BUCKET, Key="deleted later", Body=b"x")
    client.delete_object(Bucket=BUCKET, Key="deleted later")
    return {
        "strategy": "chain",
        "objects": {
            bucket: {key: content.described(who, bucket, key) for key in _keys(who, bucket)}
            for who, bucket in (
                *((client, bucket) for bucket in (BUCKET, DAV_BUCKET, KEPT_BUCKET, LOCKED_BUCKET, SEALED_BUCKET)),
                (other, SECOND_BUCKET),
            )
        },
        "versions": {bucket: content.versions_of(client, bucket) for bucket in (KEPT_BUCKET, LOCKED_BUCKET)},
        "configured": {bucket: content.configured(client, bucket) for bucket in (BUCKET, KEPT_BUCKET, LOCKED_BUCKET)},
        "asked": {" ".join(told): _asked(data, *told) for told in TOLD},
        "upload": {"id": upload, "part": first["ETag"], "size": 3000},
        "several_segments_sha256": hashlib.sha256(several).hexdigest(),
    }


def _keep_versions(client: Any) -> None:  # Any: boto3's client
    """The null version, two above it, one of them with tags, and a marker over another key."""
    client.create_bucket(Bucket=KEPT_BUCKET)
    client.put_object(Bucket=KEPT_BUCKET, Key="versions", Body=pattern("null version", 1100))
    client.put_bucket_versioning(Bucket=KEPT_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=KEPT_BUCKET, Key="versions", Body=pattern("second version", 1300), Tagging="a=1&b=%C3%BC")
    client.put_object(Bucket=KEPT_BUCKET, Key="versions", Body=b"third version")
    client.put_object(Bucket=KEPT_BUCKET, Key="deleted", Body=pattern("under a marker", 1400))
    client.delete_object(Bucket=KEPT_BUCKET, Key="deleted")


def _lock(client: Any) -> None:  # Any: as above
    """A bucket with a rule, a version with a retention of its own, and one under a legal hold."""
    client.create_bucket(Bucket=LOCKED_BUCKET, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Years": 90}}
    client.put_object_lock_configuration(
        Bucket=LOCKED_BUCKET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    client.put_object(Bucket=LOCKED_BUCKET, Key="by rule", Body=pattern("locked", 1600), ChecksumAlgorithm="SHA256")
    client.put_object(
        Bucket=LOCKED_BUCKET,
        Key="compliance, and held",
        Body=b"held",
        ChecksumAlgorithm="SHA256",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=datetime.fromisoformat(content.UNTIL),
        ObjectLockLegalHoldStatus="ON",
    )


def _seal_twice(client: Any, data: Path) -> None:  # Any: as above
    """Objects under a named key and under a customer's, in one go and in parts. All stay in the index for ever."""
    _run(data, "sse-key", "add", content.NAMED_KEY)
    client.create_bucket(Bucket=SEALED_BUCKET)
    named = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": content.NAMED_KEY}
    for key, fields in (("customer's", content.CUSTOMER), ("named", named)):
        client.put_object(Bucket=SEALED_BUCKET, Key=key, Body=pattern(key, 900), **fields)
    upload = client.create_multipart_upload(Bucket=SEALED_BUCKET, Key="customer's parts", **content.CUSTOMER)
    place = {"Bucket": SEALED_BUCKET, "Key": "customer's parts", "UploadId": upload["UploadId"]}
    part = client.upload_part(**place, PartNumber=1, Body=pattern("sealed part", 800), **content.CUSTOMER)
    client.complete_multipart_upload(
        **place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **content.CUSTOMER
    )


def _restrict(data: Path) -> None:
    """A policy of a user that forbids what nobody does here."""
    statement = {"Effect": "Deny", "Action": "s3:DeleteBucket", "Resource": "arn:aws:s3:::nowhere"}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"Version": "2012-10-17", "Statement": [statement]}, file)
        file.flush()
        _run(data, "user", "policy", "put", "second", "careful", file.name)


def _configure(client: Any, data: Path) -> None:  # Any: as above
    """One of everything that a bucket may be told; nothing of it changes what is read or removed."""
    everybody = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "pictures",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{BUCKET}/public/*",
            }
        ],
    }
    rules = [
        {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 36_500}},
        {
            "ID": "older versions",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "b"}]}},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 36_500},
        },
    ]
    cors = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.org"], "MaxAgeSeconds": 60}]
    client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(everybody))
    client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": rules})
    client.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": cors})
    client.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "colour", "Value": "gr\u00fcn"}]})
    for limited in LIMITED:
        _run(data, *limited, "--bytes", "7GiB", "--objects", "777")


def _multipart(client: Any, key: str, parts: list[dict[str, Any]]) -> None:  # Any: boto3's client, its arguments
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key, ChecksumAlgorithm="SHA256", Metadata={"of": key})
    done = []
    for number, part in enumerate(parts, 1):
        place = {"Bucket": BUCKET, "Key": key, "UploadId": upload["UploadId"], "PartNumber": number}
        if "Body" in part:
            found = client.upload_part(**place, **part, ChecksumAlgorithm="SHA256")
        else:
            found = client.upload_part_copy(**place, **part)["CopyPartResult"]
        done.append({"PartNumber": number, "ETag": found["ETag"], "ChecksumSHA256": found["ChecksumSHA256"]})
    client.complete_multipart_upload(
        Bucket=BUCKET, Key=key, UploadId=upload["UploadId"], MultipartUpload={"Parts": done}
    )


def _share(server: RunningServer) -> None:
    """Through WebDAV: a collection, a file with a dead property and a lock."""
    path = f"/{DAV_BUCKET}/{content.NAME}"
    name = content.PROPERTY.rpartition("}")[2]
    patch = (
        f'<propertyupdate xmlns="DAV:"><set><prop><g:{name} xmlns:g="urn:golden">{content.VALUE}</g:{name}>'
        "</prop></set></propertyupdate>"
    )
    lock = (
        '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype>'
        "<owner>golden</owner></lockinfo>"
    )
    steps = [
        ("MKCOL", f"/{DAV_BUCKET}", None, 201),
        ("MKCOL", path.rpartition("/")[0], None, 201),
        ("PUT", path, pattern("dav", 1200), 201),
        ("PROPPATCH", path, patch.encode(), 207),
        ("LOCK", path, lock.encode(), 200),
    ]
    for method, where, body, status in steps:
        headers = {"Timeout": "Infinite", "Depth": "0"} if method == "LOCK" else {}
        found, answer = content.dav(server.webdav, method, where, body, headers)
        if found != status:
            sys.exit(f"{method} {where}: {found} {answer.decode()}")


def _wait_for_packer(server: RunningServer) -> None:
    deadline = time.monotonic() + 60
    while server.metrics()["noisefs_inline_backlog_bytes"] > 0:
        if time.monotonic() > deadline:
            sys.exit("the packer left slices in the index: the filling does not fit")
        time.sleep(0.5)


def _keys(client: Any, bucket: str) -> list[str]:  # Any: boto3's client
    return [row["Key"] for row in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def _fill_little(server: RunningServer, data: Path) -> dict[str, Any]:  # Any: JSON
    client = s3_client(server.s3)
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key="one cell and a slice", Body=pattern("one cell and a slice", S + 2000))
    _run(data, "snapshot", "create")
    strategy = noisefs("audit", "tuples", "--json", "--data", str(data))
    return {
        "strategy": json.loads(strategy.stdout)["strategy"],
        "objects": {BUCKET: {key: content.described(client, BUCKET, key) for key in _keys(client, BUCKET)}},
    }


def _keep(data: Path, folder: Path) -> None:
    for name in KEPT:
        source, goal = data / name, folder / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, goal)
        else:
            shutil.copyfile(source, goal)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    sys.stdout.write(f"{folder.name}: {size} bytes\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
