"""Legal and illegal bucket names and keys."""

import pytest

from noisefs.core.domain.buckets.naming import check_bucket_name, key_bytes, text_bytes, tree_prefix
from noisefs.core.errors import InvalidArgument, InvalidBucketName, InvalidKey, KeyTooLong


@pytest.mark.parametrize("name", ["abc", "a1b", "1ab", "my.bucket", "my-bucket", "a" * 63, "a.b.c", "1.2.3", "xn-x"])
def test_names_that_s3_takes(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "ab", "a" * 64, "Abc", "a_b", "-ab", "ab-", ".ab", "ab.", "a..b", "a.-b", "a-.b", "192.168.5.4", "a b"),
        *("äbc", "abc\n", "a/b", "xn--abc", "sthree-abc", "amzn-s3-demo-x", "abc-s3alias", "abc--ol-s3", "abc.mrap"),
        *("abc--x-s3", "abc--table-s3", "٣٤٥"),
    ],
)
def test_names_that_s3_refuses(name: str) -> None:
    with pytest.raises(InvalidBucketName):
        check_bucket_name(name)


@pytest.mark.parametrize(
    "key", ["a", "a//b", "./x", "../x", "/x", "/", "\x01\x1f\x7f", "ä", "😀", "a b+c%2F", "k" * 1024]
)
def test_everything_but_nul_is_a_key(key: str) -> None:
    assert key_bytes(key) == key.encode()


@pytest.mark.parametrize("key", ["", "a\0b", "\0", "\ud800", "a\udfffb"])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(InvalidKey):
        key_bytes(key)


@pytest.mark.parametrize("key", ["k" * 1025, "ä" * 513])
def test_the_limit_is_in_bytes(key: str) -> None:
    with pytest.raises(KeyTooLong):
        key_bytes(key)


def test_listing_texts_may_be_anything_but_surrogates() -> None:
    assert text_bytes("prefix", "a\0b") == b"a\0b"
    assert text_bytes("prefix", "k" * 5000) == b"k" * 5000
    with pytest.raises(InvalidKey):
        text_bytes("prefix", "\ud800")


def test_a_collection_ends_in_a_slash() -> None:
    assert tree_prefix("") == b""
    assert tree_prefix("a/b/") == b"a/b/"
    with pytest.raises(InvalidArgument):
        tree_prefix("a/b")
