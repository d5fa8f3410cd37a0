"""Roles: made and changed by whoever administers, taken on by whom their trust policy lets (:mod:`.tokens`).

A change is in force with the next request.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from noisefs.core.domain.buckets.durability import HIGHEST
from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.records import decode, encode
from noisefs.core.domain.rights.identity import PATH, PATH_ALLOWED
from noisefs.core.domain.rights.managed import MANAGED
from noisefs.core.domain.rights.policy import IDENTITY_POLICY_BYTES, TRUST, Policy, parse_policy
from noisefs.core.domain.rights.role import LONGEST_S, PREFIX, SHORTEST_S, Role, role_key
from noisefs.core.errors import Conflict, InvalidArgument, RoleExists, RoleNotFound, RolePolicyNotFound, TooMany
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.rights.named import check_principals, who_names

ROLES_MOST: Final = 1000
POLICIES_MOST: Final = 20
"""Policies of one role, attached ones among them."""
TAGS_MOST: Final = 50
_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_POLICY_NAME: Final = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_DESCRIPTION_MOST: Final = 1000
_TRUST_BYTES: Final = 4096
_ID_BYTES: Final = 10
_BEGIN: Final = "AROA"
"""What role ids begin with, as AWS's."""


class Roles:
    """Operations on roles. Task-safe. All but ``create`` and ``list`` raise ``RoleNotFound``."""

    def __init__(
        self, *, index: Index, commits: CommitQueue, workers: Workers, clock: Clock, entropy: Entropy, account: str
    ) -> None:
        """``account``: the store's."""
        self.account = account
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._entropy = entropy

    async def create(
        self,
        name: str,
        trust: bytes,
        *,
        path: str = "/",
        description: str = "",
        max_session_s: int = SHORTEST_S,
        tags: Mapping[str, str] | None = None,
    ) -> Role:
        """Make a role.

        Raises:
            RoleExists: The name is taken, in whatever case.
            InvalidPolicy: The trust policy says something that cannot be honoured exactly.
            InvalidArgument: A value is not allowed.
            TooMany: There is the maximum number of roles.
        """
        if _NAME.fullmatch(name) is None:
            raise InvalidArgument("RoleName", name[:100], "1 to 64 characters of A-Z a-z 0-9 _ + = , . @ -")
        if PATH.fullmatch(path) is None:
            raise InvalidArgument("Path", path[:100], PATH_ALLOWED)
        role_id = _BEGIN + base64.b32encode(self._entropy.secret(_ID_BYTES)).decode()
        role = Role(role_id, name, path, self._clock.now_us(), trust, description, max_session_s, tags=dict(tags or {}))
        policy = await self._checked(role)

        def make(tx: Writing) -> Role:
            if tx.get(Table.META, role_key(name)) is not None:
                raise RoleExists(name)
            if len(tx.scan(Table.META, PREFIX, prefix_end(PREFIX), ROLES_MOST)) >= ROLES_MOST:
                raise TooMany(f"there are {ROLES_MOST} roles, which is the maximum")
            check_principals(tx, self.account, policy)
            _put(tx, role)
            return role

        return await self._commits.run(make)

    def get(self, name: str) -> Role:
        """A role, by its name in whatever case. Cost: one get."""
        return self._index.read(lambda tx: _found(tx, name))

    async def list(self, path: str = "/") -> list[Role]:
        """All roles below a path, by name."""
        rows = self._index.read(lambda tx: tx.scan(Table.META, PREFIX, prefix_end(PREFIX), ROLES_MOST))
        found = [decode(Role, raw) for _, raw in rows]
        return [role for role in found if role.path.startswith(path)]

    async def delete(self, name: str) -> None:
        """Remove a role; its sessions are worth nothing from then on.

        Raises:
            Conflict: It has policies, or a policy names it.
        """

        asked = self.get(name).name
        look = self._index.read
        naming = await self._workers.run(Lane.DISK, look, lambda tx: who_names(tx, self.account, role=asked))
        if naming:
            raise Conflict(f"{naming} names role {asked!r}: change it first")

        def remove(tx: Writing) -> None:
            role = _found(tx, name)
            if role.policies or role.attached:
                raise Conflict("Cannot delete entity, must delete policies first.")
            tx.demand(HIGHEST)
            tx.delete(Table.META, role_key(name))

        await self._commits.run(remove)

    async def update(self, name: str, *, description: str | None = None, max_session_s: int | None = None) -> None:
        """Change what is given. Raises ``InvalidArgument``."""

        def changed(role: Role) -> Role:
            new = role if description is None else msgspec.structs.replace(role, description=description)
            return new if max_session_s is None else msgspec.structs.replace(new, max_session_s=max_session_s)

        await self._change(name, changed)

    async def set_trust(self, name: str, trust: bytes) -> None:
        """Say anew who may take it on. Raises ``InvalidPolicy``."""
        policy = await self._checked(msgspec.structs.replace(self.get(name), trust=trust))

        def put(tx: Writing) -> None:
            check_principals(tx, self.account, policy)
            _put(tx, msgspec.structs.replace(_found(tx, name), trust=trust))

        await self._commits.run(put)

    async def put_policy(self, name: str, policy: str, raw: bytes) -> None:
        """Set a policy of it, or replace the one of this name.

        Raises:
            InvalidPolicy: It says something that cannot be honoured exactly.
            InvalidArgument: The name is not allowed.
            TooMany: The policies are too many, or together too long.
        """
        if _POLICY_NAME.fullmatch(policy) is None:
            raise InvalidArgument("PolicyName", policy[:200], "1 to 128 characters of A-Z a-z 0-9 _ + = , . @ -")
        self.get(name)
        await self._workers.run(Lane.CPU, parse_policy, raw)
        await self._change(name, lambda role: msgspec.structs.replace(role, policies={**role.policies, policy: raw}))

    def policy(self, name: str, policy: str) -> bytes:
        """A policy exactly as it was put. Raises ``RolePolicyNotFound``."""
        return _policy_of(self.get(name), policy)

    async def delete_policy(self, name: str, policy: str) -> None:
        """Remove a policy. Raises ``RolePolicyNotFound``."""

        def changed(role: Role) -> Role:
            _policy_of(role, policy)
            return msgspec.structs.replace(
                role, policies={one: raw for one, raw in role.policies.items() if one != policy}
            )

        await self._change(name, changed)

    async def attach(self, name: str, arn: str) -> None:
        """Give it a managed policy. Raises ``RolePolicyNotFound``: there is none of this ARN."""

        def changed(role: Role) -> Role:
            if arn not in MANAGED:
                raise RolePolicyNotFound(name, arn)
            return msgspec.structs.replace(role, attached=tuple(sorted({*role.attached, arn})))

        await self._change(name, changed)

    async def detach(self, name: str, arn: str) -> None:
        """Take a managed policy from it. Raises ``RolePolicyNotFound``."""

        def changed(role: Role) -> Role:
            if arn not in role.attached:
                raise RolePolicyNotFound(name, arn)
            return msgspec.structs.replace(role, attached=tuple(one for one in role.attached if one != arn))

        await self._change(name, changed)

    async def tag(self, name: str, tags: Mapping[str, str], gone: Mapping[str, str] | None = None) -> None:
        """Set tags, and remove those named in ``gone``. Raises ``InvalidArgument``."""

        def changed(role: Role) -> Role:
            kept = {key: value for key, value in role.tags.items() if key not in (gone or {})}
            return msgspec.structs.replace(role, tags={**kept, **tags})

        await self._change(name, changed)

    async def _checked(self, role: Role) -> Policy:
        """The role's trust policy, if its values are allowed."""
        _check(role)
        return await self._workers.run(Lane.CPU, lambda: parse_policy(role.trust, bucket=TRUST))

    async def _change(self, name: str, changed: Callable[[Role], Role]) -> None:
        def change(tx: Writing) -> None:
            new = changed(_found(tx, name))
            _check(new)
            _put(tx, new)

        await self._commits.run(change)


