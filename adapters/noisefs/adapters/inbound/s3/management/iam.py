"""IAM: users, their access keys and their policies. Administrators may; others where a policy of theirs lets them."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final
from urllib.parse import quote

from noisefs.adapters.inbound.s3.management.forms import Form
from noisefs.adapters.inbound.s3.management.permits import permit
from noisefs.adapters.inbound.s3.xml.documents import element, flag, optional
from noisefs.adapters.inbound.s3.xml.text import iso_time
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import User
from noisefs.core.domain.rights.identity import canonical_id, user_arn
from noisefs.core.domain.rights.managed import name_of
from noisefs.core.errors import InvalidArgument, UserNotFound
from noisefs.core.services.accounts import Accounts
from noisefs.core.services.identities import Identities
from noisefs.core.services.user_policies import UserPolicies

_PAGE_MOST: Final = 1000
_STATES: Final = {"Active": True, "Inactive": False}


class Iam:
    """Answers IAM's actions. Task-safe."""

    def __init__(self, *, accounts: Accounts, identities: Identities, policies: UserPolicies) -> None:
        self._accounts = accounts
        self._identities = identities
        self._policies = policies
        self.actions: dict[str, Callable[[Form], Awaitable[str | None]]] = {
            "CreateUser": self.create_user,
            "GetUser": self.get_user,
            "ListUsers": self.list_users,
            "UpdateUser": self.update_user,
            "DeleteUser": self.delete_user,
            "CreateAccessKey": self.create_key,
            "ListAccessKeys": self.list_keys,
            "DeleteAccessKey": self.delete_key,
            "UpdateAccessKey": self.update_key,
            "PutUserPolicy": self.put_policy,
            "GetUserPolicy": self.get_policy,
            "ListUserPolicies": self.list_policies,
            "DeleteUserPolicy": self.delete_policy,
            "AttachUserPolicy": self.attach_policy,
            "DetachUserPolicy": self.detach_policy,
            "ListAttachedUserPolicies": self.list_attached,
            "ListGroupsForUser": self.list_groups,
        }
        """By name: each gives the XML of its result, or nothing."""

    async def create_user(self, form: Form) -> str | None:
        """Make a user, who is no administrator."""
        form.only("UserName", "Path")
        name, path = form.need("UserName"), form.get("Path", "/")
        self._permit(form, "iam:CreateUser", path, name)
        await self._accounts.add_user(name, path=path)
        return element_of(*self._identities.find(name), self._accounts.account)

    async def get_user(self, form: Form) -> str | None:
        """A user; by default whoever asks."""
        form.only("UserName")
        user_id, user = self._about(form, "iam:GetUser")
        return element_of(user_id, user, self._accounts.account)

    async def list_users(self, form: Form) -> str | None:
        """All users, page by page, by name."""
        form.only("PathPrefix", "Marker", "MaxItems")
        permit(form, "iam:ListUsers")
        most = min(max(form.number("MaxItems", 100), 1), _PAGE_MOST)
        begin, after = form.get("PathPrefix", "/"), form.get("Marker")
        users = sorted(await self._accounts.list_users(), key=lambda one: _order(one[1].name))
        rest = [
            (user_id, user)
            for user_id, user in users
            if user.path.startswith(begin) and (not after or _order(user.name) > _order(after))
        ]
        members = "".join(
            element_of(user_id, user, self._accounts.account, name="member") for user_id, user in rest[:most]
        )
        more = len(rest) > most
        marker = element("Marker", rest[most - 1][1].name) if more else ""
        return f"<Users>{members}</Users>{flag('IsTruncated', value=more)}{marker}"

    async def update_user(self, form: Form) -> str | None:
        """Give a user another name or path."""
        form.only("UserName", "NewUserName", "NewPath")
        form.need("UserName")
        _, user = self._about(form, "iam:UpdateUser")
        name, path = form.get("NewUserName", user.name), form.get("NewPath", user.path)
        self._permit(form, "iam:UpdateUser", path, name)
        await self._identities.update_user(user.name, name=name, path=path)
        return None

    async def delete_user(self, form: Form) -> str | None:
        """Remove a user that owns nothing."""
        form.only("UserName")
        form.need("UserName")
        _, user = self._about(form, "iam:DeleteUser")
        await self._identities.delete_user(user.name)
        return None

    async def create_key(self, form: Form) -> str | None:
        """Make an access key and show its secret, once."""
        form.only("UserName")
        _, user = self._about(form, "iam:CreateAccessKey")
        made = await self._accounts.add_key(user.name)
        keys = dict(await self._identities.keys(user.name))
        created = optional("CreateDate", iso_time(keys[made.access_key_id].created_us))
        return (
            f"<AccessKey>{element('UserName', user.name)}{element('AccessKeyId', made.access_key_id)}"
            f"{element('Status', 'Active')}{element('SecretAccessKey', made.secret)}{created}</AccessKey>"
        )

    async def list_keys(self, form: Form) -> str | None:
        """A user's access keys, without their secrets."""
        form.only("UserName", "MaxItems")
        _, user = self._about(form, "iam:ListAccessKeys")
        members = "".join(
            f"<member>{element('UserName', user.name)}{element('AccessKeyId', key_id)}"
            f"{element('Status', 'Inactive' if key.inactive else 'Active')}"
            f"{element('CreateDate', iso_time(key.created_us))}</member>"
            for key_id, key in await self._identities.keys(user.name)
        )
        return f"<AccessKeyMetadata>{members}</AccessKeyMetadata><IsTruncated>false</IsTruncated>"

    async def delete_key(self, form: Form) -> str | None:
        """Remove an access key."""
        form.only("UserName", "AccessKeyId")
        _, user = self._about(form, "iam:DeleteAccessKey")
        await self._identities.delete_key(user.name, form.need("AccessKeyId"))
        return None

    async def update_key(self, form: Form) -> str | None:
        """Refuse an access key for a while, or accept it again."""
        form.only("UserName", "AccessKeyId", "Status")
        status = form.need("Status")
        if status not in _STATES:
            raise InvalidArgument("Status", status[:100], "Active or Inactive")
        _, user = self._about(form, "iam:UpdateAccessKey")
        await self._identities.set_active(user.name, form.need("AccessKeyId"), active=_STATES[status])
        return None

    async def put_policy(self, form: Form) -> str | None:
        """Set a policy of a user."""
        form.only("UserName", "PolicyName", "PolicyDocument")
        form.need("UserName")
        _, user = self._about(form, "iam:PutUserPolicy")
        await self._policies.put(user.name, form.need("PolicyName"), form.document("PolicyDocument"))
        return None

    async def get_policy(self, form: Form) -> str | None:
        """A policy of a user, percent-encoded as IAM gives it."""
        form.only("UserName", "PolicyName")
        form.need("UserName")
        _, user = self._about(form, "iam:GetUserPolicy")
        name = form.need("PolicyName")
        document = await self._policies.get(user.name, name)
        shown = quote(document.decode("utf-8", "replace"), safe="")
        return f"{element('UserName', user.name)}{element('PolicyName', name)}{element('PolicyDocument', shown)}"

    async def list_policies(self, form: Form) -> str | None:
        """Names of a user's policies."""
        form.only("UserName", "MaxItems")
        form.need("UserName")
        _, user = self._about(form, "iam:ListUserPolicies")
        members = "".join(element("member", name) for name in await self._policies.names(user.name))
        return f"<PolicyNames>{members}</PolicyNames><IsTruncated>false</IsTruncated>"

    async def delete_policy(self, form: Form) -> str | None:
        """Remove a policy of a user."""
        form.only("UserName", "PolicyName")
        form.need("UserName")
        _, user = self._about(form, "iam:DeleteUserPolicy")
        await self._policies.delete(user.name, form.need("PolicyName"))
        return None

    async def attach_policy(self, form: Form) -> str | None:
        """Give a managed policy to a user."""
        await self._policies.attach(*self._attached(form, "iam:AttachUserPolicy"))
        return None

    async def detach_policy(self, form: Form) -> str | None:
        """Take a managed policy from a user."""
        await self._policies.delete(*self._attached(form, "iam:DetachUserPolicy"))
        return None

    async def list_attached(self, form: Form) -> str | None:
        """Managed policies of a user."""
        form.only("UserName", "PathPrefix", "MaxItems")
        _, user = self._about(form, "iam:ListAttachedUserPolicies")
        return attached_xml(await self._policies.attached(user.name))

    async def list_groups(self, form: Form) -> str | None:
        """There are no groups: tools ask before they remove a user."""
        form.only("UserName", "MaxItems")
        self._about(form, "iam:ListGroupsForUser")
        return "<Groups/><IsTruncated>false</IsTruncated>"

    def _attached(self, form: Form, action: str) -> tuple[str, str]:
        form.only("UserName", "PolicyArn")
        form.need("UserName")
        _, user = self._about(form, action)
        arn = form.need("PolicyArn")
        if ":" not in arn:
            raise InvalidArgument("PolicyArn", arn[:200], "an ARN")
        return user.name, arn

    def _about(self, form: Form, action: str) -> tuple[UserId, User]:
        """The user that a form is about, if its sender may do this to it."""
        who = form.by.principal
        if who.role is not None and not form.get("UserName"):
            raise InvalidArgument("UserName", None, "Must specify userName when calling with non-User credentials")
        asked = form.get("UserName") or who.name
        try:
            user_id, user = self._identities.find(asked)
        except UserNotFound:
            self._permit(form, action, "/", asked)
            raise
        self._permit(form, action, user.path, *{asked, user.name, canonical_id(user_id)})
        return user_id, user

    def _permit(self, form: Form, action: str, path: str, *names: str) -> None:
        """Refuse whoever may not do this to a user, under any of the names it has. Raises ``AccessDenied``."""
        accounts = (self._accounts.account, "")
        permit(form, action, {user_arn(account, name, path) for account in accounts for name in names})


def _order(name: str) -> tuple[str, str]:
    """IAM lists names whatever their case."""
    return name.lower(), name


def attached_xml(arns: Iterable[str]) -> str:
    """Managed policies as IAM lists them."""
    members = "".join(
        f"<member>{element('PolicyName', name_of(arn))}{element('PolicyArn', arn)}</member>" for arn in arns
    )
    return f"<AttachedPolicies>{members}</AttachedPolicies><IsTruncated>false</IsTruncated>"


def element_of(user_id: UserId, user: User, account: str, *, name: str = "User") -> str:
    """A user as IAM shows it."""
    return (
        f"<{name}>{element('Path', user.path)}{element('UserName', user.name)}{element('UserId', user_id)}"
        f"{element('Arn', user_arn(account, user.name, user.path))}"
        f"{optional('CreateDate', iso_time(user.created_us))}</{name}>"
    )
