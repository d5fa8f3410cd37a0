"""The ``Principal`` of a statement: whom it is about.

Honoured: everybody (``*``, anonymous callers included); users by ARN or canonical id; roles and their sessions by ARN;
accounts by id or root ARN; the services of :data:`SERVICES`. An account stands for its administrators in an ``Allow``
(as on AWS it hands the decision to them, and theirs is in users' policies), and for all of its users in a ``Deny``.
Nothing but its name lets a service do anything; ``*`` in a ``Deny`` is about services too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.rights.identity import ACCOUNT, ROOT_ARN, USER_ARN, canonical_id, user_arn, user_of_canonical

SERVICES: Final = frozenset({"logging.s3.amazonaws.com"})
"""Services that ask for anything here."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as policies see them. Without a ``user_id``: anonymous, or a ``service``. With a ``role``: a session of
    it, of the name ``session``; the user then does not count. ``exact``: only what names this very session does.
    """

    user_id: UserId
    name: str
    account: str
    admin: bool
    service: str = ""
    role: str = ""
    session: str = ""
    exact: bool = False

    @property
    def anonymous(self) -> bool:
        """Whether nobody signed the request."""
        return not self.user_id

    def arns(self) -> tuple[str, ...]:
        """What it may be named by: with the account's id, or as some tools write it without."""
        if self.role:
            whole = f"assumed-role/{self.role}/{self.session}"
            if self.exact:
                return (f"arn:aws:sts::{self.account}:{whole}", f"arn:aws:sts:::{whole}")
            both = (self.account, "")
            return tuple(
                f"arn:aws:{name}" for one in both for name in (f"iam::{one}:role/{self.role}", f"sts::{one}:{whole}")
            )
        return (user_arn(self.account, self.name), user_arn("", self.name)) if self.user_id else ()


@dataclass(frozen=True, slots=True)
class Principals:
    """A compiled ``Principal`` or ``NotPrincipal``."""

    everybody: bool = False
    arns: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    spelled: frozenset[str] = frozenset()
    """ARNs with the paths of users and roles, which ``arns`` is without: names are unique."""

    def names(self, caller: Caller, *, denying: bool) -> bool:
        """Whether the caller is one of them. ``denying``: an account stands for all of its users."""
        if caller.service:
            return caller.service in self.services or (denying and self.everybody)
        if caller.exact:
            return not self.arns.isdisjoint(caller.arns())
        if self.everybody:
            return True
        if caller.anonymous:
            return False
        if self.arns and not self.arns.isdisjoint(caller.arns()):
            return True
        if self.ids and not caller.role and canonical_id(caller.user_id) in self.ids:
            return True
        return caller.account in self.accounts and (denying or caller.admin)


def compile_principals(value: object) -> Principals:
    """From the JSON value.

    Raises:
        ValueError: It cannot be honoured.
    """
    if value == "*":
        return Principals(everybody=True)
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f'{value!r} is neither "*" nor an object with AWS, CanonicalUser or Service')
    everybody = False
    arns: set[str] = set()
    accounts: set[str] = set()
    ids: set[str] = set()
    services: set[str] = set()
    spelled: set[str] = set()
    for kind, named in value.items():
        texts = [named] if isinstance(named, str) else named
        if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{kind} is {named!r}: a text or a list of texts is needed")
        if kind == "CanonicalUser":
            ids.update(texts)
            continue
        if kind == "Service":
            for text in texts:
                if text not in SERVICES:
                    raise ValueError(f"service {text!r} does nothing here: only {', '.join(sorted(SERVICES))}")
            services.update(texts)
            continue
        if kind != "AWS":
            raise ValueError(f"principals of kind {kind!r} do not exist here: only AWS, CanonicalUser and Service")
        for text in texts:
            root = ROOT_ARN.fullmatch(text)
            if text == "*":
                everybody = True
            elif root is not None:
                accounts.add(root[1])
            elif ACCOUNT.fullmatch(text):
                accounts.add(text)
            elif USER_ARN.fullmatch(text) and "*" not in text and "?" not in text:
                arns.add(_without_path(text))
                spelled.add(text)
            else:
                raise ValueError(f"AWS principal {text!r} is no account, user or root ARN, nor *")
    return Principals(
        everybody, frozenset(arns), frozenset(accounts), frozenset(ids), frozenset(services), frozenset(spelled)
    )


class Named(NamedTuple):
    """Somebody that a policy names: ``text`` as it says it, and a user's id, a user's name or a role's name; ``path``
    where a name has one, empty where the ARN is that of a session.
    """

    text: str
    user_id: str = ""
    user: str = ""
    role: str = ""
    path: str = ""


def named_by(principals: Principals, account: str) -> list[Named]:
    """The users and roles that it names.

    Raises:
        ValueError: One of another account: there is no other here; or something that is neither.
    """
    found = []
    for arn in sorted(principals.spelled):
        named = USER_ARN.fullmatch(arn)
        if named is None or named[2] == "federated-user" or named[1] not in ("", account):
            raise ValueError(f"{arn!r} is no user or role of account {account}")
        folder, _, name = named[3].rpartition("/")
        path = f"/{folder}/" if folder else "/"
        if named[2] == "user":
            found.append(Named(arn, user=name, path=path))
        elif named[2] == "role":
            found.append(Named(arn, role=name, path=path))
        else:
            found.append(Named(arn, role=named[3].partition("/")[0]))
    for text in sorted(principals.ids):
        user_id = user_of_canonical(text)
        if user_id is None:
            raise ValueError(f"{text!r} is no canonical id")
        found.append(Named(text, user_id=user_id))
    return found


def _without_path(arn: str) -> str:
    """A user's or role's ARN without its path: names are unique without."""
    named = USER_ARN.fullmatch(arn)
    if named is None or named[2] not in ("user", "role"):
        return arn
    return f"arn:aws:iam::{named[1]}:{named[2]}/{named[3].rpartition('/')[2]}"
