"""Users and access keys."""

from datetime import UTC, datetime
from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.core.domain.rights.identity import user_arn


class AddUser(Parameters, frozen=True):
    """A new user; with ``key`` also an access key for it."""

    name: str
    admin: bool = False
    password: str | None = None
    key: bool = False


class DisableUser(Parameters, frozen=True):
    """One user, to be refused or accepted again."""

    name: str
    disabled: bool = True


class SetPassword(Parameters, frozen=True):
    """One user's new WebDAV password; ``None`` removes it."""

    name: str
    password: str | None


class NoParameters(Parameters, frozen=True):
    """Nothing."""


class AddKey(Parameters, frozen=True):
    """A new access key, or one that is imported."""

    user: str
    access_key: str | None = None
    secret_key: str | None = None


class OfUser(Parameters, frozen=True):
    """Everybody, or one user."""

    user: str | None = None


class PutPolicy(Parameters, frozen=True):
    """One user's policy, to be set or replaced."""

    user: str
    policy: str
    document: str


class OfPolicy(Parameters, frozen=True):
    """One policy of a user."""

    user: str
    policy: str


class PolicyOwner(Parameters, frozen=True):
    """One user."""

    user: str


class AccessKeyId(Parameters, frozen=True):
    """One access key."""

    access_key: str


def timestamp(time_us: int) -> str:
    """A time as people and programs read it."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


async def add_user(target: Administered, asked: AddUser) -> object:
    """Make a user."""
    user_id = await target.store.accounts.add_user(asked.name, admin=asked.admin, password=asked.password)
    made: dict[str, object] = {"user": asked.name, "id": user_id, "admin": asked.admin}
    if asked.key:
        credential = await target.store.accounts.add_key(asked.name)
        made |= {"access_key": credential.access_key_id, "secret_key": credential.secret}
    return made


async def list_users(target: Administered, _: NoParameters) -> object:
    """All users, with how many keys each has."""
    keys = [key.user_id for _, key in await target.store.accounts.list_keys() if not key.revoked]
    return [
        {
            "user": user.name,
            "id": user_id,
            "arn": user_arn(target.store.accounts.account, user.name, user.path),
            "admin": user.admin,
            "disabled": user.disabled,
            "password": bool(user.password),
            "policies": user.policies,
            "root": user.root or None,
            "keys": keys.count(user_id),
            "created": timestamp(user.created_us),
        }
        for user_id, user in await target.store.accounts.list_users()
    ]


async def disable_user(target: Administered, asked: DisableUser) -> object:
    """Refuse or accept a user's logins."""
    await target.store.accounts.disable_user(asked.name, disabled=asked.disabled)
    return {"user": asked.name, "disabled": asked.disabled}


async def set_password(target: Administered, asked: SetPassword) -> object:
    """Set or remove a WebDAV password."""
    await target.store.accounts.set_password(asked.name, asked.password)
    return {"user": asked.name, "password": asked.password is not None}


async def put_policy(target: Administered, asked: PutPolicy) -> object:
    """Set a policy of a user."""
    await target.store.user_policies.put(asked.user, asked.policy, asked.document.encode("utf-8", "replace"))
    return {"user": asked.user, "policy": asked.policy}


async def get_policy(target: Administered, asked: OfPolicy) -> object:
    """A policy as it was put."""
    document = await target.store.user_policies.get(asked.user, asked.policy)
    return {"user": asked.user, "policy": asked.policy, "document": document.decode("utf-8", "replace")}


async def list_policies(target: Administered, asked: PolicyOwner) -> object:
    """Names of a user's policies."""
    return [{"user": asked.user, "policy": name} for name in await target.store.user_policies.names(asked.user)]


async def delete_policy(target: Administered, asked: OfPolicy) -> object:
    """Remove a policy of a user."""
    await target.store.user_policies.delete(asked.user, asked.policy)
    return {"user": asked.user, "policy": asked.policy, "deleted": True}


async def add_key(target: Administered, asked: AddKey) -> object:
    """Make or import an access key. Only the secret of one that was made is in the answer."""
    credential = await target.store.accounts.add_key(
        asked.user, access_key_id=asked.access_key, secret=asked.secret_key
    )
    pair = {"user": asked.user, "access_key": credential.access_key_id}
    return pair if asked.secret_key is not None else {**pair, "secret_key": credential.secret}


async def list_keys(target: Administered, asked: OfUser) -> object:
    """Access keys, without their secrets."""
    names = {user_id: user.name for user_id, user in await target.store.accounts.list_users()}
    return [
        {
            "access_key": key_id,
            "user": names.get(key.user_id, key.user_id),
            "revoked": key.revoked,
            "created": timestamp(key.created_us),
        }
        for key_id, key in await target.store.accounts.list_keys(asked.user)
    ]


async def revoke_key(target: Administered, asked: AccessKeyId) -> object:
    """Refuse an access key for ever."""
    await target.store.accounts.revoke_key(asked.access_key)
    return {"access_key": asked.access_key, "revoked": True}


USER_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "user.add": Operation(AddUser, add_user),
    "user.list": Operation(NoParameters, list_users),
    "user.disable": Operation(DisableUser, disable_user),
    "user.password": Operation(SetPassword, set_password),
    "user.policy.put": Operation(PutPolicy, put_policy),
    "user.policy.get": Operation(OfPolicy, get_policy),
    "user.policy.list": Operation(PolicyOwner, list_policies),
    "user.policy.delete": Operation(OfPolicy, delete_policy),
    "key.add": Operation(AddKey, add_key),
    "key.list": Operation(OfUser, list_keys),
    "key.revoke": Operation(AccessKeyId, revoke_key),
}
