"""Basic authentication (RFC 7617): who sends this request."""

import base64
import binascii
import logging
import math
from dataclasses import dataclass
from typing import Final

from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.tries import Tries
from noisefs.core.domain.requests import Principal
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.accounts import Accounts

log = logging.getLogger(__name__)

MAX_CREDENTIALS_CHARS: Final = 4096
"""Longest ``Authorization`` value that is looked at: names and secrets are far shorter."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a client says it is. ``password`` is never logged."""

    name: str
    password: str


def parse_basic(header: str) -> Login | None:
    """Name and password of an ``Authorization`` header; ``None`` where it is another scheme or malformed.

    UTF-8 as announced in the challenge, ISO 8859-1 from clients that ignore it.
    """
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic" or len(encoded) > MAX_CREDENTIALS_CHARS:
        return None
    try:
        raw = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    name, separator, password = text.partition(":")
    if not separator or not name or not text.isprintable():
        return None
    return Login(name, password)


class Doorman:
    """Lets requests in. Task-safe."""

    def __init__(self, accounts: Accounts, telemetry: Telemetry, clock: Clock, tries_a_minute: int) -> None:
        self._accounts = accounts
        self._telemetry = telemetry
        self._clock = clock
        self._tries = Tries(tries_a_minute)

    async def principal(self, authorization: str | None, client: str) -> Principal | None:
        """Who it is, or ``None``: answer 401.

        A request without credentials is how most clients begin, so it is no failed login. A failed one is counted and
        logged as one ``auth.failed`` line that never changes its shape, for tools that ban addresses.

        Raises:
            Refused: 429; too many wrong logins came from there, or for this name. Nothing is hashed then.
        """
        if authorization is None:
            return None
        login = parse_basic(authorization)
        if login is None:
            self._failed("malformed", client, "")
            return None
        known = self._accounts.principal_at_hand(login.name, login.password)
        if known is not None:
            return known
        wait_s = self._tries.wait_s(client, login.name, self._clock.monotonic_s())
        if wait_s:
            self._failed("held up", client, login.name)
            raise Refused(429, "too many wrong logins", headers={"Retry-After": str(math.ceil(wait_s))})
        principal = await self._accounts.principal_of_password(login.name, login.password)
        if principal is None:
            self._tries.failed(client, login.name, self._clock.monotonic_s())
            self._failed("refused", client, login.name)
        return principal

    def at_hand(self, authorization: str | None) -> Principal | None:
        """Who it is, where that is known without a slow hash; ``None``: ask :meth:`principal`. Nothing is counted."""
        login = None if authorization is None else parse_basic(authorization)
        return None if login is None else self._accounts.principal_at_hand(login.name, login.password)

    def _failed(self, reason: str, client: str, name: str) -> None:
        self._telemetry.count(Counter.AUTH_FAILURES, labels=("webdav", reason))
        log.warning("auth.failed", extra={"protocol": "webdav", "client": client, "login": name, "reason": reason})
