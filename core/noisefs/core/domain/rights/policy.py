"""Policy documents: parsed once, completely understood or refused.

Promise: what :func:`parse_policy` takes is evaluated exactly as AWS does; an element, action, condition key or value
that cannot be is refused with its name. Source: IAM user guide, *IAM JSON policy element reference*; S3 user guide,
*Bucket policies*. Cost: some 100 us a statement to parse, a few microseconds a statement to evaluate.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from noisefs.core.domain.rights.actions import IDENTITY_ACTIONS, S3_ACTIONS, TRUST_ACTIONS, expand
from noisefs.core.domain.rights.conditions import Condition, Lookup, check_variables, compile_condition, variable_of
from noisefs.core.domain.rights.keys import canonical
from noisefs.core.domain.rights.patterns import Pattern, Text
from noisefs.core.domain.rights.principals import Caller, Principals, compile_principals
from noisefs.core.errors import InvalidPolicy

BUCKET_POLICY_BYTES: Final = 20 * 1024
"""Most bytes of a bucket's policy (S3 user guide, *Bucket policies*)."""
IDENTITY_POLICY_BYTES: Final = 10 * 1024
"""Most bytes of one policy of a user or role."""
TRUST: Final = "a role's trust"
"""In place of a bucket's name, which this is none: the policy says who may take on a role."""
ARN: Final = "arn:aws:s3:::"
_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_TOP: Final = frozenset({"Version", "Id", "Statement"})
_KNOWN: Final[dict[str | None, frozenset[str]]] = {None: IDENTITY_ACTIONS, TRUST: TRUST_ACTIONS}
"""Actions that policies which are no bucket's can name."""
_FIELDS: Final = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)