def _check(role: Role) -> None:
    if not SHORTEST_S <= role.max_session_s <= LONGEST_S:
        raise InvalidArgument("MaxSessionDuration", role.max_session_s, f"{SHORTEST_S} to {LONGEST_S}")
    if len(role.description) > _DESCRIPTION_MOST:
        raise InvalidArgument("Description", role.description[:50], f"at most {_DESCRIPTION_MOST} characters")
    if len(role.trust) > _TRUST_BYTES:
        raise InvalidArgument("AssumeRolePolicyDocument", f"{len(role.trust)} bytes", f"at most {_TRUST_BYTES}")
    if len(role.policies) + len(role.attached) > POLICIES_MOST:
        raise TooMany(f"role {role.name!r} has {POLICIES_MOST} policies, which is the maximum")
    if sum(map(len, role.policies.values())) > IDENTITY_POLICY_BYTES:
        raise TooMany(f"Maximum policy size of {IDENTITY_POLICY_BYTES} bytes exceeded for role {role.name}")
    if len(role.tags) > TAGS_MOST:
        raise TooMany(f"role {role.name!r} has {TAGS_MOST} tags, which is the maximum")
    for key, value in role.tags.items():
        if not 0 < len(key) <= 128 or len(value) > 256:
            raise InvalidArgument("Tags", key[:128], "keys of 1 to 128 characters, values of up to 256")


def _policy_of(role: Role, policy: str) -> bytes:
    if policy not in role.policies:
        raise RolePolicyNotFound(role.name, policy)
    return role.policies[policy]


def _found(tx: Reading, name: str) -> Role:
    raw = tx.get(Table.META, role_key(name))
    if raw is None:
        raise RoleNotFound(name)
    return decode(Role, raw)


def _put(tx: Writing, role: Role) -> None:
    tx.demand(HIGHEST)
    tx.put(Table.META, role_key(role.name), encode(role))
