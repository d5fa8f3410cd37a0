"""The judgement of the crash test, without a server: what it accepts and what it finds."""

from pathlib import Path

import pytest

from tests.e2e.crash.content import Content, Piece, Pool
from tests.e2e.crash.model import Model


def one(serial: int, size_bytes: int = 100) -> Content:
    return (Piece(serial, size_bytes),)


@pytest.fixture
def model() -> Model:
    """``a`` holds #1, answered."""
    model = Model()
    model.done(model.sent("put", {"a": one(1)}))
    return model


def found(model: Model, **seen: Content) -> list[str]:
    return [str(violation) for violation in model.judge(seen)]


def test_an_answered_write_must_be_there(model: Model) -> None:
    assert found(model) == ["a: is absent, may be #1(100 B)"]


def test_an_answered_write_must_be_whole(model: Model) -> None:
    assert found(model, a=(Piece(1, 16), Piece(0, 84))) == ["a: is #1(16 B)+#0(84 B), may be #1(100 B)"]


def test_an_older_version_is_a_lost_write(model: Model) -> None:
    model.done(model.sent("put", {"a": one(2)}))
    assert found(model, a=one(1)) == ["a: is #1(100 B), may be #2(100 B)"]


def test_an_answered_delete_stays_deleted(model: Model) -> None:
    model.done(model.sent("delete", {"a": None}))
    assert found(model, a=one(1)) == ["a: is #1(100 B), may be absent"]


@pytest.mark.parametrize("after", [False, True])
def test_an_unanswered_write_may_have_happened_or_not(model: Model, after: bool) -> None:
    model.sent("put", {"a": one(2)})
    assert found(model, a=one(2) if after else one(1)) == []
    assert model.unanswered == 1
    assert model.applied == after


def test_a_refused_write_must_not_have_happened(model: Model) -> None:
    model.refused(model.sent("put", {"a": one(2)}))
    assert found(model, a=one(2)) == ["a: is #2(100 B), may be #1(100 B)"]


def test_what_nobody_wrote_must_not_be_there(model: Model) -> None:
    assert found(model, a=one(1), b=one(9)) == ["b: visible, but no request wrote it"]


def test_of_two_writes_at_once_either_may_win(model: Model) -> None:
    first = model.sent("put", {"a": one(2)})
    second = model.sent("put", {"a": one(3)})
    model.done(first)
    model.done(second)
    assert model.allowed("a") == [one(2), one(3)]


def test_a_write_after_both_ends_their_race(model: Model) -> None:
    first = model.sent("put", {"a": one(2)})
    second = model.sent("put", {"a": one(3)})
    model.done(first)
    model.done(second)
    model.done(model.sent("put", {"a": one(4)}))
    assert model.allowed("a") == [one(4)]


@pytest.mark.parametrize("seen", [{"a": one(1)}, {"b": one(1)}])
def test_an_unanswered_move_is_whole_or_not_at_all(model: Model, seen: dict[str, Content]) -> None:
    model.sent("dav move", {"b": one(1), "a": None})
    assert found(model, **seen) == []


@pytest.mark.parametrize("seen", [{"a": one(1), "b": one(1)}, {}])
def test_half_a_move_is_found(model: Model, seen: dict[str, Content]) -> None:
    model.sent("dav move", {"b": one(1), "a": None})
    violations = found(model, **seen)
    assert len(violations) == 1
    assert "dav move is half done" in violations[0]


def test_what_was_seen_is_certain_afterwards(model: Model) -> None:
    model.sent("put", {"a": one(2)})
    model.judge({"a": one(2)})
    assert model.certain("a") == one(2)
    assert found(model, a=one(1)) == ["a: is #1(100 B), may be #2(100 B)"]


def test_the_etag_of_an_answer_is_remembered() -> None:
    model = Model()
    model.done(model.sent("put", {"a": one(1)}), "abc")
    model.judge({"a": one(1)})
    assert model.etag_of("a", one(1)) == "abc"


def test_the_journal_can_be_read_afterwards(model: Model, tmp_path: Path) -> None:
    model.sent("put", {"a": one(2)})
    model.dump(tmp_path / "journal")
    lines = (tmp_path / "journal").read_text().splitlines()
    assert len(lines) == 2
    assert '"fate": "sent"' in lines[1]


def test_pieces_of_different_requests_differ_and_repeat() -> None:
    pool = Pool()
    for size in (16, 1000, 1 << 20):
        assert len(pool.bytes_of(Piece(1, size))) == size
        assert pool.bytes_of(Piece(1, size)) == pool.bytes_of(Piece(1, size))
        assert pool.bytes_of(Piece(1, size)) != pool.bytes_of(Piece(2, size))
    assert pool.bytes_of(Piece(1, 0)) == b""
