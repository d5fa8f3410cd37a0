"""The policy of a form: what whoever signed it allows to be uploaded.

Source: S3 API Reference, *Creating a POST policy*. Every field must be named by a condition, but those that sign, the
file, what is to be ignored, and checksums, which only protect the bytes.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from noisefs.adapters.inbound.s3.failure import S3Error

_EXEMPT: Final = frozenset({"awsaccesskeyid", "file", "policy", "signature", "x-amz-signature"})
_EXEMPT_PREFIXES: Final = ("x-ignore-", "x-amz-checksum-")
_RANGE: Final = "content-length-range"
_OPERATORS: Final = frozenset({"eq", "starts-with"})
_EXPIRATION: Final = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.\d{1,9})?Z", re.ASCII)
_SIZE_MOST: Final = 5 << 40


@dataclass(frozen=True, slots=True)
class Condition:
    """One that a field has to meet. ``operator``: ``eq`` or ``starts-with``; ``field``: lower-case."""

    operator: str
    field: str
    value: str

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Whether the field is as it has to be. One that may begin with anything may be left out."""
        given = fields.get(self.field)
        if given is None:
            return self.operator == "starts-with" and not self.value
        if self.operator == "eq":
            return given == self.value
        if self.field == "content-type":
            return all(part.strip().startswith(self.value) for part in given.split(","))
        return given.startswith(self.value)

    def __str__(self) -> str:
        """As the answer tells it."""
        return f'["{self.operator}", "${self.field}", "{self.value}"]'


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy document.

    Attributes:
        expires_us: Until when it holds.
        size_least: Bytes of the file, at least.
        size_most: At most; ``None``: it does not say.
    """

    expires_us: int
    conditions: tuple[Condition, ...]
    size_least: int = 0
    size_most: int | None = None

    def check(self, fields: Mapping[str, str], now_us: int) -> None:
        """Refuse fields that it does not allow. ``fields``: lower-case names, ``bucket`` among them.

        Raises:
            S3Error: ``AccessDenied``.
        """
        if now_us >= self.expires_us:
            raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
        for condition in self.conditions:
            if not condition.holds(fields):
                raise S3Error(
                    "AccessDenied", f"Invalid according to Policy: Policy Condition failed: {str(condition)[:300]}"
                )
        named = {condition.field for condition in self.conditions}
        extra = [
            name
            for name in fields
            if name not in named and name not in _EXEMPT and not name.startswith(_EXEMPT_PREFIXES)
        ]
        if extra:
            raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {', '.join(extra)[:300]}")


def policy_of(text: str) -> Policy:
    """The policy in a form's field.

    Raises:
        S3Error: ``InvalidPolicyDocument``.
    """
    try:
        document = json.loads(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, RecursionError) as exc:
        raise _invalid("Invalid JSON.") from exc
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON.")
    expiration, listed = document.get("expiration"), document.get("conditions")
    if not isinstance(expiration, str):
        raise _invalid("Policy missing expiration.")
    if not isinstance(listed, list):
        raise _invalid("Policy missing conditions.")
    conditions: list[Condition] = []
    least, most = 0, None
    for one in listed:
        if isinstance(one, list) and one and isinstance(one[0], str) and one[0].lower() == _RANGE:
            least, most = _range_of(one)
        else:
            conditions.append(_condition_of(one))
    return Policy(_expires_us(expiration), tuple(conditions), least, most)


def _condition_of(one: object) -> Condition:
    if isinstance(one, dict) and len(one) == 1:
        ((name, value),) = one.items()
        if isinstance(name, str) and isinstance(value, str):
            return Condition("eq", name.lower(), value)
    elif isinstance(one, list) and len(one) == 3 and all(isinstance(part, str) for part in one):
        operator, name, value = one
        if operator.lower() in _OPERATORS and name.startswith("$"):
            return Condition(operator.lower(), name[1:].lower(), value)
    raise _invalid("Invalid condition.")


def _range_of(one: list[object]) -> tuple[int, int]:
    sizes: list[int] = []
    for part in one[1:]:
        if isinstance(part, bool) or not isinstance(part, int | str):
            raise _invalid("Invalid content-length-range.")
        text = str(part)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise _invalid("Invalid content-length-range.")
        sizes.append(int(text))
    if len(sizes) != 2 or sizes[0] > sizes[1] or sizes[0] > _SIZE_MOST:
        raise _invalid("Invalid content-length-range.")
    return sizes[0], sizes[1]


def _expires_us(text: str) -> int:
    found = _EXPIRATION.fullmatch(text)
    try:
        if found is not None:
            return int(datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp()) * 1_000_000
    except ValueError:
        pass
    raise _invalid(f"Invalid 'expiration' value: '{text[:60]}'")


def _invalid(message: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {message}")
