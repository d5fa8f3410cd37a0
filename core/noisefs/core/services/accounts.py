"""Users and access keys, and who somebody is."""

from dataclasses import dataclass

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import AccessKey, User
from noisefs.core.domain.requests import Principal


@dataclass(frozen=True, slots=True)
class Credential:
    """A usable access key: what SigV4 needs to check a signature. Never logged."""

    principal: Principal
    access_key_id: str
    secret: str


class Accounts:
    """Account operations. Task-safe. ``principal_*`` and ``credential`` are quick: they are asked once a request."""

    async def add_user(self, name: str, *, admin: bool = False, password: str | None = None) -> UserId:
        """Make a user. Raises ``UserExists``, ``InvalidArgument``."""
        raise NotImplementedError

    async def set_password(self, name: str, password: str | None) -> None:
        """Set or remove the WebDAV password."""
        raise NotImplementedError

    async def list_users(self) -> list[tuple[UserId, User]]:
        """All users by name."""
        raise NotImplementedError

    async def disable_user(self, name: str, *, disabled: bool = True) -> None:
        """Refuse (or accept again) every login of this user within a second."""
        raise NotImplementedError

    async def add_key(self, user: str, *, access_key_id: str | None = None, secret: str | None = None) -> Credential:
        """Make or import a pair. Importing the same pair again changes nothing; another secret is ``AccessKeyExists``.

        Access key ids: 3 to 128 characters of ``A-Z a-z 0-9 _ . - + @``; secrets: 8 to 256 printable characters.
        """
        raise NotImplementedError

    async def list_keys(self, user: str | None = None) -> list[tuple[str, AccessKey]]:
        """Access keys (of one user)."""
        raise NotImplementedError

    async def revoke_key(self, access_key_id: str) -> None:
        """Refuse this key within a second."""
        raise NotImplementedError

    def credential(self, access_key_id: str) -> Credential | None:
        """The key's secret and user, if both are active. Blocks for one point read at most; cached up to 1 s."""
        raise NotImplementedError

    async def principal_of_password(self, login: str, password: str) -> Principal | None:
        """Who this is, by access key and secret or by user name and password. Verified pairs are remembered (keyed by
        the user row's revision, checked at least once a second), so that the slow hash is paid once.
        """
        raise NotImplementedError
