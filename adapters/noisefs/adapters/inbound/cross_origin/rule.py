"""A CORS rule, and reading back those that a bucket keeps.

Source: S3 API Reference, *PutBucketCors* and *OPTIONS object*. The first rule that fits counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lxml import etree

KIND: Final = "cors"
"""Of the configuration in a bucket's row."""


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
            and any(is_like(pattern, origin) for pattern in self.origins)
            and all(any(is_like(pattern.lower(), name) for pattern in self.allowed_headers) for name in wanted_headers)
        )

    @property
    def is_for_all(self) -> bool:
        """Whether every origin may: then the answer says so, and may be shared between origins."""
        return "*" in self.origins


@lru_cache(maxsize=256)
def kept_rules(kept: bytes) -> tuple[Rule, ...]:
    """The rules that a bucket keeps, which were checked when they were put: elements without a namespace."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return tuple(_rule_of(element) for element in etree.fromstring(b"<kept>%s</kept>" % kept, parser))


def _rule_of(element: "etree._Element") -> Rule:
    def texts(name: str) -> tuple[str, ...]:
        return tuple((child.text or "").strip() for child in element.findall(name))

    return Rule(
        texts("AllowedOrigin"),
        texts("AllowedMethod"),
        texts("AllowedHeader"),
        texts("ExposeHeader"),
        "".join(texts("MaxAgeSeconds")),
    )


def is_like(pattern: str, text: str) -> bool:
    """Whether a text is like a pattern, in which ``*`` stands for anything."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
