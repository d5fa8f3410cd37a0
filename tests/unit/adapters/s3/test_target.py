"""Request targets: what they name, as it was sent."""

import pytest

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.subresources import subresource_of
from noisefs.adapters.inbound.s3.target import target_of


@pytest.mark.parametrize(
    ("raw", "bucket", "key"),
    [
        ("/", "", ""),
        ("/b", "b", ""),
        ("/b/", "b", ""),
        ("/b/k", "b", "k"),
        ("/b/k/", "b", "k/"),
        ("/b//k", "b", "/k"),
        ("/b/a//b", "b", "a//b"),
        ("/b/./x", "b", "./x"),
        ("/b/../x", "b", "../x"),
        ("/b/a%2Fb", "b", "a/b"),
        ("/b/a+b%20c", "b", "a+b c"),
        ("/b/%C3%BC", "b", "ü"),
        ("/b/100%", "b", "100%"),
        ("/b/a%3Fb?acl", "b", "a?b"),
        ("/b/%01%0A", "b", "\x01\n"),
        ("http://host:9000/b/k?x=1", "b", "k"),
        ("http://host", "", ""),
    ],
)
def test_a_target_names_bucket_and_key(raw: str, bucket: str, key: str) -> None:
    found = target_of(raw, "host", None)
    assert (found.bucket, found.key) == (bucket, key)


@pytest.mark.parametrize("raw", ["/b/%FF", "/b/%ED%A0%80", "//k", "*", "b/k", "ftp://h/b"])
def test_a_target_that_cannot_be_read_is_refused(raw: str) -> None:
    with pytest.raises(S3Error) as refused:
        target_of(raw, "host", None)
    assert refused.value.code == "InvalidURI"


@pytest.mark.parametrize(
    ("host", "raw", "bucket", "key"),
    [
        ("bkt.s3.example.org", "/a/b", "bkt", "a/b"),
        ("bkt.s3.example.org:9000", "/", "bkt", ""),
        ("my.dotted.bkt.s3.example.org", "//a", "my.dotted.bkt", "/a"),
        ("BKT.S3.Example.ORG", "/a", "bkt", "a"),
        ("s3.example.org", "/bkt/a", "bkt", "a"),
        ("127.0.0.1:9000", "/bkt/a", "bkt", "a"),
        ("[::1]:9000", "/bkt/a", "bkt", "a"),
        ("[::1]", "/bkt/a", "bkt", "a"),
        ("notas3.example.org", "/bkt/a", "bkt", "a"),
        ("", "/bkt/a", "bkt", "a"),
    ],
)
def test_a_virtual_host_names_the_bucket(host: str, raw: str, bucket: str, key: str) -> None:
    found = target_of(raw, host, "s3.example.org")
    assert (found.bucket, found.key) == (bucket, key)


def test_parameters_are_decoded_and_the_first_of_a_name_counts() -> None:
    found = target_of("/b?prefix=a+b%2Fc&prefix=x&acl&marker=&%66oo=%C3%BC&=nameless", "h", None)
    assert found.params == {"prefix": "a b/c", "acl": "", "marker": "", "foo": "ü"}
    assert found.flags == {"acl"}
    assert found.raw_query == "prefix=a+b%2Fc&prefix=x&acl&marker=&%66oo=%C3%BC&=nameless"


@pytest.mark.parametrize(
    ("query", "sub"),
    [
        ("prefix=a&max-keys=3", ""),
        ("uploads", "uploads"),
        ("uploads=", "uploads"),
        ("x-id=GetObject", ""),
        ("prefix&marker", ""),
        ("uploadId=1&partNumber=2", "uploadId"),
        ("anything=else", ""),
    ],
)
def test_the_sub_resource_is_found_among_parameters(query: str, sub: str) -> None:
    assert subresource_of(target_of(f"/b/k?{query}", "h", None)) == sub


@pytest.mark.parametrize(("query", "code"), [("acl&policy", "InvalidArgument"), ("frobnicate", "NotImplemented")])
def test_sub_resources_that_make_no_sense_are_refused(query: str, code: str) -> None:
    with pytest.raises(S3Error) as refused:
        subresource_of(target_of(f"/b?{query}", "h", None))
    assert refused.value.code == code
