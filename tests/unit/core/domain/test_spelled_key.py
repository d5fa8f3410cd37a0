"""Root keys on paper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.core.domain.sealing.spelled_key import read_spelled_key, spell_key
from noisefs.core.errors import WrongRootKey

KEYS = st.binary(min_size=32, max_size=32)


@given(KEYS)
def test_a_key_is_read_back_however_it_is_typed(key: bytes) -> None:
    """Small letters, other spaces, hyphens, look-alikes."""
    text = spell_key(key)
    assert [len(group) for group in text.split()] == [4] * 14
    for typed in (text, text.lower(), text.replace(" ", "-"), text.replace(" ", "\n "), text.replace(" ", "")):
        assert read_spelled_key(typed.replace("0", "o").replace("1", "l")) == key


@given(KEYS, st.integers(0, 55), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_a_mistyped_digit_is_found(key: bytes, at: int, digit: str) -> None:
    """Any, anywhere."""
    digits = spell_key(key).replace(" ", "")
    if digits[at] != digit:
        with pytest.raises(WrongRootKey):
            read_spelled_key(digits[:at] + digit + digits[at + 1 :])


def test_a_refusal_does_not_repeat_the_key() -> None:
    """It may end in a log."""
    text = spell_key(bytes(range(32)))
    for wrong in (text[:-1], text + "7", "!" + text[1:], text[:-1] + "?", ""):
        with pytest.raises(WrongRootKey) as caught:
            read_spelled_key(wrong)
        assert not any(group in str(caught.value) for group in text.split())


def test_a_key_is_spelled_as_ever() -> None:
    """What is on paper stays readable."""
    spelled = "000G 40R4 0M30 E209 185G R38E 1W81 24GK 2GAH C5RR 34D1 P70X 3RFM YTZG"
    assert spell_key(bytes(range(32))) == spelled
    assert read_spelled_key(spelled) == bytes(range(32))
