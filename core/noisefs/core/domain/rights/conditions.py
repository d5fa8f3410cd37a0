"""Conditions of a statement: each compares a key of the request with the values that the policy gives.

Source: IAM user guide, *IAM JSON policy elements: Condition operators* and *Condition logic*. All conditions of a
statement must hold; of several values one must match, under a negated operator none may.
"""

import re
from calendar import timegm
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

from noisefs.core.domain.rights.keys import MANY, Kind, canonical, kind_of
from noisefs.core.domain.rights.patterns import Pattern, Text, Variable

Lookup = Callable[[str], Sequence[str] | None]
"""Values of a canonical condition key in the request; ``None``: it does not have this key."""

_Test = Callable[[str, Lookup], bool]
"""Whether one value of the request is what one value of the policy means."""


class Condition(NamedTuple):
    """One key under one operator."""

    key: str
    tests: tuple[_Test, ...]
    negated: bool
    if_exists: bool
    quantifier: str
    """``any``, ``all``, or empty for a key that has one value."""
    null: bool | None
    """Of the operator ``Null``: whether the key must be absent; ``None``: another operator."""
    operator: str
    values: tuple[str, ...]

    def holds(self, lookup: Lookup) -> bool:
        """Whether the request is as the condition says. Cost: a microsecond or two."""
        found = lookup(self.key)
        if self.null is not None:
            return (not found) is self.null
        if not found:
            return self.if_exists or self.quantifier == "all" or (self.negated and not self.quantifier)
        if self.quantifier == "any":
            return any(self._fits(value, lookup) for value in found)
        if len(found) == 1:
            return self._fits(found[0], lookup)
        return all(self._fits(value, lookup) for value in found)

    def _fits(self, value: str, lookup: Lookup) -> bool:
        for test in self.tests:
            if test(value, lookup):
                return not self.negated
        return self.negated


class _Operator(NamedTuple):
    kinds: frozenset[Kind]
    negated: bool
    compile: Callable[[str, bool], _Test]
    """From a value of the policy, and whether it may have variables. Raises ``ValueError``."""
    allowed: str


def compile_condition(operator: str, name: str, values: Sequence[str], *, variables: bool) -> Condition:
    """One entry of a ``Condition`` block.

    Raises:
        ValueError: It cannot be honoured: what, and what is allowed.
    """
    bare, quantifier = operator, ""
    for begin, word in (("forallvalues:", "all"), ("foranyvalue:", "any")):
        if operator.lower().startswith(begin):
            bare, quantifier = operator[len(begin) :], word
    if_exists = bare.lower().endswith("ifexists")
    bare = (bare[: -len("ifexists")] if if_exists else bare).lower()
    key = canonical(name)
    kind = kind_of(key)
    if kind is None:
        raise ValueError(f"condition key {name!r} is not known to this server")
    if bare == "null":
        if if_exists or quantifier or len({value.lower() for value in values}) != 1:
            raise ValueError(f"Null for {name!r} needs one value, true or false, without prefix or IfExists")
        return Condition(key, (), False, False, "", _flag(values[0]), bare, tuple(values))
    chosen = _OPERATORS.get(bare)
    if chosen is None:
        raise ValueError(f"operator {operator!r} is not one of {', '.join(sorted(_OPERATORS))}, null")
    if kind not in chosen.kinds:
        raise ValueError(f"operator {operator!r} cannot compare {name!r}, whose values are of kind {kind.value}")
    if key in MANY and not quantifier:
        raise ValueError(f"{name!r} has several values: {operator!r} needs ForAnyValue: or ForAllValues:")
    try:
        tests = tuple(chosen.compile(value, variables) for value in values)
    except ValueError as exc:
        raise ValueError(f"a value of {name!r} under {operator!r}: {exc}; allowed: {chosen.allowed}") from exc
    return Condition(key, tests, chosen.negated, if_exists, quantifier, None, bare, tuple(values))


def variable_of(lookup: Lookup) -> Variable:
    """Values of policy variables, which are condition keys."""

    def value(name: str) -> str | None:
        found = lookup(canonical(name))
        return found[0] if found else None

    return value


def _text(raw: str, *, wild: bool, fold: bool, variables: bool) -> _Test:
    text = Text(raw, wild=wild, variables=variables)
    check_variables(text)
    return lambda value, lookup: text.matches(value, variable_of(lookup), fold=fold)


def check_variables(text: Text) -> None:
    """Refuse a text with a variable that is no known key. Raises ``ValueError``."""
    for name in text.variables:
        if kind_of(canonical(name)) is None:
            raise ValueError(f"policy variable ${{{name}}} is not known to this server")


def _equals(raw: str, variables: bool) -> _Test:
    return _text(raw, wild=False, fold=False, variables=variables)


def _equals_folded(raw: str, variables: bool) -> _Test:
    return _text(raw, wild=False, fold=True, variables=variables)


def _like(raw: str, variables: bool) -> _Test:
    return _text(raw, wild=True, fold=False, variables=variables)


