"""Users, keys and buckets that the configuration declares: there after every start, however often it is applied."""

import logging

from pydantic import SecretStr

from noisefs.adapters.inbound.admin.operations.roots import checked_root
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import BucketExists, BucketNotFound, ConfigError, InvalidArgument, UserExists
from noisefs.core.services.store import Store
from noisefs.gateway.config.schema import Config, KeyDeclaration, UserDeclaration
from noisefs.gateway.making import FIRST_USER
from noisefs.gateway.rootkey import first_line

log = logging.getLogger(__name__)


async def apply(store: Store, config: Config) -> None:
    """Make what is declared and not there yet. Nothing is ever removed.

    Raises:
        ConfigError: A declaration contradicts what is there.
        AccessKeyExists: A declared key belongs to another user or has another secret.
    """
    if config.admin_access_key is not None and config.admin_secret_key is not None:
        await _ensure_user(store, UserDeclaration(name=FIRST_USER, admin=True))
        await store.accounts.add_key(
            FIRST_USER, access_key_id=config.admin_access_key, secret=config.admin_secret_key.get_secret_value()
        )
    for user in config.users:
        await _ensure_user(store, user)
    for bucket in config.buckets:
        owner = await store.accounts.principal_of_name(bucket.owner)
        try:
            await store.buckets.create(owner, bucket.name, durability=bucket.durability)
            log.info("bucket.declared", extra={"bucket": bucket.name, "owner": bucket.owner})
        except BucketExists:
            operator = Principal(owner.user_id, owner.name, admin=True, trusted=True)
            row = await store.buckets.get(operator, bucket.name)
            if row.owner != owner.user_id:
                raise ConfigError(f"buckets: {bucket.name}", bucket.owner, "the bucket has another owner") from None
            if bucket.durability not in (None, row.durability):
                await store.buckets.set_durability(operator, bucket.name, bucket.durability)
                log.info("bucket.class_declared", extra={"bucket": bucket.name, "durability": bucket.durability})
        if bucket.quota_bytes is not None or bucket.quota_objects is not None:
            await store.quotas.set_bucket(
                Principal(owner.user_id, owner.name, admin=True, trusted=True),
                bucket.name,
                max_bytes=bucket.quota_bytes,
                max_objects=bucket.quota_objects,
            )
    for user in config.users:
        if user.root is not None:
            await _ensure_root(store, user.name, user.root)


async def _ensure_user(store: Store, user: UserDeclaration) -> None:
    try:
        await store.accounts.add_user(user.name, admin=user.admin, password=_reveal(user.password))
        log.info("user.declared", extra={"user": user.name})
    except UserExists:
        who = await store.accounts.principal_of_name(user.name)
        if who.admin != user.admin:
            message = f"the user exists and {'is' if who.admin else 'is no'} administrator"
            raise ConfigError(f"users: {user.name}: admin", user.admin, message) from None
        password = _reveal(user.password)
        if password is not None and await store.accounts.principal_of_password(user.name, password) is None:
            await store.accounts.set_password(user.name, password)
    if user.quota_bytes is not None or user.quota_objects is not None:
        who = await store.accounts.principal_of_name(user.name)
        operator = Principal(who.user_id, who.name, admin=True, trusted=True)
        await store.quotas.set_user(operator, user.name, max_bytes=user.quota_bytes, max_objects=user.quota_objects)
    for key in user.keys:
        await store.accounts.add_key(user.name, access_key_id=key.access_key, secret=_secret_of(key))


async def _ensure_root(store: Store, name: str, root: str) -> None:
    try:
        bucket, prefix = await checked_root(store, root) if root else ("", "")
    except (InvalidArgument, BucketNotFound) as exc:
        raise ConfigError(f"users: {name}: root", root, str(exc)) from exc
    if store.identities.find(name)[1].root != f"{bucket}/{prefix}".rstrip("/"):
        await store.accounts.set_root(name, bucket, prefix)


def _secret_of(key: KeyDeclaration) -> str:
    if key.secret_key_file is not None:
        return first_line(f"secret_key_file of {key.access_key}", key.secret_key_file)
    assert key.secret_key is not None
    return key.secret_key.get_secret_value()


def _reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
