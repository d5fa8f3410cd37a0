"""Small pieces: lock rules, conditions, ranges, Basic, and XML."""

import base64

import pytest

from noisefs.adapters.inbound.webdav.auth.basic import Login, parse_basic
from noisefs.adapters.inbound.webdav.listing.multistatus import element
from noisefs.adapters.inbound.webdav.listing.wanted import EVERYTHING, Mode, Wanted, parse_propfind
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.locking import LockNote, covering, in_the_way, missing, note_bytes, note_of
from noisefs.adapters.inbound.webdav.rules.preconditions import (
    byte_range,
    date_us,
    etags_of,
    read_condition,
    write_condition,
)
from noisefs.adapters.inbound.webdav.settings import WebdavSettings
from noisefs.adapters.inbound.webdav.xml_input import parse_xml
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Lock, Version
from noisefs.core.errors import IndexDamaged, InvalidArgument, RangeNotSatisfiable

ME, OTHER = UserId("me"), UserId("other")


def lock(path: str, token: str, *, owner: UserId = ME, exclusive: bool = True, deep: bool = True) -> Lock:
    """A lock."""
    return Lock(token, path, owner, 0, 0, exclusive, deep)


# ---------------------------------------------------------------- locks


def test_a_lock_covers_its_path_and_a_deep_one_all_below() -> None:
    """Names that only begin alike are not below."""
    locks = [lock("/b/d", "deep"), lock("/b", "flat", deep=False), lock("/", "root")]
    assert {one.token for one in covering(locks, "/b/d/x")} == {"deep", "root"}
    assert {one.token for one in covering(locks, "/b")} == {"flat", "root"}
    assert {one.token for one in covering(locks, "/b/dx")} == {"root"}


@pytest.mark.parametrize(
    ("locks", "tokens", "blocked"),
    [
        ([lock("/b/x", "t")], {"t"}, set()),
        ([lock("/b/x", "t")], set(), {"t"}),
        ([lock("/b/x", "t", owner=OTHER)], {"t"}, {"t"}),
        ([lock("/b/x", "s", exclusive=False), lock("/b/x", "u", exclusive=False, owner=OTHER)], {"s"}, set()),
        ([lock("/b/x", "s", exclusive=False), lock("/b/x", "u", exclusive=False, owner=OTHER)], {"u"}, {"s", "u"}),
        ([lock("/b/x", "s", exclusive=False), lock("/b", "t")], {"s"}, {"t"}),
    ],
)
def test_which_tokens_are_needed(locks: list[Lock], tokens: set[str], blocked: set[str]) -> None:
    """Every exclusive one, any shared one, and only from their holder."""
    assert {one.token for one in missing(locks, ME, frozenset(tokens))} == blocked


@pytest.mark.parametrize(
    ("membership", "tree", "blocked"),
    [
        (False, False, {"x"}),
        (True, False, {"x", "parent"}),
        (False, True, {"x", "below"}),
        (True, True, {"x", "parent", "below"}),
    ],
)
def test_what_a_change_touches(membership: bool, tree: bool, blocked: set[str]) -> None:
    """Itself, its collection's membership, everything below."""
    locks = [
        lock("/b/d", "parent", deep=False),
        lock("/b/d/x", "x", deep=False),
        lock("/b/d/x/y/z", "below", deep=False),
        lock("/b", "far", deep=False),
    ]
    found = in_the_way(locks, Place("b", "d/x"), ME, frozenset(), membership=membership, tree=tree)
    assert {one.token for one in found} == blocked


def test_a_note_is_read_back() -> None:
    """And a damaged one is told from none."""
    kept = Lock("t", "/x", ME, 0, 0, True, True, note_bytes(LockNote(b"<owner/>")))
    assert note_of(kept) == LockNote(b"<owner/>")
    assert note_of(lock("/x", "t")) == LockNote()
    with pytest.raises(IndexDamaged):
        note_of(Lock("t", "/x", ME, 0, 0, True, True, b"\xc1"))


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        (None, ()),
        ('"a"', ("a",)),
        ('"a", W/"b" ,"c"', ("a", "b", "c")),
        ("*", ("*",)),
        ("bare", ("bare",)),
        ('"a,b"', ("a,b",)),
        ("", ("\0",)),
        ('""', ("\0",)),
    ],
)
def test_entity_tags(header: str | None, tags: tuple[str, ...]) -> None:
    """A header that names none matches nothing: it is not the same as no header."""
    assert etags_of(header) == tags


