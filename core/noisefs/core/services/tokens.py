"""Temporary credentials: sealed tokens that the client keeps, so that nothing is stored and any gateway knows them.

A token is worth what its access key is worth, at most, for as long as it says: it goes with the key, the user's rights
are those of now, and its own policies only narrow them. A token of a role goes with the key and with the role, and has
the rights that the role has now, instead of the user's.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Final

import msgspec

from noisefs.core.domain.requests import Principal
from noisefs.core.domain.rights.managed import MANAGED
from noisefs.core.domain.rights.policy import Policy, parse_policy
from noisefs.core.domain.rights.role import Role, RoleSession
from noisefs.core.domain.sealing.keys import KeyWrap
from noisefs.core.errors import IndexDamaged, InvalidArgument, NewerFormat, RoleNotFound
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.services.accounts import Accounts, Credential
from noisefs.core.services.roles import Roles

SHORTEST_S: Final = 900
LONGEST_S: Final = 129_600
"""Durations of a token (STS API Reference, *GetSessionToken*)."""
SESSION_POLICY_BYTES: Final = 2048
"""Most bytes of a session's policy (as above, *AssumeRole*)."""
_BEGIN: Final = "ASIA"
"""What temporary access key ids begin with, as AWS's."""
_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 30
_REMEMBERED: Final = 1024
"""Tokens that are kept open."""
_TOKEN_MOST: Final = 16 << 10


class Fault(Enum):
    """Why a token is worth nothing."""

    INVALID = "invalid"
    EXPIRED = "expired"


class _Content(msgspec.Struct, frozen=True, array_like=True):
    parent: str
    """The access key that it was made with."""
    secret: str
    issued_us: int
    expires_us: int
    policies: tuple[bytes, ...] = ()
    role_id: str = ""
    """Of a role that was taken on: without it, the user's own rights."""
    role: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Temporary:
    """Temporary credentials. Never logged."""

    access_key_id: str
    secret: str
    token: str
    expires_us: int

    def __repr__(self) -> str:
        """Without what is secret."""
        return f"Temporary({self.access_key_id!r})"


_decoder = msgspec.msgpack.Decoder(_Content)
_encoder = msgspec.msgpack.Encoder()


class Tokens:
    """Makes and opens tokens. Task-safe."""

    def __init__(self, *, accounts: Accounts, roles: Roles, wrap: KeyWrap, entropy: Entropy, clock: Clock) -> None:
        self._accounts = accounts
        self._roles = roles
        self._wrap = wrap
        self._entropy = entropy
        self._clock = clock
        self._open: OrderedDict[tuple[str, str], tuple[_Content, tuple[Policy, ...]]] = OrderedDict()

    def issue(
        self,
        parent: Credential,
        duration_s: int,
        policies: Sequence[bytes] = (),
        role: Role | None = None,
        session: str = "",
    ) -> Temporary:
        """Make temporary credentials.

        Args:
            parent: The key that asks. With it the credentials end.
            duration_s: How long they are good for.
            policies: Each of which must allow what is done with them.
            role: The role that is taken on, under the name ``session``; ``None``: the user's own rights.

        Raises:
            InvalidArgument: The duration is not allowed.
            InvalidPolicy: A policy says something that cannot be honoured exactly.
        """
        if not SHORTEST_S <= duration_s <= LONGEST_S:
            raise InvalidArgument("DurationSeconds", duration_s, f"{SHORTEST_S} to {LONGEST_S}")
        for raw in policies:
            if len(raw) > SESSION_POLICY_BYTES:
                raise InvalidArgument("Policy", f"{len(raw)} bytes", f"at most {SESSION_POLICY_BYTES}")
            parse_policy(raw)
        now_us = self._clock.now_us()
        key_id = _BEGIN + base64.b32encode(self._entropy.secret(_ID_BYTES)).decode()
        secret = base64.urlsafe_b64encode(self._entropy.secret(_SECRET_BYTES)).decode()
        expires_us = now_us + duration_s * 1_000_000
        content = _Content(
            parent.lasting or parent.access_key_id,
            secret,
            now_us,
            expires_us,
            tuple(policies),
            *((role.role_id, role.name, session) if role is not None else ()),
        )
        token = base64.b64encode(self._wrap.wrap_token(_encoder.encode(content), key_id)).decode()
        return Temporary(key_id, secret, token, expires_us)

    def credential(self, access_key_id: str, token: str, now_us: int) -> Credential | Fault:
        """The secret and rights of a temporary key. Blocks for two point reads at most."""
        opened = self._opened(access_key_id, token)
        if opened is None:
            return Fault.INVALID
        content, policies = opened
        if now_us >= content.expires_us:
            return Fault.EXPIRED
        parent = self._accounts.credential(content.parent)
        if parent is None:
            return Fault.INVALID
        who = narrowed(parent.principal, policies, content.issued_us)
        if content.role_id:
            taken = self._role_of(content, who)
            if taken is None:
                return Fault.INVALID
            who = taken
        return Credential(who, access_key_id, content.secret, content.parent)

    def _role_of(self, content: _Content, who: Principal) -> Principal | None:
        """The session of a role, with the rights that the role has now; ``None``: the role is gone."""
        try:
            role = self._roles.get(content.role)
        except RoleNotFound:
            return None
        if role.role_id != content.role_id:
            return None
        policies = tuple(_compiled(raw) for raw in (*role.policies.values(), *(MANAGED[arn] for arn in role.attached)))
        session = RoleSession(role.role_id, role.name, role.path, content.session)
        return replace(who, admin=False, policies=policies, role=session)

    def _opened(self, access_key_id: str, token: str) -> tuple[_Content, tuple[Policy, ...]] | None:
        known = self._open.get((access_key_id, token))
        if known is not None:
            return known
        if len(token) > _TOKEN_MOST or not access_key_id.isascii():
            return None
        try:
            sealed = base64.b64decode(token, validate=True)
            content = _decoder.decode(self._wrap.unwrap_token(sealed, access_key_id))
        except (binascii.Error, ValueError, IndexDamaged, NewerFormat, msgspec.MsgspecError):
            return None
        opened = content, tuple(parse_policy(raw) for raw in content.policies)
        self._open[(access_key_id, token)] = opened
        if len(self._open) > _REMEMBERED:
            self._open.popitem(last=False)
        return opened


@lru_cache(maxsize=1024)
def _compiled(raw: bytes) -> Policy:
    return parse_policy(raw)


def narrowed(who: Principal, policies: tuple[Policy, ...], issued_us: int) -> Principal:
    """The user, with no more rights than the session's policies allow."""
    return replace(who, session=policies, token_us=issued_us)
