"""The ``If`` header: its grammar and its meaning (RFC 4918 section 10.4).

``If = No-tag-list (of the Request-URI) | Tagged-list (each list names its resource)``. The header holds when any one of
its lists does; a list holds when all its conditions do. Every token that appears anywhere counts as submitted.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from noisefs.core.errors import InvalidArgument

_PIECE: Final = re.compile(
    r"""\s*(?:
        <(?P<uri>[^<>\s]*)>
      | \[\s*(?P<etag>(?:W/)?"[^"]*")\s*\]
      | (?P<word>[Nn][Oo][Tt])(?=[\s<\[])
      | (?P<open>\()
      | (?P<close>\))
    )""",
    re.VERBOSE,
)

MAX_HEADER_CHARS: Final = 8192
"""No client sends more; the grammar is matched in one pass, so this only bounds the work."""
MAX_LISTS: Final = 200
"""Each may name a resource that has to be looked up."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: a state token or an entity tag that the resource must have (``negated``: must not have)."""

    value: str
    is_etag: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class ConditionList:
    """Conditions that must all hold for one resource; ``resource`` is empty for the Request-URI."""

    resource: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class IfHeader:
    """A parsed header; the empty one always holds."""

    lists: tuple[ConditionList, ...] = ()

    @property
    def tokens(self) -> frozenset[str]:
        """All state tokens that were submitted."""
        return frozenset(one.value for group in self.lists for one in group.conditions if not one.is_etag)

    @property
    def resources(self) -> frozenset[str]:
        """Resources that lists name; the empty string stands for the Request-URI."""
        return frozenset(group.resource for group in self.lists)

    def holds(self, has: Callable[[str, Condition], bool]) -> bool:
        """Whether the header lets the request pass. ``has`` tells whether a resource has a token or an entity tag."""
        return not self.lists or any(
            all(has(group.resource, one) is not one.negated for one in group.conditions) for group in self.lists
        )


def parse_if(header: str) -> IfHeader:
    """Parse the header's value.

    Raises:
        InvalidArgument: It does not follow the grammar.
    """
    if len(header) > MAX_HEADER_CHARS:
        raise InvalidArgument("If", f"{header[:64]}...", f"at most {MAX_HEADER_CHARS} characters")
    lists: list[ConditionList] = []
    conditions: list[Condition] | None = None
    resource = ""
    negated = False
    position, end = 0, len(header.rstrip())
    fresh_tag = False
    while position < end:
        piece = _PIECE.match(header, position)
        if piece is None:
            raise _malformed(header)
        position = piece.end()
        kind = piece.lastgroup
        if kind == "open" and conditions is None:
            conditions, fresh_tag = [], False
        elif kind == "close" and conditions and not negated:
            lists.append(ConditionList(resource, tuple(conditions)))
            conditions = None
        elif kind == "word" and conditions is not None and not negated:
            negated = True
        elif kind in ("uri", "etag") and conditions is not None:
            conditions.append(Condition(piece[kind], kind == "etag", negated))
            negated = False
        elif kind == "uri" and conditions is None and not fresh_tag and (resource or not lists) and piece["uri"]:
            resource, fresh_tag = piece["uri"], True
        else:
            raise _malformed(header)
    if conditions is not None or fresh_tag or not lists or len(lists) > MAX_LISTS:
        raise _malformed(header)
    return IfHeader(tuple(lists))


def _malformed(header: str) -> InvalidArgument:
    return InvalidArgument("If", header[:200], 'lists like (<token> ["etag"]), each behind <resource> or none of them')
