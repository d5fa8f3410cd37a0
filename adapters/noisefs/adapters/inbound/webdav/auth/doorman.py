"""Who sends a request: by Basic, or where that is on by Digest; and how often a wrong login may be tried."""

import logging
import math
from collections.abc import Mapping

from noisefs.adapters.inbound.webdav.auth.basic import parse_basic
from noisefs.adapters.inbound.webdav.auth.digest import Digest, Stale, parse_digest
from noisefs.adapters.inbound.webdav.auth.tries import Tries
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.settings import WebdavSettings
from noisefs.core.domain.requests import Principal
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.accounts import Accounts

log = logging.getLogger(__name__)


def user_named(headers: Mapping[str, str]) -> str:
    """The name that a client logs in with; empty where it does not."""
    authorization = headers.get("Authorization", "")
    login = parse_basic(authorization)
    return (parse_digest(authorization) or {}).get("username", "") if login is None else login.name


class Doorman:
    """Lets requests in. Task-safe."""

    def __init__(self, accounts: Accounts, telemetry: Telemetry, clock: Clock, settings: WebdavSettings) -> None:
        self._accounts = accounts
        self._telemetry = telemetry
        self._clock = clock
        self._tries = Tries(settings.wrong_logins_a_minute)
        self._digest = Digest(accounts, clock, settings.realm) if settings.digest else None
        self._basic = f'Basic realm="{settings.realm}", charset="UTF-8"'

    async def principal(self, authorization: str | None, client: str, method: str, target: str) -> Principal:
        """Who it is. ``method`` and ``target``: of the request, as it came.

        A request without credentials is how most clients begin, so it is no failed login. A failed one is counted and
        logged as one ``auth.failed`` line that never changes its shape, for tools that ban addresses.

        Raises:
            Refused: 401; nobody, or somebody else. 429; too many wrong logins came from there, or for this name:
                nothing is hashed then.
        """
        if authorization is None:
            raise self._unknown()
        login = parse_basic(authorization)
        if login is not None:
            known = self._accounts.principal_at_hand(login.name, login.password)
            if known is not None:
                return known
            found = await self.signed_in(login.name, login.password, client)
        else:
            fields = None if self._digest is None else parse_digest(authorization)
            if self._digest is None or fields is None:
                self._failed("malformed", client, "")
                raise self._unknown()
            name = fields.get("username", "")
            self._hold_up(client, name)
            try:
                found = self._counted(self._digest.principal(fields, method, target), client, name)
            except Stale:
                raise self._unknown(stale=True) from None
        if found is None:
            raise self._unknown()
        return found

    async def signed_in(self, name: str, password: str, client: str) -> Principal | None:
        """Who this is; ``None``: the name or the password is wrong, which is counted and logged.

        Raises:
            Refused: 429, as :meth:`principal`.
        """
        self._hold_up(client, name)
        return self._counted(await self._accounts.principal_of_password(name, password), client, name)

    def _counted(self, found: Principal | None, client: str, name: str) -> Principal | None:
        if found is None:
            self._tries.failed(client, name, self._clock.monotonic_s())
            self._failed("refused", client, name)
        return found

    def _hold_up(self, client: str, name: str) -> None:
        wait_s = self._tries.wait_s(client, name, self._clock.monotonic_s())
        if wait_s:
            self._failed("held up", client, name)
            raise Refused(429, "too many wrong logins", headers={"Retry-After": str(math.ceil(wait_s))})

    def _unknown(self, *, stale: bool = False) -> Refused:
        others = [] if self._digest is None else self._digest.challenges(stale=stale)
        return Refused(401, "a name and a password are needed", challenges=[*others, self._basic])

    def at_hand(self, authorization: str | None) -> Principal | None:
        """Who it is, where that is known without a slow hash; ``None``: ask :meth:`principal`. Nothing is counted."""
        login = None if authorization is None else parse_basic(authorization)
        return None if login is None else self._accounts.principal_at_hand(login.name, login.password)

    def _failed(self, reason: str, client: str, name: str) -> None:
        self._telemetry.count(Counter.AUTH_FAILURES, labels=("webdav", reason))
        log.warning("auth.failed", extra={"protocol": "webdav", "client": client, "login": name, "reason": reason})
