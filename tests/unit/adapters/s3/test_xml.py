"""XML in both directions."""

import asyncio

import pytest
from lxml import etree

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.xml.listing import contents, encoder
from noisefs.adapters.inbound.s3.xml.reading import name_of, parse, text_of, texts_of
from noisefs.adapters.inbound.s3.xml.text import iso_time, url_text, xml_text
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Listed
from noisefs.core.domain.requests import Principal

ALICE = Principal(UserId("a" * 32), "alice", admin=False)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain/ü", "plain/ü"),
        ("a&b<c>\"d'", "a&amp;b&lt;c&gt;&quot;d'"),
        ("a\rb\nc\td", "a&#13;b\nc\td"),
        ("\x00\x01\x1f", "\ufffd\ufffd\ufffd"),
        ("\ud800\ufffe\uffff", "\ufffd\ufffd\ufffd"),
        ("\x7f\x85", "&#127;&#133;"),
    ],
)
def test_text_is_escaped_so_that_any_parser_reads_it(text: str, escaped: str) -> None:
    assert xml_text(text) == escaped
    etree.fromstring(f"<a>{escaped}</a>".encode())


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("a/b-c_d.e~f", "a/b-c_d.e~f"),
        ("a b+c", "a%20b%2Bc"),
        ("ü\n", "%C3%BC%0A"),
        ("test_file(3).png", "test_file%283%29.png"),
    ],
)
def test_urls_are_encoded_as_s3_does(text: str, encoded: str) -> None:
    assert url_text(text) == encoded


def test_times_are_whole_seconds() -> None:
    assert iso_time(1_000_000_000_999_999) == "2001-09-09T01:46:40.000Z"


@pytest.mark.parametrize("kind", ["", "url"])
def test_a_page_holds_every_key_in_order(kind: str) -> None:
    keys = ["a", "a b", "a&b", "ü", "\r", "x" * 1024]
    entries = [(key, Listed(3, "e" * 32, 0, ALICE.user_id)) for key in keys]
    text = asyncio.run(contents(entries, encoder(kind), ALICE, owners=True))
    root = etree.fromstring(f"<r>{text}</r>".encode())
    assert [child.findtext("Key") for child in root] == [url_text(key) if kind else key for key in keys]
    assert root[0].findtext("ETag") == f'"{"e" * 32}"'
    assert root[0].findtext("Owner/DisplayName") == "alice"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete>",
        b"<Other/>",
        b"no xml",
        b"<Delete>\xff</Delete>",
        b"<Delete>&x;</Delete>",
        b"<Delete>&#1;</Delete>",
        b"<!DOCTYPE Delete><Delete/>",
        b'<!DOCTYPE Delete [<!ENTITY x "y">]><Delete>&x;</Delete>',
        b'<!DOCTYPE Delete SYSTEM "http://127.0.0.1:1/x.dtd"><Delete/>',
        b"<Delete/><Delete/>",
        b"\x00<Delete/>",
    ],
)
def test_what_is_not_the_expected_document_is_malformed(body: bytes) -> None:
    with pytest.raises(S3Error) as refused:
        parse(body, "Delete")
    assert refused.value.code == "MalformedXML"


def test_a_bomb_is_refused_without_being_lit() -> None:
    levels = "".join(f'<!ENTITY e{n} "&e{n - 1};&e{n - 1};&e{n - 1};&e{n - 1};">' for n in range(1, 20))
    bomb = f'<!DOCTYPE Delete [<!ENTITY e0 "ha">{levels}]><Delete>&e19;</Delete>'
    with pytest.raises(S3Error):
        parse(bomb.encode(), "Delete")


def test_deep_documents_are_refused_or_read_but_never_overflow() -> None:
    with pytest.raises(S3Error):
        parse(b"<Delete>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</Delete>", "Delete")


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ' xmlns="urn:other"'])
def test_any_namespace_will_do(namespace: str) -> None:
    root = parse(f"<Delete{namespace}><!-- c --><Object><Key>k</Key></Object></Delete>".encode(), "Delete")
    assert [name_of(child) for child in root] == ["Object"]
    assert texts_of(root[0]) == {"Key": "k"}
    assert text_of(root[0], "Key") == "k"
    assert text_of(root[0], "VersionId") is None


@pytest.mark.parametrize("inner", ["<Key>a</Key><Key>b</Key>", "<Key><b/></Key>"])
def test_what_comes_twice_or_is_no_text_is_malformed(inner: str) -> None:
    root = parse(f"<Delete>{inner}</Delete>".encode(), "Delete")
    with pytest.raises(S3Error):
        text_of(root, "Key")
    with pytest.raises(S3Error):
        texts_of(root)
