"""Signatures, held against botocore's."""

from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from bench.sigv4 import EMPTY_SHA256, UNSIGNED, Signer, encode_path, encode_query


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("payload", [EMPTY_SHA256, UNSIGNED])
@pytest.mark.parametrize(
    ("path", "query"),
    [("/bucket/key", {}), ("/bucket/a b/ü+%", {}), ("/bucket", {"list-type": "2", "prefix": "a/b c", "marker": ""})],
)
def test_signatures_are_those_of_botocore(
    monkeypatch: pytest.MonkeyPatch, method: str, payload: str, path: str, query: dict[str, str]
) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment.replace(tzinfo=None), raising=True)
    encoded, listed = encode_path(path), encode_query(query)
    ours = Signer("AK", "SK", "host:1", when=moment).sign(
        method, encoded, listed, headers={"x-amz-copy-source": "/a/b"}, payload_sha256=payload
    )
    url = f"http://host:1{encoded}" + (f"?{listed}" if listed else "")
    theirs = AWSRequest(
        method=method,
        url=url,
        headers={"host": "host:1", "x-amz-copy-source": "/a/b", "X-Amz-Content-SHA256": payload},
    )
    theirs.context["client_config"] = Config(s3={"payload_signing_enabled": payload != UNSIGNED})
    auth = S3SigV4Auth(Credentials("AK", "SK"), "s3", "us-east-1")
    auth.add_auth(theirs)
    assert ours["authorization"] == theirs.headers["Authorization"]
