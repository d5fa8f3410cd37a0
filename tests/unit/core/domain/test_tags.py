"""What tags may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.core.domain.buckets.tags import KEY_MOST, OBJECT_MOST, VALUE_MOST, checked_tags, without
from noisefs.core.errors import InvalidArgument

_TEXT = st.text(st.sampled_from("aZ09éß語 _.:/=+-@"), max_size=VALUE_MOST)


@given(st.dictionaries(_TEXT.filter(lambda key: 0 < len(key) <= KEY_MOST), _TEXT, max_size=OBJECT_MOST))
def test_legal_tags_come_back_in_their_order(tags: dict[str, str]) -> None:
    assert list(checked_tags(tags.items(), OBJECT_MOST).items()) == list(tags.items())


@given(st.lists(st.tuples(st.text(max_size=140), st.text(max_size=260)), max_size=12))
def test_whatever_comes_is_legal_or_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        found = checked_tags(pairs, OBJECT_MOST)
    except InvalidArgument:
        return
    assert list(found.items()) == pairs
    assert len(pairs) <= OBJECT_MOST


@pytest.mark.parametrize("key", ["aws:x", "AWS:y", "a\nb", "a\0", "a<b", "\ud800", "a,b", "a*"])
def test_reserved_and_strange_keys_are_refused(key: str) -> None:
    with pytest.raises(InvalidArgument):
        checked_tags([(key, "")], OBJECT_MOST)


def test_some_keys_go_and_the_others_stay() -> None:
    assert without({"a": "1", "b": "2"}, ["b", "c"]) == {"a": "1"}
