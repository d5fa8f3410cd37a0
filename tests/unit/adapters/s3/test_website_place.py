"""Which page a browser wants, by host and path; and where redirections lead."""

import pytest

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.website.place import Place, name_of, place_of
from noisefs.adapters.inbound.s3.website.site import Origin, Redirect


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.COM", "example.com"),
        ("example.com:8080", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("", ""),
        (":", ":"),
    ],
)
def test_a_host_without_what_is_not_its_name(host: str, name: str) -> None:
    assert name_of(host) == name


@pytest.mark.parametrize(
    ("target", "host", "place"),
    [
        ("/", "b.d.example", Place("b", "")),
        ("/a%20b/?x=/y", "b.d.example:80", Place("b", "a b/")),
        ("http://h/k#f", "b.c.d.example", Place("b.c", "k")),
        ("http://h", "b.d.example", Place("b", "")),
        ("/k", "d.example", Place("d.example", "k")),
        ("/k", "bd.example", Place("bd.example", "k")),
        ("/b/k/", "localhost:1", Place("b", "k/", "/b")),
        ("/b", "127.0.0.9", Place("b", "", "/b", bare=True)),
        ("/b/", "[::1]:1", Place("b", "", "/b")),
        ("/b/k", "10.0.0.1", Place("10.0.0.1", "b/k")),
        ("//b/k", "localhost", Place("", "b/k", "/")),
    ],
)
def test_hosts_and_paths_name_pages(target: str, host: str, place: Place) -> None:
    assert place_of(target, host, "d.example") == place


@pytest.mark.parametrize("target", ["*", "/%ff", "ftp://h/k"])
def test_what_is_no_path_is_refused(target: str) -> None:
    with pytest.raises(S3Error):
        place_of(target, "b.d.example", "d.example")


@pytest.mark.parametrize(
    ("redirect", "location"),
    [
        (Redirect(), "/old/k%20%C3%A4"),
        (Redirect(key="x?y=z#w"), "/x?y=z#w"),
        (Redirect(key="/evil.example"), "/%2Fevil.example"),
        (Redirect(key="a\r\nb\\c"), "/a%0D%0Ab%5Cc"),
        (Redirect(prefix=""), "/k%20%C3%A4"),
        (Redirect(prefix="new?k="), "/new?k=k%20%C3%A4"),
        (Redirect(host="h.example"), "http://h.example/old/k%20%C3%A4"),
        (Redirect(protocol="https"), "https://s.example/old/k%20%C3%A4"),
        (Redirect(protocol="http", key="x"), "/x"),
        (Redirect(protocol="https", host="h.example:1", key="x"), "https://h.example:1/x"),
    ],
)
def test_where_a_redirection_leads(redirect: Redirect, location: str) -> None:
    assert redirect.location("old/k ä", "old/", Origin("http", "s.example:8080", "")) == location