class Verdict(Enum):
    """What a policy says about a request."""

    DENY = "deny"
    ALLOW = "allow"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: one action on one resource. ``resource``: an ARN; of a service as a whole ``*``."""

    caller: Caller
    action: str
    resource: str
    lookup: Lookup


@dataclass(frozen=True, slots=True)
class Statement:
    """One compiled statement."""

    allows: bool
    principals: Principals | None
    """``None``: a user's policy is about this user."""
    but_principals: bool
    actions: frozenset[str]
    resources: tuple[Text, ...]
    but_resources: bool
    conditions: tuple[Condition, ...]

    def covers(self, request: Request) -> bool:
        """Whether it is about this request."""
        if request.action not in self.actions:
            return False
        principals = self.principals
        if principals is not None and principals.names(request.caller, denying=not self.allows) is self.but_principals:
            return False
        if self._is_about(request) is self.but_resources:
            return False
        for condition in self.conditions:  # noqa: SIM110 - a generator would double the time
            if not condition.holds(request.lookup):
                return False
        return True

    def _is_about(self, request: Request) -> bool:
        variable = variable_of(request.lookup)
        for resource in self.resources:  # noqa: SIM110 - as above
            if resource.matches(request.resource, variable):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled document."""

    statements: tuple[Statement, ...]
    keys: frozenset[str]
    """Condition keys that it looks at, variables included."""

    def verdict(self, request: Request) -> Verdict:
        """What it says: a ``Deny`` that covers the request wins."""
        allowed = False
        for statement in self.statements:
            if statement.allows and allowed:
                continue
            if statement.covers(request):
                if not statement.allows:
                    return Verdict.DENY
                allowed = True
        return Verdict.ALLOW if allowed else Verdict.SILENT


def parse_policy(raw: bytes, *, bucket: str | None = None) -> Policy:
    """A policy as it was put. ``bucket``: whose it is; ``None``: a user's or a session's; :data:`TRUST`: a role's.

    Raises:
        InvalidPolicy: Which field, which value, what is allowed.
    """
    limit = IDENTITY_POLICY_BYTES if bucket in (None, TRUST) else BUCKET_POLICY_BYTES
    if len(raw) > limit:
        raise InvalidPolicy("policy", f"{len(raw)} bytes", f"at most {limit} bytes")
    try:
        document = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise InvalidPolicy("policy", _short(raw.decode("utf-8", "replace")), f"JSON is needed: {exc}") from exc
    if not isinstance(document, dict):
        raise InvalidPolicy("policy", _short(document), "a JSON object is needed")
    for name in document.keys() - _TOP:
        raise InvalidPolicy("policy element", name, "Version, Id and Statement are all there is")
    version = document.get("Version", "2008-10-17")
    if version not in _VERSIONS:
        raise InvalidPolicy("Version", version, " or ".join(_VERSIONS))
    if not isinstance(document.get("Id", ""), str):
        raise InvalidPolicy("Id", _short(document["Id"]), "a text is needed")
    listed = document.get("Statement")
    found = [listed] if isinstance(listed, dict) else listed
    if not isinstance(found, list) or not found:
        raise InvalidPolicy("Statement", _short(listed), "at least one statement is needed")
    variables = version == _VERSIONS[0]
    statements = tuple(_statement(one, bucket, variables=variables) for one in found)
    sids = [one["Sid"] for one in found if one.get("Sid")]
    if len(sids) != len(set(sids)):
        raise InvalidPolicy("Sid", _short(sids), "each statement has another one")
    keys = {condition.key for statement in statements for condition in statement.conditions}
    for name in _variables_in(document) if variables else ():
        keys.add(canonical(name))
    return Policy(statements, frozenset(keys))


def _statement(one: object, bucket: str | None, *, variables: bool) -> Statement:
    if not isinstance(one, dict):
        raise InvalidPolicy("Statement", _short(one), "an object is needed")
    for name in one.keys() - _FIELDS:
        raise InvalidPolicy("statement element", name, f"one of {', '.join(sorted(_FIELDS))}")
    if not isinstance(one.get("Sid", ""), str):
        raise InvalidPolicy("Sid", _short(one["Sid"]), "a text is needed")
    effect = one.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise InvalidPolicy("Effect", effect, "Allow or Deny")
    principals = _principals(one, bucket, allows=effect == "Allow")
    return Statement(
        allows=effect == "Allow",
        principals=principals,
        but_principals="NotPrincipal" in one,
        actions=_actions(one, _KNOWN.get(bucket, S3_ACTIONS)),
        resources=_resources(one, bucket, variables=variables),
        but_resources="NotResource" in one,
        conditions=_conditions(one.get("Condition", {}), variables=variables),
    )


def _principals(one: Mapping[str, object], bucket: str | None, *, allows: bool) -> Principals | None:
    named = [name for name in ("Principal", "NotPrincipal") if name in one]
    if bucket is None:
        if named:
            raise InvalidPolicy(named[0], _short(one[named[0]]), "a user's policy is about this user: it has none")
        return None
    if len(named) != 1:
        raise InvalidPolicy("Principal", ", ".join(named) or None, "exactly one of Principal and NotPrincipal")
    if named == ["NotPrincipal"] and allows:
        raise InvalidPolicy("NotPrincipal", _short(one["NotPrincipal"]), "it can be used with Deny only")
    try:
        return compile_principals(one[named[0]])
    except ValueError as exc:
        raise InvalidPolicy(named[0], _short(one[named[0]]), f"Invalid principal in policy: {exc}") from exc


def _actions(one: Mapping[str, object], known: frozenset[str]) -> frozenset[str]:
    name, texts = _one_of(one, "Action", "NotAction")
    found: set[str] = set()
    for text in texts:
        some = expand(text, known)
        if not some:
            raise InvalidPolicy(name, text, "Policy has invalid action: no action of this server is named so")
        found |= some
    return frozenset(known - found if name == "NotAction" else found)


def _resources(one: Mapping[str, object], bucket: str | None, *, variables: bool) -> tuple[Text, ...]:
    if bucket == TRUST:
        if "Resource" in one or "NotResource" in one:
            raise InvalidPolicy("Resource", None, "Has prohibited field Resource: a trust policy is about its role")
        return (Text("*", wild=True, variables=False),)
    name, texts = _one_of(one, "Resource", "NotResource")
    found = []
    for text in texts:
        if text != "*" and not text.startswith(ARN) and (bucket is not None or not text.startswith("arn:aws:")):
            raise InvalidPolicy(name, text, f"Policy has invalid resource: * or an ARN beginning with {ARN}")
        if bucket is not None and text != "*" and not Pattern(text[len(ARN) :].partition("/")[0]).matches(bucket):
            raise InvalidPolicy(name, text, f"Policy has invalid resource: it must be about the bucket {bucket!r}")
        try:
            compiled = Text(text, wild=True, variables=variables)
            check_variables(compiled)
        except ValueError as exc:
            raise InvalidPolicy(name, text, str(exc)) from exc
        found.append(compiled)
    return tuple(found)


def _conditions(block: object, *, variables: bool) -> tuple[Condition, ...]:
    if not isinstance(block, dict):
        raise InvalidPolicy("Condition", _short(block), "an object of operators is needed")
    found = []
    for operator, keys in block.items():
        if not isinstance(keys, dict) or not keys:
            raise InvalidPolicy(f"Condition.{operator}", _short(keys), "an object of condition keys is needed")
        for key, value in keys.items():
            values = [_scalar(operator, key, item) for item in (value if isinstance(value, list) else [value])]
            if not values:
                raise InvalidPolicy(f"Condition.{operator}.{key}", "[]", "at least one value is needed")
            try:
                found.append(compile_condition(operator, key, values, variables=variables))
            except ValueError as exc:
                raise InvalidPolicy(f"Condition.{operator}.{key}", _short(value), str(exc)) from exc
    return tuple(found)


def _scalar(operator: str, key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidPolicy(f"Condition.{operator}.{key}", _short(value), "a text, a number, or true or false")


def _one_of(one: Mapping[str, object], name: str, other: str) -> tuple[str, Sequence[str]]:
    named = [each for each in (name, other) if each in one]
    if len(named) != 1:
        raise InvalidPolicy(name, ", ".join(named) or None, f"exactly one of {name} and {other}")
    value = one[named[0]]
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidPolicy(named[0], _short(value), "a text or a list of texts")
    return named[0], texts


def _variables_in(document: Mapping[str, object]) -> set[str]:
    """Names of policy variables anywhere in a document that was compiled."""
    found: set[str] = set()
    waiting: list[object] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and "${" in value:
            found.update(Text(value, wild=True, variables=True).variables)
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an element comes twice")
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


def _short(value: object) -> str:
    return str(value)[:200]
