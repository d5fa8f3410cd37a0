"""Which properties a PROPFIND asks for (RFC 4918 section 9.1)."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.xml_input import parse_xml

MAX_NAMES: Final = 500
"""Properties that one request may name."""


class Mode(Enum):
    """The three forms of the request."""

    ALL = "allprop"
    NAMES = "propname"
    SOME = "prop"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to answer for each resource. ``names`` are in Clark notation: those asked for, or ``include``d in all."""

    mode: Mode
    names: tuple[str, ...] = ()


EVERYTHING: Final = Wanted(Mode.ALL)


def parse_propfind(body: bytes) -> Wanted:
    """What the body of a PROPFIND asks for; nothing in it means everything.

    Raises:
        Refused: 400; it is no ``propfind`` element, or names more than one form, or none.
    """
    if not body.strip():
        return EVERYTHING
    root = parse_xml(body)
    if root.tag != "{DAV:}propfind":
        raise Refused(400, "the body is no DAV:propfind element")
    forms = {str(child.tag): child for child in root if str(child.tag) in _FORMS}
    asked = [tag for tag in forms if tag != "{DAV:}include"]
    if len(asked) != 1 or ("{DAV:}include" in forms and asked != ["{DAV:}allprop"]):
        raise Refused(400, "a propfind has exactly one of propname, allprop (perhaps with include) and prop")
    mode = _FORMS[asked[0]]
    named = forms.get("{DAV:}include" if mode is Mode.ALL else "{DAV:}prop")
    names = () if named is None else tuple(dict.fromkeys(str(child.tag) for child in named))
    if len(names) > MAX_NAMES:
        raise Refused(400, f"at most {MAX_NAMES} properties may be named")
    return Wanted(mode, names)


_FORMS: Final = {
    "{DAV:}propname": Mode.NAMES,
    "{DAV:}allprop": Mode.ALL,
    "{DAV:}prop": Mode.SOME,
    "{DAV:}include": Mode.ALL,
}
