"""Paths: decoding, encoding, and what has no URL."""

import pytest

from noisefs.adapters.inbound.webdav.places.place import ROOT, Place, host_of, is_expressible, place_of, plain_host
from noisefs.core.errors import InvalidArgument


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/", ROOT),
        ("//", ROOT),
        ("/b", Place("b", "")),
        ("/b/", Place("b", "", slash=True)),
        ("/b/a/c", Place("b", "a/c")),
        ("/b//a///c/", Place("b", "a/c", slash=True)),
        ("/b/a%2Fc", Place("b", "a/c")),
        ("/b/a%3Fb%23%25?query", Place("b", "a?b#%")),
        ("/b/%C3%A4", Place("b", "ä")),
        ("/b/a+b;c", Place("b", "a+b;c")),
        ("/b/...", Place("b", "...")),
        ("http://host:1/b/x", Place("b", "x")),
        ("HTTPS://host", ROOT),
    ],
)
def test_what_a_target_names(target: str, place: Place) -> None:
    """Repeated slashes are one, escapes are decoded once, a query is ignored."""
    assert place_of(target) == place


@pytest.mark.parametrize(
    "target",
    ["", "b", "*", "/%", "/%1", "/%g0", "/%ff", "/%00", "/a/.", "/../a", "/a/%2E%2e", "/a#b", "ftp://h/a", "/%+1"],
)
def test_what_names_nothing(target: str) -> None:
    """It is refused, not guessed at."""
    with pytest.raises(InvalidArgument):
        place_of(target)


def test_parts_of_a_place() -> None:
    """Names, parents, prefixes."""
    place = Place("b", "d/e/x")
    assert (place.name, place.path, place.prefix) == ("x", "/b/d/e/x", "d/e/x/")
    assert place.parent == Place("b", "d/e", slash=True)
    assert Place("b", "x").parent.is_bucket
    assert Place("b", "").parent is ROOT
    assert (ROOT.path, ROOT.name, ROOT.parent) == ("/", "", ROOT)
    assert ROOT.child("b") == Place("b", "")
    assert Place("b", "d").child("x") == Place("b", "d/x")


def test_hrefs() -> None:
    """Everything that could mean something is encoded; a collection ends in a slash."""
    assert Place("b", "a?b&c;d#e%f(g)").href(collection=False) == "/b/a%3Fb%26c%3Bd%23e%25f(g)"
    assert Place("b", "d").href(collection=True) == "/b/d/"
    assert ROOT.href(collection=True) == "/"


@pytest.mark.parametrize(
    ("name", "yes"), [("a", True), ("...", True), (" ", True), ("", False), (".", False), ("..", False)]
)
def test_names_with_a_url(name: str, yes: bool) -> None:
    """All but the empty one and dots."""
    assert is_expressible(name) is yes


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("/a", None),
        ("http://Host/a", "host"),
        ("http://host:80/a", "host"),
        ("https://host:443", "host"),
        ("https://user@host:8443/", "host:8443"),
        ("http://[::1]:9000/a", "[::1]:9000"),
        ("ftp://host/a", None),
    ],
)
def test_hosts(url: str, host: str | None) -> None:
    """Compared without case and without the ports that go without saying."""
    assert host_of(url) == host
    assert plain_host(" HOST:443 ") == "host"
