"""STS: who somebody is, and temporary credentials.

AssumeRole with the ARN of a role of this store gives that role's rights to whom its trust policy lets. An ARN of any
other account names none, and MinIO's clients send none at all: then the credentials are those of whoever asks, narrowed
by the session's policy. So tools that can only assume a role work, and nobody gets more rights than they have.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from noisefs.adapters.inbound.s3.management.forms import Form
from noisefs.adapters.inbound.s3.xml.documents import element
from noisefs.adapters.inbound.s3.xml.text import iso_time
from noisefs.core.domain.requests import Principal
from noisefs.core.domain.rights.caller_keys import arn_of
from noisefs.core.domain.rights.evaluation import Sources, by_policies
from noisefs.core.domain.rights.policy import TRUST, Request, Verdict, parse_policy
from noisefs.core.domain.rights.role import Role, RoleSession, role_arn
from noisefs.core.errors import AccessDenied, InvalidArgument, RoleNotFound
from noisefs.core.services.namespace.rights.evaluating import caller_of
from noisefs.core.services.roles import Roles
from noisefs.core.services.tokens import Temporary, Tokens

_SESSION_S: Final = 43_200
_ROLE_S: Final = 3600
_ROLE_MOST_S: Final = 43_200
_CHAINED_MOST_S: Final = 3600
"""Longest session of a role that a session of another one takes on."""
_SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_NO_NAME: Final = "session"
_EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_ROLE_ARN: Final = re.compile(r"arn:aws:iam::(\d*):role(/|/\S*/)([^/\s]+)", re.ASCII)


class Sts:
    """Answers STS's actions. Task-safe."""

    def __init__(self, *, tokens: Tokens, roles: Roles) -> None:
        self._tokens = tokens
        self._roles = roles
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
        user_id = who.user_id if who.role is None else f"{who.role.role_id}:{who.role.session}"
        return f"{element('Arn', arn_of(who))}{element('UserId', user_id)}{element('Account', who.account)}"

    async def session(self, form: Form) -> str | None:
        """Temporary credentials; ``Policy`` narrows them, which AWS has for other actions only."""
        form.only("DurationSeconds", "Policy")
        self._check_lasting(form, "sts:GetSessionToken")
        return _credentials(self._issue(form, form.number("DurationSeconds", _SESSION_S)))

    async def assume(self, form: Form) -> str | None:
        """Temporary credentials of a role, or of whoever asks, under a session's name."""
        given = form.get("RoleArn")
        name = form.need("RoleSessionName") if given else form.get("RoleSessionName", _NO_NAME)
        if _SESSION_NAME.fullmatch(name) is None:
            raise InvalidArgument("RoleSessionName", name[:100], "2 to 64 characters of A-Z a-z 0-9 _ + = , . @ -")
        duration_s = form.number("DurationSeconds", _ROLE_S)
        named = _ROLE_ARN.fullmatch(given)
        known = ("RoleArn", "RoleSessionName", "DurationSeconds", "Policy")
        if named is not None and named[1] in ("", self._roles.account):
            form.only(*known, "ExternalId")
            role = self._let(form, named[2], named[3], name)
            if duration_s > role.max_session_s:
                allowed = f"at most the role's MaxSessionDuration, {role.max_session_s}"
                raise InvalidArgument("DurationSeconds", duration_s, allowed)
            if form.by.principal.role is not None and duration_s > _CHAINED_MOST_S:
                raise InvalidArgument("DurationSeconds", duration_s, f"at most {_CHAINED_MOST_S} from a role's session")
            session = RoleSession(role.role_id, role.name, role.path, name)
            made = self._issue(form, duration_s, role, name)
            return f"{_credentials(made)}{_assumed(role.role_id, name, session.arn(self._roles.account))}"
        form.only(*known)
        self._check_lasting(form, "sts:AssumeRole")
        if duration_s > _ROLE_MOST_S:
            raise InvalidArgument("DurationSeconds", duration_s, f"at most {_ROLE_MOST_S}")
        who = form.by.principal
        arn = f"arn:aws:sts::{who.account}:assumed-role/{who.name}/{name}"
        return f"{_credentials(self._issue(form, duration_s))}{_assumed(who.user_id, name, arn)}"

    def _let(self, form: Form, path: str, name: str, session: str) -> Role:
        """The role, if its trust policy lets the sender take it on.

        Who is named there needs nothing else; where only the account is, the sender's own policies decide. A ``Deny``
        on either side forbids it.

        Raises:
            AccessDenied: It does not, or there is no such role, which is not told.
        """
        who = form.by.principal
        arn = role_arn(self._roles.account, path, name)
        try:
            role = self._roles.get(name)
        except RoleNotFound:
            role = None
        if role is None or (role.name, role.path) != (name, path) or not _trusts(form, role, arn, session):
            raise AccessDenied(f"User: {arn_of(who)} is not authorized to perform: sts:AssumeRole on resource: {arn}")
        return role

    def _check_lasting(self, form: Form, action: str) -> None:
        who = form.by.principal
        if who.token_us or _own_verdict(who, Request(caller_of(who), action, "*", form.lookup)) is Verdict.DENY:
            raise AccessDenied(f"{action} is not for temporary credentials, nor against a policy")

    def _issue(self, form: Form, duration_s: int, role: Role | None = None, session: str = "") -> Temporary:
        policies = (form.document("Policy"),) if form.get("Policy") else ()
        return self._tokens.issue(form.by, duration_s, policies, role, session)


def _trusts(form: Form, role: Role, arn: str, session: str) -> bool:
    external = form.get("ExternalId")
    if external and _EXTERNAL_ID.fullmatch(external) is None:
        raise InvalidArgument("ExternalId", external[:100], "2 to 1224 characters of A-Z a-z 0-9 _ + = , . @ : / -")
    said = {"sts:externalid": (external,) if external else None, "sts:rolesessionname": (session,)}
    who = form.by.principal
    caller = caller_of(who)
    request = Request(caller, "sts:AssumeRole", arn, lambda key: said[key] if key in said else form.lookup(key))
    own = _own_verdict(who, request)
    trust = parse_policy(role.trust, bucket=TRUST)
    direct = trust.verdict(request)
    if Verdict.DENY in (own, direct):
        return False
    if direct is Verdict.ALLOW:
        return True
    through_account = trust.verdict(replace(request, caller=replace(caller, admin=True)))
    return own is Verdict.ALLOW and through_account is Verdict.ALLOW


def _own_verdict(who: Principal, request: Request) -> Verdict:
    return by_policies(request, Sources(who.policies, who.session))


def _assumed(role_id: str, session: str, arn: str) -> str:
    return f"<AssumedRoleUser>{element('AssumedRoleId', f'{role_id}:{session}')}{element('Arn', arn)}</AssumedRoleUser>"


def _credentials(made: Temporary) -> str:
    return (
        f"<Credentials>{element('AccessKeyId', made.access_key_id)}{element('SecretAccessKey', made.secret)}"
        f"{element('SessionToken', made.token)}{element('Expiration', iso_time(made.expires_us))}</Credentials>"
    )
