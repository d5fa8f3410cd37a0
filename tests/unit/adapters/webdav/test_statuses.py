"""The table from errors to statuses, and what goes with them."""

import inspect

import pytest

from noisefs.adapters.inbound.webdav.refusal import Refused, refusal_of
from noisefs.adapters.inbound.webdav.statuses import STATUS, headers_of, status_of, text_of
from noisefs.core import errors
from noisefs.core.errors import NoisefsError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, NoisefsError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_its_status(kind: type[NoisefsError]) -> None:
    """By its own name: a new class is a decision. None of them is a bare 500."""
    assert kind in STATUS
    assert STATUS[kind] in {304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 414, 416, 423, 503, 507}


def test_nothing_else_is_in_the_table() -> None:
    """What was removed goes here too."""
    assert set(STATUS) == set(CLASSES)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.DiskFull("full"), 507),
        (errors.SlowDown("later"), 503),
        (errors.ResourceLocked("/b/f"), 423),
        (errors.KeyTooLong("key", "x", "shorter"), 414),
        (errors.Draining("bye"), 503),
    ],
)
def test_some_of_them(error: NoisefsError, status: int) -> None:
    """Those that clients act on."""
    assert status_of(error) == status


def test_an_unknown_leaf_counts_as_its_family() -> None:
    """Until it is entered."""

    class Leaf(errors.DiskFull):
        """New."""

    assert status_of(Leaf("x")) == 507


@pytest.mark.parametrize("kind", [errors.SlowDown, errors.Draining, errors.CommitConflict])
def test_what_may_be_repeated_says_when(kind: type[NoisefsError]) -> None:
    """503 with Retry-After."""
    assert headers_of(kind("x"))["Retry-After"].isdigit()


def test_what_is_broken_does_not_ask_to_be_repeated() -> None:
    """Nor does it tell which pack is broken."""
    error = errors.PackDamaged(b"\xab" * 16, "short")
    assert headers_of(error) == {}
    assert "abab" not in text_of(error)


def test_a_range_behind_the_end_says_how_long_the_file_is() -> None:
    """RFC 9110 section 15.5.17."""
    assert headers_of(errors.RangeNotSatisfiable(7)) == {"Content-Range": "bytes */7"}


def test_a_refusal_is_a_sentence_or_a_named_condition() -> None:
    """XML only where RFC 4918 section 16 has an element for it."""
    kind, body = refusal_of(errors.BucketNotFound("b")).body
    assert kind.startswith("text/plain")
    assert b"'b' does not exist" in body
    kind, body = Refused(423, "locked", condition="lock-token-submitted", hrefs=["/a&b"]).body
    assert kind.startswith("application/xml")
    assert b"<D:lock-token-submitted><D:href>/a&amp;b</D:href></D:lock-token-submitted>" in body
    assert Refused(304, "").body == ("", b"")
