"""Passwords of devices."""

from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.adapters.inbound.admin.operations.roots import checked_root
from noisefs.adapters.inbound.admin.operations.users import OfUser, timestamp


class AddAppPassword(Parameters, frozen=True):
    """A new password of a user's device; ``only``: what it reaches."""

    user: str
    name: str
    read_only: bool = False
    only: str | None = None


class AppPasswordName(Parameters, frozen=True):
    """One password of a user."""

    user: str
    name: str


async def add_app_password(target: Administered, asked: AddAppPassword) -> object:
    """Make a password. It is in this answer, and never again."""
    root = "" if asked.only is None else "/".join(filter(None, await checked_root(target.store, asked.only)))
    password = await target.store.accounts.app_passwords.add(
        asked.user, asked.name, read_only=asked.read_only, root=root
    )
    return {"user": asked.user, "name": asked.name, "password": password, **_scope(root, read_only=asked.read_only)}


async def list_app_passwords(target: Administered, asked: OfUser) -> object:
    """Passwords of everybody, or of one user, without what they are."""
    users = (
        [asked.user] if asked.user is not None else [row.name for _, row in await target.store.accounts.list_users()]
    )
    return [
        {
            "user": user,
            "name": row.name,
            **_scope(row.root, read_only=row.read_only),
            "created": timestamp(row.created_us),
            "last_used": timestamp(row.used_us) if row.used_us else None,
        }
        for user in users
        for row in await target.store.accounts.app_passwords.list(user)
    ]


async def revoke_app_password(target: Administered, asked: AppPasswordName) -> object:
    """Refuse a password for ever."""
    await target.store.accounts.app_passwords.revoke(asked.user, asked.name)
    return {"user": asked.user, "name": asked.name, "revoked": True}


def _scope(root: str, *, read_only: bool) -> dict[str, object]:
    return {"read_only": read_only, "only": root or None}


APP_PASSWORD_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "app-password.add": Operation(AddAppPassword, add_app_password),
    "app-password.list": Operation(OfUser, list_app_passwords),
    "app-password.revoke": Operation(AppPasswordName, revoke_app_password),
}
