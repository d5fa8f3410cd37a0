"""Tags as S3 writes them: in XML, and in a header as a query."""

from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes

from lxml import etree

from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.xml.documents import element
from noisefs.adapters.inbound.s3.xml.reading import name_of, texts_of
from noisefs.core.domain.buckets.tags import OBJECT_MOST, checked_tags
from noisefs.core.errors import InvalidArgument

HEADER = "x-amz-tagging"


def tags_of(root: etree._Element, most: int) -> dict[str, str]:
    """The tags of a ``Tagging``.

    Raises:
        S3Error: ``MalformedXML``, ``InvalidTag``.
    """
    if len(root) != 1 or name_of(root[0]) != "TagSet":
        raise S3Error("MalformedXML")
    return listed_tags(root[0], most)


def listed_tags(element_: etree._Element, most: int) -> dict[str, str]:
    """The tags in an element. Raises as :func:`tags_of`."""
    pairs = []
    for child in element_:
        fields = texts_of(child)
        if name_of(child) != "Tag" or fields.keys() != {"Key", "Value"}:
            raise S3Error("MalformedXML")
        pairs.append((fields["Key"], fields["Value"]))
    return valid_tags(pairs, most)


def valid_tags(pairs: Iterable[tuple[str, str]], most: int) -> dict[str, str]:
    """The tags by key. Raises ``S3Error``: ``InvalidTag``."""
    try:
        return checked_tags(pairs, most)
    except InvalidArgument as exc:
        raise S3Error("InvalidTag", str(exc)) from exc


def header_tags(text: str) -> dict[str, str]:
    """The tags of an ``x-amz-tagging`` header.

    Raises:
        S3Error: ``InvalidArgument``: it is no query; ``InvalidTag``.
    """
    pairs = []
    for item in text.split("&") if text else ():
        name, _, value = item.partition("=")
        try:
            pairs.append((_decoded(name), _decoded(value)))
        except UnicodeDecodeError as exc:
            raise _malformed(text) from exc
    if len({name for name, _ in pairs}) < len(pairs):
        raise _malformed(text)
    return valid_tags(pairs, OBJECT_MOST)


def tag_texts(tags: Mapping[str, str]) -> str:
    """``Tag`` elements."""
    return "".join([f"<Tag>{element('Key', key)}{element('Value', value)}</Tag>" for key, value in tags.items()])


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape")).decode()


def _malformed(text: str) -> S3Error:
    return invalid_argument(
        HEADER,
        text,
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
        "duplicates.",
    )
