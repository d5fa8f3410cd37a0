"""CORS rules of a bucket: read from XML, and asked whether they allow a request.

Source: S3 API Reference, *PutBucketCors* and *OPTIONS object*. The first rule that fits counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.xml.reading import name_of

RULES_MOST: Final = 100
_ID_MOST: Final = 255
_METHODS: Final = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_VALUE: Final = re.compile(r"[\x21-\x7e]+")
"""What a header can carry: origins and names are echoed in answers."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``CORSRule``. ``max_age_s``: empty where it says nothing."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    allowed_headers: tuple[str, ...]
    exposed_headers: tuple[str, ...]
    max_age_s: str

    def fits(self, origin: str, method: str, wanted_headers: Sequence[str]) -> bool:
        """Whether it allows this method, from there, with those headers (lower-case names)."""
        return (
            method in self.methods
            and any(_like(pattern).fullmatch(origin) for pattern in self.origins)
            and all(
                any(_like(pattern.lower()).fullmatch(name) for pattern in self.allowed_headers)
                for name in wanted_headers
            )
        )

    @property
    def is_for_all(self) -> bool:
        """Whether every origin may: then the answer says so, and may be shared between origins."""
        return "*" in self.origins


def rules_of(root: etree._Element) -> list[Rule]:
    """The rules of a ``CORSConfiguration``.

    Raises:
        S3Error: ``MalformedXML``; ``InvalidRequest``: a method, or more than one wildcard.
    """
    if not 1 <= len(root) <= RULES_MOST or any(name_of(child) != "CORSRule" for child in root):
        raise S3Error("MalformedXML")
    return [_rule_of(child) for child in root]


def _rule_of(element: etree._Element) -> Rule:
    found: dict[str, list[str]] = {
        name: [] for name in ("ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds")
    }
    for child in element:
        name = name_of(child)
        if name not in found or len(child):
            raise S3Error("MalformedXML")
        found[name].append((child.text or "").strip())
    origins, methods, ages = found["AllowedOrigin"], found["AllowedMethod"], found["MaxAgeSeconds"]
    ids = found["ID"]
    if not origins or not methods or len(ages) > 1 or len(ids) > 1 or len("".join(ids)) > _ID_MOST:
        raise S3Error("MalformedXML")
    if any(_NUMBER.fullmatch(age) is None for age in ages):
        raise S3Error("MalformedXML")
    for method in methods:
        if method not in _METHODS:
            raise S3Error(
                "InvalidRequest", f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:40]}"
            )
    for name in ("AllowedOrigin", "AllowedHeader", "ExposeHeader"):
        for value in found[name]:
            _check_pattern(name, value)
    return Rule(
        tuple(origins), tuple(methods), tuple(found["AllowedHeader"]), tuple(found["ExposeHeader"]), "".join(ages)
    )


def _check_pattern(name: str, value: str) -> None:
    if _VALUE.fullmatch(value) is None:
        raise S3Error("InvalidRequest", f'{name} "{value[:200]}" is not valid.')
    if value.count("*") > (name != "ExposeHeader"):
        raise S3Error(
            "InvalidRequest",
            f'ExposeHeader "{value[:200]}" contains wildcard. We currently do not support wildcard for ExposeHeader.'
            if name == "ExposeHeader"
            else f'{name} "{value[:200]}" can not have more than one wildcard.',
        )


@lru_cache(maxsize=1024)
def _like(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
