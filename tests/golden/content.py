"""What the golden stores hold, and how a client makes it: the same for whoever writes one and whoever checks it."""

import base64
import contextlib
import hashlib
import http.client
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.sealing.keyring import format_root_key
from noisefs.core.domain.sealing.shared_cell import ENTRY_BYTES_MAX, FIXED_BYTES
from tests.support.server import ACCESS_KEY, SECRET_KEY

ROOT_KEY_LINE = format_root_key(hashlib.sha256(b"root key of the golden stores: a test key, known to all").digest())
"""The root key of every golden store."""

SECOND_KEY, SECOND_SECRET = "GOLDENSECONDUSER0001", "second/secret+00000000000000000000000001"
DISABLED_KEY, DISABLED_SECRET = "GOLDENDISABLED000001", "disabled/secret+000000000000000000000001"

SETTINGS = {
    "NOISEFS_S3__MIN_PART_BYTES": "1",
    "NOISEFS_S3__UPLOAD_EXPIRY_S": str(200 * 365 * 86_400),
    "NOISEFS_STORE__RESERVE_BYTES": "0",
}
"""Parts may be small, and an upload stays open however old the store is."""

S = Geometry().segment_bytes
BUCKET, SECOND_BUCKET, DAV_BUCKET = "golden", "second", "shared"
KEPT_BUCKET, LOCKED_BUCKET, SEALED_BUCKET = "kept", "locked", "sealed"
CUSTOMER: dict[str, Any] = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"customer key of the golden store"}
"""A key that comes with requests for objects whose names begin with ``customer``."""
NAMED_KEY = "payroll"
"""With older versions; with locked ones."""
UNTIL = "2226-01-01T00:00:00+00:00"
"""Locks outlive whoever tests them."""
QUESTIONS = (
    "get_bucket_versioning",
    "get_bucket_policy",
    "get_bucket_cors",
    "get_bucket_lifecycle_configuration",
    "get_bucket_tagging",
    "get_object_lock_configuration",
)
"""What a bucket says of itself."""
NAME, PROPERTY, VALUE = "Ablage/Übersicht – 一覧.txt", "{urn:golden}colour", "grün 緑"
OPEN_KEY = "open/upload"


def pattern(label: str, size: int) -> bytes:
    """The bytes of an object: a stream of SHA-256 over a counter, so that any language can make them."""
    blocks = (hashlib.sha256(f"{label}/{number}".encode()).digest() for number in range(-(-size // 32)))
    return b"".join(blocks)[:size]


def filling(sizes: list[int]) -> int:
    """Bytes of a slice that, behind slices of these sizes, fills a shared cell as the packer wants it."""
    room = S + 16 - FIXED_BYTES - ENTRY_BYTES_MAX
    return room - sum(size + 16 + 32 for size in sizes) - 16 - 200


def s3_client(endpoint: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Any:  # Any: boto3's own
    """A client of one user."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={}),
    )


def configured(client: Any, bucket: str, questions: Iterable[str] = QUESTIONS) -> dict[str, Any]:  # Any: as above, JSON
    """What a bucket answers to each question to which it has an answer."""
    found: dict[str, Any] = {}  # Any: JSON
    for question in questions:
        with contextlib.suppress(ClientError):
            answer = getattr(client, question)(Bucket=bucket)
            del answer["ResponseMetadata"]
            found[question] = json.loads(json.dumps(answer, default=str))
    return found


def versions_of(client: Any, bucket: str) -> list[dict[str, Any]]:  # Any: as above
    """Every version and delete marker, with what keeps it and its tags."""
    listed = client.list_object_versions(Bucket=bucket)
    rows = []
    for row in listed.get("Versions", []):
        place = {"Bucket": bucket, "Key": row["Key"], "VersionId": row["VersionId"]}
        body = client.get_object(**place)["Body"].read()
        tags = client.get_object_tagging(**place)["TagSet"]
        head = client.head_object(**place)
        keeps = [str(head.get(f"ObjectLock{name}")) for name in ("Mode", "RetainUntilDate", "LegalHoldStatus")]
        rows.append(_version_of(row) | {"sha256": hashlib.sha256(body).hexdigest(), "tags": tags, "lock": keeps})
    return rows + [_version_of(row) | {"marker": True} for row in listed.get("DeleteMarkers", [])]


def _version_of(row: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    return {"key": row["Key"], "id": row["VersionId"], "latest": row["IsLatest"], "at": str(row["LastModified"])}


def dav(
    url: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """One WebDAV request of the first user."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    basic = base64.b64encode(f"{ACCESS_KEY}:{SECRET_KEY}".encode()).decode()
    connection.request(method, quote(path), body, {"Authorization": f"Basic {basic}", **(headers or {})})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def described(client: Any, bucket: str, key: str) -> dict[str, Any]:  # Any: boto3's client, and JSON
    """What a client sees of an object."""
    customer = CUSTOMER if key.startswith("customer") else {}
    found = client.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **customer)
    body = found["Body"].read()
    of_all = ("ETag", "ContentType", "CacheControl", "ContentLanguage", "ChecksumType", "LastModified", "Metadata")
    fields = (*of_all, "ServerSideEncryption", "SSEKMSKeyId")
    checksums = {name: value for name, value in sorted(found.items()) if name.startswith("Checksum")}
    return {
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        **{name: str(found[name]) if name == "LastModified" else found[name] for name in fields if name in found},
        **checksums,
    }
