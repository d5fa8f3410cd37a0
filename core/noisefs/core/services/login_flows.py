"""Sign-in of devices by a page in a browser: a device begins, a person confirms, the device gets a password of its own.

A flow has two secrets: the device's, with which it asks, and the page's, with which the person answers. Only their
hashes are kept, and no password is: it is made when the device asks, once. Rows are in the index, because each of the
requests may come to another process.
"""

import hashlib
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.login_flow import LASTS_US, LoginFlow, device_name
from noisefs.core.domain.records import decode, encode
from noisefs.core.errors import Conflict, NotFound, TooMany
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.services.app_passwords import MOST as PASSWORDS_MOST
from noisefs.core.services.app_passwords import AppPasswords
from noisefs.core.services.commits import CommitQueue

_FLOWS: Final = b"login-flow/p"
_PAGES: Final = b"login-flow/l"
"""By the hash of the page's token: the hash of the device's."""
_TOKEN_BYTES: Final = 32
MOST: Final = 1000
"""Flows at one time."""
MOST_OF_CLIENT: Final = 20
"""Of one address."""


class Begun(NamedTuple):
    """The secrets of a flow."""

    token: str
    """The device's."""
    page: str
    """What the page's URL has."""


class LoginFlows:
    """Flows from their beginning to their end. Task-safe."""

    def __init__(
        self, *, index: Index, commits: CommitQueue, clock: Clock, entropy: Entropy, passwords: AppPasswords
    ) -> None:
        self._index = index
        self._commits = commits
        self._clock = clock
        self._entropy = entropy
        self._passwords = passwords

    async def begin(self, agent: str, client: str) -> Begun:
        """A new flow, of a device that says it is ``agent``, at the address ``client``. Forgets those that are over.

        Raises:
            TooMany: There are as many as may be, of this address or of all.
        """
        begun = Begun(self._entropy.secret(_TOKEN_BYTES).hex(), self._entropy.secret(_TOKEN_BYTES).hex())
        now_us = self._clock.now_us()
        row = LoginFlow(_hash(begun.page), now_us + LASTS_US, device_name(agent), client)

        def add(tx: Writing) -> None:
            open_flows = []
            for key, raw in tx.scan(Table.META, _FLOWS, prefix_end(_FLOWS), MOST + 1):
                flow = decode(LoginFlow, raw)
                if flow.expires_us <= now_us:
                    _forget(tx, key, flow)
                else:
                    open_flows.append(flow)
            if len(open_flows) >= MOST or sum(flow.client == client for flow in open_flows) >= MOST_OF_CLIENT:
                raise TooMany("too many devices are signing in")
            token = _hash(begun.token)
            tx.put(Table.META, _FLOWS + token, encode(row))
            tx.put(Table.META, _PAGES + row.page, token)

        await self._commits.run(add)
        return begun

    def look(self, page: str) -> LoginFlow:
        """The flow that a page is about, before anybody confirmed it.

        Raises:
            NotFound: There is none, or it is over.
        """
        return self._index.read(lambda tx: self._of_page(tx, page))[1]

    async def confirm(self, page: str, user: str) -> None:
        """Let the device have a password of this user's. Once: the page is over then. Raises as :meth:`look`."""

        def confirm(tx: Writing) -> None:
            key, flow = self._of_page(tx, page)
            tx.put(Table.META, key, encode(msgspec.structs.replace(flow, user=user)))
            tx.delete(Table.META, _PAGES + flow.page)

        await self._commits.run(confirm)

    async def collect(self, token: str) -> tuple[str, str] | None:
        """User and password for the device that has this token, once; ``None``: nobody has confirmed it, or it is over.

        Cost: a get until somebody has.

        Raises:
            TooMany: The user has as many devices as may be.
            UserNotFound: The user is gone.
        """
        key = _FLOWS + _hash(token)
        raw = self._index.read(lambda tx: tx.get(Table.META, key))
        if raw is None or not decode(LoginFlow, raw).user:
            return None

        def end(tx: Writing) -> LoginFlow | None:
            left = tx.get(Table.META, key)
            if left is None:
                return None
            flow = decode(LoginFlow, left)
            _forget(tx, key, flow)
            return flow if flow.expires_us > self._clock.now_us() else None

        flow = await self._commits.run(end)
        return None if flow is None else (flow.user, await self.password_for(flow.user, flow.agent))

    async def password_for(self, user: str, agent: str) -> str:
        """A new password for a device that says it is ``agent``; its name gets a number where it is taken.

        Raises as :meth:`collect`.
        """
        name = device_name(agent)
        names = (name, *(f"{name} ({number})" for number in range(2, PASSWORDS_MOST + 2)))
        while True:
            taken = {row.name for row in await self._passwords.list(user)}
            with suppress(Conflict):  # somebody was quicker
                return await self._passwords.add(user, next(one for one in names if one not in taken))

    def _of_page(self, tx: Reading, page: str) -> tuple[bytes, LoginFlow]:
        token = tx.get(Table.META, _PAGES + _hash(page))
        raw = None if token is None else tx.get(Table.META, _FLOWS + token)
        flow = None if raw is None else decode(LoginFlow, raw)
        if token is None or flow is None or flow.expires_us <= self._clock.now_us():
            raise NotFound("this sign-in is over: begin again on the device")
        return _FLOWS + token, flow


def _hash(token: str) -> bytes:
    """What a token is looked up by. How long a look-up takes tells nothing about the token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _forget(tx: Writing, key: bytes, flow: LoginFlow) -> None:
    tx.delete(Table.META, key)
    tx.delete(Table.META, _PAGES + flow.page)
