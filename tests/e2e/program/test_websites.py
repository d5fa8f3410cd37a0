"""Web sites of buckets, served by the program on a listener of their own."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer

pytestmark = pytest.mark.e2e


def s3_of(server: RunningServer) -> Any:
    """A client of the first user. Any: boto3 makes its clients at run time."""
    return boto3.client(
        "s3",
        endpoint_url=server.s3,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_site_is_served_where_the_ready_line_says(tmp_path: Path, workers: str) -> None:
    """The banner tells it too, and each request is logged."""
    flags = ("--set", "website.listen=127.0.0.1:0", "--workers", workers)
    with RunningServer(tmp_path / "data", *flags) as server:
        s3 = s3_of(server)
        s3.create_bucket(Bucket="site")
        s3.put_object(Bucket="site", Key="index.html", Body=b"home")
        s3.put_bucket_website(Bucket="site", WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
        statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::site/*"}
        s3.put_bucket_policy(Bucket="site", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        s3.close()
        url = str(server.ready["website"])
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/site/") as answer:
            assert answer.read() == b"home"
    assert f"web sites   {url}" in server.stderr
    lines = [json.loads(line) for line in server.stderr.splitlines() if line.startswith("{")]
    assert any(line.get("protocol") == "website" and line["path"] == "/site/" for line in lines)


def test_there_are_none_unless_they_are_asked_for(tmp_path: Path) -> None:
    """No listener, no word of it."""
    with RunningServer(tmp_path / "data") as server:
        assert "website" not in server.ready
    assert "web sites" not in server.stderr