def test_a_weak_tag_is_no_ground_for_a_change() -> None:
    """``If-Match`` compares strongly, ``If-None-Match`` weakly (RFC 9110 section 13.1)."""
    assert etags_of('W/"a", "b"', strong=True) == ("b",)
    assert etags_of('W/"a"', strong=True) == ("\0",)
    condition = read_condition({"If-Match": 'W/"a"', "If-None-Match": 'W/"a"'})
    assert (condition.if_match, condition.if_none_match) == (("\0",), ("a",))
    assert write_condition({"If-Match": 'W/"a"'}).if_match == ("\0",)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Fri, 13 Feb 2009 23:31:30 GMT", 1234567890),
        ("Friday, 13-Feb-09 23:31:30 GMT", 1234567890),
        ("Fri Feb 13 23:31:30 2009", 1234567890),
        ("never", None),
        ("", None),
        ("Fri, 13 Feb 99999999 23:31:30 GMT", None),
    ],
)
def test_dates(text: str, seconds: int | None) -> None:
    """The three forms of RFC 9110 section 5.6.7; anything else is ignored."""
    assert date_us(text) == (None if seconds is None else seconds * 1_000_000)
    assert read_condition({"If-Modified-Since": text}).if_modified_since_us == date_us(text)


def test_a_suffix_longer_than_the_file() -> None:
    """All of it, and an empty file has no suffix."""
    version = Version(5, "e", 0, ME)
    assert byte_range({"Range": "bytes=-9"}, version) == (0, 5)
    with pytest.raises(RangeNotSatisfiable):
        byte_range({"Range": "bytes=-9"}, Version(0, "e", 0, ME))


@pytest.mark.parametrize(
    ("header", "login"),
    [
        ("Basic " + base64.b64encode(b"a:b:c").decode(), Login("a", "b:c")),
        ("basic  " + base64.b64encode(b"a:").decode(), Login("a", "")),
        ("Basic " + base64.b64encode("ä:ö".encode()).decode(), Login("ä", "ö")),
        ("Basic " + base64.b64encode("ä:ö".encode("latin-1")).decode(), Login("ä", "ö")),
        ("Basic " + base64.b64encode(b":b").decode(), None),
        ("Basic a", None),
        ("Basic", None),
        ("", None),
        ("Negotiate abc", None),
    ],
)
def test_basic(header: str, login: Login | None) -> None:
    """Malformed is nobody, never an exception."""
    assert parse_basic(header) == login


# ---------------------------------------------------------------- xml and settings


def test_what_a_propfind_asks_for() -> None:
    """Nothing means everything; a name counts once."""
    assert parse_propfind(b"  ") == EVERYTHING
    body = b'<propfind xmlns="DAV:"><prop><a/><b xmlns="u:"/><a/></prop></propfind>'
    assert parse_propfind(body) == Wanted(Mode.SOME, ("{DAV:}a", "{u:}b"))


def test_xml_limits() -> None:
    """64 elements deep pass, 65 do not."""
    assert parse_xml(b"<a>" * 64 + b"</a>" * 64).tag == "a"
    with pytest.raises(Refused):
        parse_xml(b"<a>" * 65 + b"</a>" * 65)


@pytest.mark.parametrize(
    ("name", "xml"),
    [
        ("{DAV:}a", "<D:a/>"),
        ('{u:&"}a', "<x:a xmlns:x='u:&amp;\"'/>"),
        ("a", "<a/>"),
        ("{}a", "<a/>"),
    ],
)
def test_elements(name: str, xml: str) -> None:
    """Names of any namespace."""
    assert element(name, "") == xml


@pytest.mark.parametrize(
    "bad",
    [
        {"threads": 0},
        {"max_xml_bytes": -1},
        {"infinity_members": -1},
        {"realm": 'a"b'},
        {"realm": "ä"},
        {"list_page": 0},
    ],
)
def test_settings_that_make_no_server(bad: dict[str, int | str]) -> None:
    """They are refused with the field's name."""
    with pytest.raises(InvalidArgument, match=f"webdav.{next(iter(bad))}"):
        WebdavSettings(**bad)  # type: ignore[arg-type]  # of mixed kinds
