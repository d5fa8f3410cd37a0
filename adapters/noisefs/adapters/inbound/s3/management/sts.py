"""STS: who somebody is, and temporary credentials.

There are no roles here: AssumeRole gives credentials of whoever asks, narrowed by the session's policy, whatever the
role is called. So tools that can only assume a role work, and nobody gets more rights than they have.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from noisefs.adapters.inbound.s3.management.forms import Form
from noisefs.adapters.inbound.s3.xml.documents import element
from noisefs.adapters.inbound.s3.xml.text import iso_time
from noisefs.core.domain.rights.evaluation import Sources, by_policies
from noisefs.core.domain.rights.identity import user_arn
from noisefs.core.domain.rights.policy import Request, Verdict
from noisefs.core.errors import AccessDenied, InvalidArgument
from noisefs.core.services.namespace.rights.evaluating import caller_of
from noisefs.core.services.tokens import Temporary, Tokens

_SESSION_S: Final = 43_200
_ROLE_S: Final = 3600
_ROLE_MOST_S: Final = 43_200
_SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


class Sts:
    """Answers STS's actions. Task-safe."""

    def __init__(self, *, tokens: Tokens) -> None:
        self._tokens = tokens
        self.actions: dict[str, Callable[[Form], Awaitable[str | None]]] = {
            "GetCallerIdentity": self.identity,
            "GetSessionToken": self.session,
            "AssumeRole": self.assume,
        }
        """By name: each gives the XML of its result."""

    async def identity(self, form: Form) -> str | None:
        """Who signed."""
        form.only()
        who = form.by.principal
        return (
            f"{element('Arn', user_arn(who.account, who.name))}{element('UserId', who.user_id)}"
            f"{element('Account', who.account)}"
        )

    async def session(self, form: Form) -> str | None:
        """Temporary credentials; ``Policy`` narrows them, which AWS has for other actions only."""
        form.only("DurationSeconds", "Policy")
        return _credentials(self._issue(form, "sts:GetSessionToken", form.number("DurationSeconds", _SESSION_S)))

    async def assume(self, form: Form) -> str | None:
        """Temporary credentials of whoever asks, under a session's name."""
        form.only("RoleArn", "RoleSessionName", "DurationSeconds", "Policy")
        form.need("RoleArn")
        name = form.need("RoleSessionName")
        if _SESSION_NAME.fullmatch(name) is None:
            raise InvalidArgument("RoleSessionName", name[:100], "2 to 64 characters of A-Z a-z 0-9 _ + = , . @ -")
        duration_s = form.number("DurationSeconds", _ROLE_S)
        if duration_s > _ROLE_MOST_S:
            raise InvalidArgument("DurationSeconds", duration_s, f"at most {_ROLE_MOST_S}")
        made = self._issue(form, "sts:AssumeRole", duration_s)
        who = form.by.principal
        arn = f"arn:aws:sts::{who.account}:assumed-role/{who.name}/{name}"
        user = f"{element('AssumedRoleId', f'{who.user_id}:{name}')}{element('Arn', arn)}"
        return f"{_credentials(made)}<AssumedRoleUser>{user}</AssumedRoleUser>"

    def _issue(self, form: Form, action: str, duration_s: int) -> Temporary:
        who = form.by.principal
        request = Request(caller_of(who), action, "*", lambda _key: None)
        if who.token_us or by_policies(request, Sources(who.policies, who.session)) is Verdict.DENY:
            raise AccessDenied(f"{action} is not for temporary credentials, nor against a policy")
        policy = form.get("Policy")
        return self._tokens.issue(form.by, duration_s, (policy.encode("utf-8", "replace"),) if policy else ())


def _credentials(made: Temporary) -> str:
    return (
        f"<Credentials>{element('AccessKeyId', made.access_key_id)}{element('SecretAccessKey', made.secret)}"
        f"{element('SessionToken', made.token)}{element('Expiration', iso_time(made.expires_us))}</Credentials>"
    )