def _arn_like(raw: str, variables: bool) -> _Test:
    """An ARN is compared part by part: a star does not reach over a colon."""
    if "${" in raw and variables:
        return _like(raw, variables)
    parts = raw.split(":", 5)
    if len(parts) != 6 or parts[0] not in ("arn", "*"):
        raise ValueError(f"{raw!r} is no ARN")
    raw.encode()
    patterns = [Pattern(part) for part in parts]

    def fits(value: str, _lookup: Lookup) -> bool:
        found = value.split(":", 5)
        return len(found) == 6 and all(pattern.matches(part) for pattern, part in zip(patterns, found, strict=True))

    return fits


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, bool], _Test]:
    def build(raw: str, _variables: bool) -> _Test:
        limit = _float(raw)

        def fits(value: str, _lookup: Lookup) -> bool:
            try:
                return compare(_float(value), limit)
            except ValueError:
                return False

        return fits

    return build


_NUMBER: Final = re.compile(r"[+-]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})", re.ASCII)


def _float(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no number")
    return float(text)


def _date(compare: Callable[[float, float], bool]) -> Callable[[str, bool], _Test]:
    def build(raw: str, _variables: bool) -> _Test:
        limit = seconds_of(raw)

        def fits(value: str, _lookup: Lookup) -> bool:
            try:
                return compare(seconds_of(value), limit)
            except ValueError:
                return False

        return fits

    return build


def seconds_of(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 time (without a zone: UTC) or of such a number. Raises ``ValueError``."""
    if _NUMBER.fullmatch(text.strip()):
        return float(text)
    moment = datetime.fromisoformat(text)
    offset = moment.utcoffset()
    return timegm(moment.timetuple()) + moment.microsecond / 1e6 - (offset.total_seconds() if offset else 0)


def _flag(raw: str) -> bool:
    if raw.lower() not in ("true", "false"):
        raise ValueError(f"{raw!r} is neither true nor false")
    return raw.lower() == "true"


def _bool(raw: str, _variables: bool) -> _Test:
    wanted = "true" if _flag(raw) else "false"
    return lambda value, _lookup: value.lower() == wanted


def _in_network(raw: str, _variables: bool) -> _Test:
    network = network_of(raw)

    def fits(value: str, _lookup: Lookup) -> bool:
        address = address_of(value)
        return address is not None and address.version == network.version and address in network

    return fits


def network_of(text: str) -> IPv4Network | IPv6Network:
    """A network in CIDR form, or one address. Raises ``ValueError``."""
    return ip_network(text, strict=False)


@lru_cache(maxsize=1024)
def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """An address; an IPv4 one that a dual-stack socket shows as IPv6 is itself."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


_TEXTS: Final = frozenset({Kind.TEXT, Kind.ARN})
_ORDER: Final[dict[str, tuple[bool, Callable[[float, float], bool]]]] = {
    "equals": (False, lambda one, other: one == other),
    "notequals": (True, lambda one, other: one == other),
    "lessthan": (False, lambda one, other: one < other),
    "lessthanequals": (False, lambda one, other: one <= other),
    "greaterthan": (False, lambda one, other: one > other),
    "greaterthanequals": (False, lambda one, other: one >= other),
}
_OPERATORS: Final[dict[str, _Operator]] = {
    "stringequals": _Operator(_TEXTS, False, _equals, "text"),
    "stringnotequals": _Operator(_TEXTS, True, _equals, "text"),
    "stringequalsignorecase": _Operator(_TEXTS, False, _equals_folded, "text"),
    "stringnotequalsignorecase": _Operator(_TEXTS, True, _equals_folded, "text"),
    "stringlike": _Operator(_TEXTS, False, _like, "text with * and ?"),
    "stringnotlike": _Operator(_TEXTS, True, _like, "text with * and ?"),
    "arnequals": _Operator(frozenset({Kind.ARN}), False, _arn_like, "an ARN of six parts"),
    "arnlike": _Operator(frozenset({Kind.ARN}), False, _arn_like, "an ARN of six parts"),
    "arnnotequals": _Operator(frozenset({Kind.ARN}), True, _arn_like, "an ARN of six parts"),
    "arnnotlike": _Operator(frozenset({Kind.ARN}), True, _arn_like, "an ARN of six parts"),
    "bool": _Operator(frozenset({Kind.FLAG}), False, _bool, "true or false"),
    "ipaddress": _Operator(frozenset({Kind.ADDRESS}), False, _in_network, "an address, or a network like 10.0.0.0/8"),
    "notipaddress": _Operator(frozenset({Kind.ADDRESS}), True, _in_network, "an address, or a network"),
    **{
        f"numeric{name}": _Operator(frozenset({Kind.NUMBER, Kind.TEXT}), negated, _number(compare), "a number")
        for name, (negated, compare) in _ORDER.items()
    },
    **{
        f"date{name}": _Operator(frozenset({Kind.TIME, Kind.NUMBER}), negated, _date(compare), "an ISO 8601 time")
        for name, (negated, compare) in _ORDER.items()
    },
}
"""By name in lower case. A negated one holds where its opposite does not."""
