"""IAM's calls about the store as an account, and lists of what there is none of here."""

from collections.abc import Awaitable, Callable

from noisefs.adapters.inbound.s3.management.forms import Form
from noisefs.adapters.inbound.s3.management.permits import permit
from noisefs.adapters.inbound.s3.xml.documents import element
from noisefs.core.services.accounts import Accounts
from noisefs.core.services.roles import ROLES_MOST, Roles
from noisefs.core.services.user_policies import POLICIES_MOST


class Summary:
    """Answers them. Task-safe."""

    def __init__(self, *, accounts: Accounts, roles: Roles) -> None:
        self._accounts = accounts
        self._roles = roles
        self.actions: dict[str, Callable[[Form], Awaitable[str | None]]] = {
            "GetAccountSummary": self.summary,
            "ListGroups": self.list_groups,
            "ListOpenIDConnectProviders": self.list_providers,
        }
        """By name: each gives the XML of its result."""

    async def summary(self, form: Form) -> str | None:
        """How many there are of what."""
        form.only()
        permit(form, "iam:GetAccountSummary")
        found = {
            "AccountMFAEnabled": 0,
            "Groups": 0,
            "MFADevices": 0,
            "Policies": 0,
            "Roles": len(await self._roles.list()),
            "RolesQuota": ROLES_MOST,
            "UserPolicyQuota": POLICIES_MOST,
            "Users": len(await self._accounts.list_users()),
        }
        entries = (
            f"<entry>{element('key', name)}{element('value', str(count))}</entry>" for name, count in found.items()
        )
        return f"<SummaryMap>{''.join(entries)}</SummaryMap>"

    async def list_groups(self, form: Form) -> str | None:
        """There are none."""
        form.only("PathPrefix", "Marker", "MaxItems")
        permit(form, "iam:ListGroups")
        return "<Groups/><IsTruncated>false</IsTruncated>"

    async def list_providers(self, form: Form) -> str | None:
        """There are none."""
        form.only()
        permit(form, "iam:ListOpenIDConnectProviders")
        return "<OpenIDConnectProviderList/>"
