"""Configurations as they were put: every element and text again, and nothing else."""

from lxml import etree

from noisefs.adapters.inbound.s3.xml.reading import name_of
from noisefs.adapters.inbound.s3.xml.text import xml_text

_DEPTH_MOST = 32


def content_of(root: etree._Element) -> str:
    """What is inside an element, escaped, for an answer under S3's own namespace. White space between elements goes."""
    return _inside(root, _DEPTH_MOST)


def _inside(element: etree._Element, depth: int) -> str:
    if not len(element) or not depth:
        return xml_text(element.text or "")
    return "".join([f"<{name_of(child)}>{_inside(child, depth - 1)}</{name_of(child)}>" for child in element])
