"""PROPPATCH: changes of properties, in their order, all or none (RFC 4918 section 9.2).

WsgiDAV's own takes what it should ignore for an error, and its answers name no precondition.
"""

from copy import deepcopy
from http import HTTPStatus
from typing import Final

from aiohttp import web
from lxml import etree

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.engine.errand import Errand
from noisefs.adapters.inbound.webdav.files.claims import checksums_of
from noisefs.adapters.inbound.webdav.listing import multistatus
from noisefs.adapters.inbound.webdav.listing.dated import MODIFIED, WIN32_CREATED, WIN32_MODIFIED, time_us
from noisefs.adapters.inbound.webdav.nextcloud.properties import CHECKSUMS
from noisefs.adapters.inbound.webdav.places.nodes import Node
from noisefs.adapters.inbound.webdav.refusal import PROTECTED, Refused, refusal_of
from noisefs.adapters.inbound.webdav.xml_input import parse_xml, xml_bytes
from noisefs.core.errors import NoisefsError
from noisefs.core.services.namespace.trees.times import Times

_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_DEPENDENT: Final = Refused(424, "another property of the request could not be changed")


class Patch:
    """The changes that one request asks for. Belongs to the errand's thread."""

    def __init__(self, node: Node) -> None:
        self.names: list[str] = []
        """Of all properties that the request names, each once."""
        self.refused: dict[str, Refused] = {}
        """Those that cannot be changed, by name."""
        self._node = node
        self._changes: dict[str, bytes | None] = {}
        self._modified_us: int | None = None
        self._created_us: int | None = None
        self._strict = False
        """A time is asked for by name: it must be set. Windows' copies of it may stay without effect."""

    def add(self, name: str, value: "etree._Element | None") -> None:
        """Set or (``None``) remove a property, after those that were added before."""
        if name not in self.refused:
            if name not in self.names:
                self.names.append(name)
            refused = self._refusal(name, value)
            if refused is not None:
                self.refused[name] = refused

    def commit(self, errand: Errand) -> None:
        """Make the changes, all or none; ``refused`` tells about all of them where they cannot be made.

        Raises:
            Refused: A lock forbids it, or a condition does not hold any more.
        """
        times = None
        if self._modified_us is not None or self._created_us is not None:
            times = Times(errand.services.clock.now_us(), self._modified_us, self._created_us, self._strict)
        properties, bucket = errand.services.properties, self._node.place.bucket
        try:
            errand.run(
                properties.update(errand.who, bucket, self._node.key, self._changes, first=errand.first, times=times)
            )
        except NoisefsError as exc:
            self.refused = dict.fromkeys(self.names, refusal_of(exc))

    def _refusal(self, name: str, value: "etree._Element | None") -> Refused | None:
        """Why this change cannot be made; ``None``: it can, and is noted."""
        is_file = not self._node.is_collection
        if name in MODIFIED and value is not None and is_file:
            self._modified_us = time_us(value.text or "")
            self._strict = True
            return Refused(409, f"{name} is a date, or seconds since 1970") if self._modified_us is None else None
        if name == CHECKSUMS and value is not None and self._has_checksums(" ".join(map(str, value.itertext()))):
            return None
        if name != multistatus.DISPLAYNAME and (name.startswith("{DAV:}") or name in multistatus.LIVE):
            return Refused(403, f"{name} is protected", condition=PROTECTED)
        if value is not None and is_file:
            if name == WIN32_MODIFIED:
                self._modified_us = time_us(value.text or "") or self._modified_us
            elif name == WIN32_CREATED:
                self._created_us = time_us(value.text or "") or self._created_us
        self._changes[name] = None if value is None else _with_language(value)
        return None

    def _has_checksums(self, text: str) -> bool:
        """Whether these are known of the file already: some clients set them together with its time."""
        version = self._node.version
        known = "" if version is None else checksums_of(version)
        return bool(text.strip()) and set(text.lower().split()) <= set(known.lower().split())


def answer(errand: Errand, body: bytes) -> web.Response:
    """Do what the body of a PROPPATCH asks for. Runs in the errand's thread.

    Raises:
        Refused: 400, 404, 412, 423.
    """
    node = errand.found.get(errand.place.path)
    if node is None:
        raise Refused(404, f"{errand.place.path!r} does not exist")
    patch = Patch(node)
    _read(patch, body)
    if patch.refused:
        patch.refused = {name: patch.refused.get(name, _DEPENDENT) for name in patch.names}
    else:
        patch.commit(errand)
    href = errand.view.shown(node.href)
    return answers.whole(207, multistatus.CONTENT_TYPE, _told(href, patch))


def _read(patch: Patch, body: bytes) -> None:
    """Add the changes in a document's order. What it does not know in there it ignores (section 17)."""
    root = parse_xml(body) if body.strip() else None
    if root is None or root.tag != "{DAV:}propertyupdate":
        raise Refused(400, "the body is no DAV:propertyupdate element")
    for step in root:
        if step.tag in ("{DAV:}set", "{DAV:}remove"):
            for prop in step.iterchildren("{DAV:}prop"):
                for element in prop:
                    patch.add(str(element.tag), element if step.tag == "{DAV:}set" else None)
    if not patch.names:
        raise Refused(400, "a propertyupdate sets or removes at least one property")


def _told(href: str, patch: Patch) -> bytes:
    """The 207 answer: properties by what became of them."""
    outcomes: dict[tuple[int, str], list[str]] = {}
    for name in patch.names:
        refused = patch.refused.get(name)
        outcome = (200, "") if refused is None else (refused.status, refused.condition)
        outcomes.setdefault(outcome, []).append(multistatus.element(name, ""))
    stats = "".join(_stat(status, condition, "".join(props)) for (status, condition), props in outcomes.items())
    response = f"<D:response><D:href>{href}</D:href>{stats}</D:response>"
    return multistatus.HEAD + response.encode() + multistatus.TAIL


def _stat(status: int, condition: str, props: str) -> str:
    error = f"<D:error><D:{condition}/></D:error>" if condition else ""
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    return f"<D:propstat><D:prop>{props}</D:prop><D:status>{line}</D:status>{error}</D:propstat>"


def _with_language(value: "etree._Element") -> bytes:
    """The element's XML with the language it is in, which it may have from an ancestor (RFC 4918 section 4.3)."""
    language = next((above.get(_LANG) for above in (value, *value.iterancestors()) if above.get(_LANG)), None)
    if language is not None:
        value.set(_LANG, language)
    alone = deepcopy(value)  # so that it declares no namespaces but its own
    etree.cleanup_namespaces(alone)
    return xml_bytes(alone)
