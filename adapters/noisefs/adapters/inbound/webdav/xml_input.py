"""XML from clients: parsed once, without entities, document types, comments or deep nesting.

The document is read by expat first, which reports a document type declaration before it expands anything, then by
lxml with entities off. The same bytes, cleaned, are what WsgiDAV gets to read.
"""

from typing import Final
from xml.parsers import expat

from lxml import etree

from noisefs.adapters.inbound.webdav.refusal import Refused

MAX_DEPTH: Final = 64
"""Elements inside elements: WebDAV's own need about ten, a dead property may bring some of its own."""
MAX_ELEMENTS: Final = 20_000
"""Elements of one document."""


class _Screen:
    """Watches expat's events and refuses what must not reach a tree builder."""

    def __init__(self) -> None:
        self._depth = 0
        self._elements = 0

    def doctype(self, *_declaration: object) -> None:
        raise Refused(400, "a document type declaration is not allowed")

    def start(self, _name: str, _attributes: object) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH:
            raise Refused(400, f"elements are nested deeper than {MAX_DEPTH}")
        if self._elements > MAX_ELEMENTS:
            raise Refused(400, f"more than {MAX_ELEMENTS} elements")

    def end(self, _name: str) -> None:
        self._depth -= 1


def parse_xml(body: bytes) -> "etree._Element":
    """The document's root.

    Raises:
        Refused: 400; it is not well-formed, uses an undeclared prefix, has a document type, or is too deep or wide.

    Cost: two passes over the bytes, whose number the caller has bounded; a tree of about ten times their size.
    """
    screen = _Screen()
    reader = expat.ParserCreate(namespace_separator=" ")
    reader.StartDoctypeDeclHandler = screen.doctype
    reader.StartElementHandler = screen.start
    reader.EndElementHandler = screen.end
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        reader.Parse(body, True)
        return etree.fromstring(body, parser)
    except expat.ExpatError as exc:
        raise Refused(400, f"the body is no well-formed XML: {exc}") from exc
    except (etree.XMLSyntaxError, LookupError, ValueError) as exc:  # unknown encodings are looked up
        raise Refused(400, "the body is no well-formed XML") from exc


def xml_bytes(element: "etree._Element") -> bytes:
    """The element as a document of its own, in UTF-8, without what stands behind it."""
    return etree.tostring(element, encoding="UTF-8", xml_declaration=False, with_tail=False)
