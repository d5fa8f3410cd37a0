"""Web site configurations of buckets, and where objects say that they have moved to."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.s3_server import S3Server

PAGES = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "oops/error.html"}}
RULES = [
    {
        "Condition": {"KeyPrefixEquals": "old/", "HttpErrorCodeReturnedEquals": "404"},
        "Redirect": {
            "Protocol": "https",
            "HostName": "elsewhere.example",
            "ReplaceKeyPrefixWith": "new/",
            "HttpRedirectCode": "307",
        },
    },
    {"Condition": {"KeyPrefixEquals": "gone"}, "Redirect": {"ReplaceKeyWith": "why?it=is&so=1"}},
    {"Redirect": {"HostName": "last.example"}},
]


def code(call: Any, **named: Any) -> str:
    """The error code of a call that must fail."""
    with pytest.raises(ClientError) as refused:
        call(**named)
    return str(refused.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    "configuration",
    [
        PAGES,
        {"IndexDocument": {"Suffix": "i"}},
        {**PAGES, "RoutingRules": RULES},
        {"RedirectAllRequestsTo": {"HostName": "example.com"}},
        {"RedirectAllRequestsTo": {"HostName": "example.com", "Protocol": "https"}},
    ],
)
def test_a_configuration_reads_back_as_it_was_put(s3: Any, bucket: str, configuration: dict[str, Any]) -> None:
    assert code(s3.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=configuration)
    answer = s3.get_bucket_website(Bucket=bucket)
    answer.pop("ResponseMetadata")
    assert answer == configuration
    s3.delete_bucket_website(Bucket=bucket)
    s3.delete_bucket_website(Bucket=bucket)
    assert code(s3.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"


INDEX = {"IndexDocument": {"Suffix": "i"}}


def rule(redirect: dict[str, str], condition: dict[str, str] | None = None) -> dict[str, Any]:
    """A configuration with one rule."""
    return {
        **INDEX,
        "RoutingRules": [{"Redirect": redirect, **({} if condition is None else {"Condition": condition})}],
    }


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({}, "InvalidArgument"),
        ({"ErrorDocument": {"Key": "e"}}, "InvalidArgument"),
        ({"IndexDocument": {"Suffix": ""}}, "InvalidArgument"),
        ({"IndexDocument": {"Suffix": "a/b"}}, "InvalidArgument"),
        ({**INDEX, "ErrorDocument": {"Key": ""}}, "InvalidArgument"),
        ({**INDEX, "RedirectAllRequestsTo": {"HostName": "h"}}, "InvalidArgument"),
        ({"RedirectAllRequestsTo": {"HostName": "h", "Protocol": "ftp"}}, "InvalidRequest"),
        ({"RedirectAllRequestsTo": {"HostName": "a\r\nb"}}, "InvalidArgument"),
        ({"RedirectAllRequestsTo": {"HostName": ""}}, "InvalidArgument"),
        (rule({}), "MalformedXML"),
        (rule({"HostName": "h"}, {}), "InvalidRequest"),
        (rule({"HostName": "h"}, {"HttpErrorCodeReturnedEquals": "200"}), "InvalidRequest"),
        (rule({"HttpRedirectCode": "300"}), "InvalidRequest"),
        (rule({"HttpRedirectCode": "404"}), "InvalidRequest"),
        (rule({"Protocol": "gopher"}), "InvalidRequest"),
        (rule({"ReplaceKeyWith": "a", "ReplaceKeyPrefixWith": "b"}), "InvalidRequest"),
        ({**INDEX, "RoutingRules": [{"Redirect": {"HostName": "h"}}] * 51}, "InvalidRequest"),
    ],
)
def test_what_makes_no_site_is_refused(
    server: S3Server, s3: Any, bucket: str, configuration: dict[str, Any], expected: str
) -> None:
    careless = server.client(parameter_validation=False)
    assert code(careless.put_bucket_website, Bucket=bucket, WebsiteConfiguration=configuration) == expected
    assert code(s3.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"


def test_an_object_tells_where_it_has_moved_to(s3: Any, bucket: str) -> None:
    for key, location in (("a", "/b"), ("c", "https://example.com/d?e=f"), ("g", "http://example.com")):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x", WebsiteRedirectLocation=location)
        assert s3.get_object(Bucket=bucket, Key=key)["WebsiteRedirectLocation"] == location
        assert s3.head_object(Bucket=bucket, Key=key)["WebsiteRedirectLocation"] == location
    for location in ("b", "ftp://h/", "/" + "x" * 2048):
        refused = code(s3.put_object, Bucket=bucket, Key="z", Body=b"x", WebsiteRedirectLocation=location)
        assert refused == "InvalidRedirectLocation"


def test_a_copy_has_moved_only_where_it_says_so(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket, Key="a", Body=b"x", WebsiteRedirectLocation="/b", Metadata={"m": "1"}, CacheControl="no-store"
    )
    source = {"Bucket": bucket, "Key": "a"}
    s3.copy_object(Bucket=bucket, Key="plain", CopySource=source)
    plain = s3.head_object(Bucket=bucket, Key="plain")
    assert "WebsiteRedirectLocation" not in plain
    assert (plain["Metadata"], plain["CacheControl"]) == ({"m": "1"}, "no-store")
    s3.copy_object(Bucket=bucket, Key="moved", CopySource=source, WebsiteRedirectLocation="/c")
    moved = s3.head_object(Bucket=bucket, Key="moved")
    assert (moved["WebsiteRedirectLocation"], moved["Metadata"]) == ("/c", {"m": "1"})
    s3.copy_object(Bucket=bucket, Key="a", CopySource=source, WebsiteRedirectLocation="/d")
    assert s3.head_object(Bucket=bucket, Key="a")["WebsiteRedirectLocation"] == "/d"


def test_uploads_keep_where_they_have_moved_to(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m", WebsiteRedirectLocation="/x")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload=parts)
    assert s3.head_object(Bucket=bucket, Key="m")["WebsiteRedirectLocation"] == "/x"
