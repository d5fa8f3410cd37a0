"""What must be visible after a crash, judged from a journal of requests sent and answered.

Every key is a register. A state may be visible when it was written by a request that was answered with
success or never answered, and no other successful request began after that one's answer. Requests of
several keys (MOVE) must be visible on all of them or on none. A request that was refused has no effect.
"""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from time import monotonic
from typing import Any

from tests.e2e.crash.content import Content

_EVER = float("inf")


class Fate(Enum):
    """What the client knows of a request."""

    SENT = "sent"  # no answer: it may or may not have had its effect
    DONE = "done"
    REFUSED = "refused"


@dataclass(slots=True)
class Request:
    """One write request and its effect: for each key, what it holds afterwards (None: nothing)."""

    serial: int
    what: str
    effects: Mapping[str, Content | None]
    sent_s: float
    answered_s: float = _EVER
    fate: Fate = Fate.SENT
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise."""

    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}"


@dataclass(slots=True)
class _Register:
    """One key: the state that is certain, and the requests since."""

    base: Content | None = None
    base_etag: str | None = None
    requests: list[Request] = field(default_factory=list)


class Model:
    """The journal and its judgement. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._registers: dict[str, _Register] = {}
        self._journal: list[Request] = []
        self._serial = 0
        self.answered = 0
        self.unanswered = 0
        self.applied = 0  # unanswered requests whose effect was found

    # ---------------------------------------------------------------- journal

    def serial(self) -> int:
        """A number no other request or piece has."""
        with self._lock:
            self._serial += 1
            return self._serial

    def sent(self, what: str, effects: Mapping[str, Content | None]) -> Request:
        """Note that a request is about to be sent."""
        serial = self.serial()
        request = Request(serial, what, dict(effects), monotonic())
        with self._lock:
            self._journal.append(request)
            for key in effects:
                self._registers.setdefault(key, _Register()).requests.append(request)
        return request

    def done(self, request: Request, etag: str | None = None) -> None:
        """Note a successful answer."""
        request.answered_s, request.fate, request.etag = monotonic(), Fate.DONE, etag

    def refused(self, request: Request) -> None:
        """Note an answer that says that nothing was done."""
        request.answered_s, request.fate = monotonic(), Fate.REFUSED

    # ---------------------------------------------------------------- judgement

    def _open_requests(self, register: _Register) -> list[Request]:
        """Requests whose effect may be what is visible, oldest first."""
        alive = [one for one in register.requests if one.fate is not Fate.REFUSED]
        latest = max((one.sent_s for one in alive if one.fate is Fate.DONE), default=-_EVER)
        return [one for one in alive if one.answered_s >= latest]

    def allowed(self, key: str) -> list[Content | None]:
        """Every state that ``key`` may be in."""
        with self._lock:
            return self._allowed(self._registers.get(key, _Register()), key)

    def _allowed(self, register: _Register, key: str) -> list[Content | None]:
        states = [one.effects[key] for one in self._open_requests(register)]
        if not any(one.fate is Fate.DONE for one in register.requests):
            states.insert(0, register.base)
        return states

    def certain(self, key: str) -> Content | None:
        """The state of a key that has only one."""
        states = self.allowed(key)
        assert all(state == states[0] for state in states), f"{key} has several states"
        return states[0]

    def etag_of(self, key: str, content: Content) -> str | None:
        """The ETag the server gave for this content, where an answer told."""
        register = self._registers[key]
        for one in reversed(register.requests):
            if one.fate is Fate.DONE and one.effects[key] == content:
                return one.etag
        return register.base_etag if register.base == content else None

    def written(self) -> list[str]:
        """Every key that was ever written."""
        with self._lock:
            return sorted(self._registers)

    def judge(self, seen: Mapping[str, Content | None]) -> list[Violation]:
        """Compare what is visible with what may be; then take what is visible for certain.

        ``seen`` holds a content for every key that exists and was recognised; a key that is missing in it
        does not exist. No request may be under way.
        """
        found = [Violation(key, "visible, but no request wrote it") for key in seen if key not in self._registers]
        for key, register in self._registers.items():
            state = seen.get(key)
            states = self._allowed(register, key)
            if state not in states:
                shown = " or ".join(_show(one) for one in dict.fromkeys(states))
                found.append(Violation(key, f"is {_show(state)}, may be {shown}"))
        for request in self._journal:
            if request.fate is Fate.SENT and len(request.effects) > 1:
                found.extend(self._halves(request, seen))
        self._rebase(seen)
        return found

    def _halves(self, request: Request, seen: Mapping[str, Content | None]) -> Iterable[Violation]:
        """An unanswered request of several keys is visible on all or on none."""
        verdicts = {}
        for key, effect in request.effects.items():
            others = [state for state in self._allowed(self._registers[key], key) if state != effect]
            if seen.get(key) == effect and others:
                verdicts[key] = True
            elif seen.get(key) in others:
                verdicts[key] = False
        if len(set(verdicts.values())) > 1:
            parts = ", ".join(f"{key} {'after' if after else 'before'}" for key, after in sorted(verdicts.items()))
            yield Violation(next(iter(request.effects)), f"{request.what} is half done: {parts}")

    def _rebase(self, seen: Mapping[str, Content | None]) -> None:
        for request in self._journal:
            if request.fate is Fate.SENT:
                self.unanswered += 1
                self.applied += all(seen.get(key) == effect for key, effect in request.effects.items())
            else:
                self.answered += 1
        self._journal.clear()
        for key, register in self._registers.items():
            state = seen.get(key)
            register.base_etag = self.etag_of(key, state) if state is not None else None
            register.base = state
            register.requests.clear()

    def dump(self, path: Path) -> None:
        """Write the journal since the last judgement, one request a line."""
        with path.open("w") as out:
            for one in self._journal:
                line: dict[str, Any] = {  # Any: JSON
                    "serial": one.serial,
                    "what": one.what,
                    "sent": one.sent_s,
                    "answered": None if one.answered_s == _EVER else one.answered_s,
                    "fate": one.fate.value,
                    "effects": {key: _show(state) for key, state in one.effects.items()},
                }
                out.write(json.dumps(line) + "\n")


def _show(content: Content | None) -> str:
    if content is None:
        return "absent"
    return "+".join(f"#{piece.serial}({piece.size_bytes} B)" for piece in content)
