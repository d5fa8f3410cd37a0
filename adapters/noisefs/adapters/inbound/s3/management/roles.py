"""IAM: roles, who may take them on, and their policies."""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from noisefs.adapters.inbound.s3.management.forms import Form
from noisefs.adapters.inbound.s3.management.iam import attached_xml
from noisefs.adapters.inbound.s3.management.permits import permit
from noisefs.adapters.inbound.s3.xml.documents import element, flag, optional
from noisefs.adapters.inbound.s3.xml.text import iso_time
from noisefs.core.domain.rights.role import SHORTEST_S, Role, role_arn
from noisefs.core.errors import RoleNotFound
from noisefs.core.services.roles import Roles

_PAGE_MOST: Final = 1000


class RoleActions:
    """Answers IAM's actions on roles. Task-safe."""

    def __init__(self, *, roles: Roles) -> None:
        self._roles = roles
        self.actions: dict[str, Callable[[Form], Awaitable[str | None]]] = {
            "CreateRole": self.create,
            "GetRole": self.get,
            "ListRoles": self.list_roles,
            "DeleteRole": self.delete,
            "UpdateRole": self.update,
            "UpdateAssumeRolePolicy": self.update_trust,
            "PutRolePolicy": self.put_policy,
            "GetRolePolicy": self.get_policy,
            "ListRolePolicies": self.list_policies,
            "DeleteRolePolicy": self.delete_policy,
            "AttachRolePolicy": self.attach_policy,
            "DetachRolePolicy": self.detach_policy,
            "ListAttachedRolePolicies": self.list_attached,
            "ListInstanceProfilesForRole": self.list_profiles,
            "TagRole": self.tag,
            "UntagRole": self.untag,
            "ListRoleTags": self.list_tags,
        }
        """By name: each gives the XML of its result, or nothing."""

    async def create(self, form: Form) -> str | None:
        """Make a role."""
        form.only("RoleName", "Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration", "Tags.member.")
        name, path = form.need("RoleName"), form.get("Path", "/")
        permit(form, "iam:CreateRole", (role_arn(self._roles.account, path, name),))
        role = await self._roles.create(
            name,
            form.document("AssumeRolePolicyDocument"),
            path=path,
            description=form.get("Description"),
            max_session_s=form.number("MaxSessionDuration", SHORTEST_S),
            tags=form.members("Tags"),
        )
        return self._element(role)

    async def get(self, form: Form) -> str | None:
        """A role."""
        form.only("RoleName")
        return self._element(self._about(form, "iam:GetRole"))

    async def list_roles(self, form: Form) -> str | None:
        """All roles below a path, page by page, by name."""
        form.only("PathPrefix", "Marker", "MaxItems")
        permit(form, "iam:ListRoles")
        most = min(max(form.number("MaxItems", 100), 1), _PAGE_MOST)
        roles = await self._roles.list(form.get("PathPrefix", "/"))
        rest = [role for role in roles if role.name.lower() > form.get("Marker").lower()]
        members = "".join(self._element(role, "member", whole=False) for role in rest[:most])
        more = len(rest) > most
        marker = element("Marker", rest[most - 1].name) if more else ""
        return f"<Roles>{members}</Roles>{flag('IsTruncated', value=more)}{marker}"

    async def delete(self, form: Form) -> str | None:
        """Remove a role that has no policies."""
        form.only("RoleName")
        await self._roles.delete(self._about(form, "iam:DeleteRole").name)
        return None

    async def update(self, form: Form) -> str | None:
        """Change its description and longest session."""
        form.only("RoleName", "Description", "MaxSessionDuration")
        role = self._about(form, "iam:UpdateRole")
        longest = form.number("MaxSessionDuration", role.max_session_s)
        await self._roles.update(role.name, description=form.fields.get("Description"), max_session_s=longest)
        return ""

    async def update_trust(self, form: Form) -> str | None:
        """Say anew who may take it on."""
        form.only("RoleName", "PolicyDocument")
        role = self._about(form, "iam:UpdateAssumeRolePolicy")
        await self._roles.set_trust(role.name, form.document("PolicyDocument"))
        return None

    async def put_policy(self, form: Form) -> str | None:
        """Set a policy of a role."""
        form.only("RoleName", "PolicyName", "PolicyDocument")
        role = self._about(form, "iam:PutRolePolicy")
        await self._roles.put_policy(role.name, form.need("PolicyName"), form.document("PolicyDocument"))
        return None

    async def get_policy(self, form: Form) -> str | None:
        """A policy of a role, percent-encoded as IAM gives it."""
        form.only("RoleName", "PolicyName")
        role, name = self._about(form, "iam:GetRolePolicy"), form.need("PolicyName")
        shown = _quoted(self._roles.policy(role.name, name))
        return f"{element('RoleName', role.name)}{element('PolicyName', name)}{element('PolicyDocument', shown)}"

    async def list_policies(self, form: Form) -> str | None:
        """Names of its policies."""
        form.only("RoleName", "MaxItems")
        role = self._about(form, "iam:ListRolePolicies")
        members = "".join(element("member", name) for name in sorted(role.policies))
        return f"<PolicyNames>{members}</PolicyNames><IsTruncated>false</IsTruncated>"

    async def delete_policy(self, form: Form) -> str | None:
        """Remove a policy of a role."""
        form.only("RoleName", "PolicyName")
        role = self._about(form, "iam:DeleteRolePolicy")
        await self._roles.delete_policy(role.name, form.need("PolicyName"))
        return None

    async def attach_policy(self, form: Form) -> str | None:
        """Give a managed policy to a role."""
        form.only("RoleName", "PolicyArn")
        await self._roles.attach(self._about(form, "iam:AttachRolePolicy").name, form.need("PolicyArn"))
        return None

    async def detach_policy(self, form: Form) -> str | None:
        """Take a managed policy from a role."""
        form.only("RoleName", "PolicyArn")
        await self._roles.detach(self._about(form, "iam:DetachRolePolicy").name, form.need("PolicyArn"))
        return None

    async def list_attached(self, form: Form) -> str | None:
        """Managed policies of a role."""
        form.only("RoleName", "PathPrefix", "MaxItems")
        return attached_xml(self._about(form, "iam:ListAttachedRolePolicies").attached)

    async def list_profiles(self, form: Form) -> str | None:
        """There are no instance profiles: tools ask before they remove a role."""
        form.only("RoleName", "MaxItems")
        self._about(form, "iam:ListInstanceProfilesForRole")
        return "<InstanceProfiles/><IsTruncated>false</IsTruncated>"

    async def tag(self, form: Form) -> str | None:
        """Set tags."""
        form.only("RoleName", "Tags.member.")
        await self._roles.tag(self._about(form, "iam:TagRole").name, form.members("Tags"))
        return None

    async def untag(self, form: Form) -> str | None:
        """Remove tags."""
        form.only("RoleName", "TagKeys.member.")
        await self._roles.tag(self._about(form, "iam:UntagRole").name, {}, form.members("TagKeys"))
        return None

    async def list_tags(self, form: Form) -> str | None:
        """Its tags."""
        form.only("RoleName", "MaxItems")
        return f"{_tags(self._about(form, 'iam:ListRoleTags'))}<IsTruncated>false</IsTruncated>"

    def _about(self, form: Form, action: str) -> Role:
        """The role that a form is about, if its sender may do this to it."""
        name = form.need("RoleName")
        try:
            role = self._roles.get(name)
        except RoleNotFound:
            permit(form, action, (role_arn(self._roles.account, "/", name),))
            raise
        permit(form, action, (role_arn(self._roles.account, role.path, role.name),))
        return role

    def _element(self, role: Role, name: str = "Role", *, whole: bool = True) -> str:
        """A role as IAM shows it. ``whole``: with its tags, which listings leave out."""
        return (
            f"<{name}>{element('Path', role.path)}{element('RoleName', role.name)}{element('RoleId', role.role_id)}"
            f"{element('Arn', role_arn(self._roles.account, role.path, role.name))}"
            f"{element('CreateDate', iso_time(role.created_us))}"
            f"{element('AssumeRolePolicyDocument', _quoted(role.trust))}{optional('Description', role.description)}"
            f"{element('MaxSessionDuration', str(role.max_session_s))}{_tags(role) if whole and role.tags else ''}"
            f"</{name}>"
        )


def _tags(role: Role) -> str:
    pairs = (f"<member>{element('Key', key)}{element('Value', value)}</member>" for key, value in role.tags.items())
    return f"<Tags>{''.join(pairs)}</Tags>"


def _quoted(document: bytes) -> str:
    return quote(document.decode("utf-8", "replace"), safe="")
