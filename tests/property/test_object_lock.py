"""The laws of object lock over whole histories of one version, judged by the promises made on the way.

The model remembers promises, not states: whatever was accepted once must hold until its time is over.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.buckets.object_lock import (
    COMPLIANCE,
    GOVERNANCE,
    MODES,
    Wish,
    check_removal,
    check_retention,
    check_wish,
)
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Version
from noisefs.core.errors import NoisefsError

TIMES = st.integers(0, 12)
STEPS = st.one_of(
    st.tuples(st.just("retain"), st.sampled_from(["", *MODES]), TIMES, st.booleans()),
    st.tuples(st.just("hold"), st.sampled_from(["ON", "OFF"]), st.just(0), st.booleans()),
    st.tuples(st.just("remove"), st.just(""), st.just(0), st.booleans()),
    st.tuples(st.just("wait"), st.just(""), st.integers(0, 4), st.booleans()),
)


@dataclass
class Promises:
    """What was promised, and is not over."""

    until: list[tuple[str, int]] = field(default_factory=list)
    held: bool = False

    def standing(self, now: int, *, bypass: bool) -> list[tuple[str, int]]:
        """Those that bind this caller."""
        return [(mode, end) for mode, end in self.until if end > now and (mode == COMPLIANCE or not bypass)]

    def replaced(self, now: int) -> None:
        """Somebody who may has set all governance aside; compliance stays."""
        self.until = [(mode, end) for mode, end in self.until if mode == COMPLIANCE and end > now]


@settings(max_examples=600, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_a_promise_holds_until_it_is_over(steps: list[tuple[str, str, int, bool]]) -> None:
    version = Version(0, "", 0, UserId(""))
    promises = Promises()
    now = 1
    for what, word, number, bypass in steps:
        if what == "wait":
            now += number
        elif what == "hold":
            version = msgspec.structs.replace(version, legal_hold=word)
            promises.held = word == "ON"
        elif what == "remove":
            binding = promises.held or bool(promises.standing(now, bypass=bypass))
            assert _refused(lambda: check_removal(version, now, bypass=bypass)) is binding  # noqa: B023
        else:
            until = number if word else 0
            if _refused(lambda: check_wish(Wish(word, until), now)):  # noqa: B023
                assert word
                assert until <= now
                continue
            standing = promises.standing(now, bypass=bypass)
            weaker = any(mode != word or end > until for mode, end in standing)
            refused = _refused(lambda: check_retention(version, word, until, now, bypass=bypass))  # noqa: B023
            assert refused is weaker
            if not refused:
                version = msgspec.structs.replace(version, retention=word, retain_until_us=until)
                promises.replaced(now)
                if word:
                    promises.until.append((word, until))


@given(mode=st.sampled_from(MODES), until=TIMES, now=TIMES)
def test_nobody_gets_around_compliance(mode: str, until: int, now: int) -> None:
    version = Version(0, "", 0, UserId(""), retention=mode, retain_until_us=until)
    assert _refused(lambda: check_removal(version, now, bypass=True)) is (mode != GOVERNANCE and until > now)


def _refused(ask: Callable[[], None]) -> bool:
    try:
        ask()
    except NoisefsError:
        return True
    return False
