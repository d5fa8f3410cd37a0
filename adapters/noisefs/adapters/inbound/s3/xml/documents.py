"""Pieces of S3's answers that several operations share. All texts are escaped here."""

from collections.abc import Mapping
from types import MappingProxyType

from noisefs.adapters.inbound.s3.xml.text import xml_text
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.requests import Principal
from noisefs.core.domain.rights.identity import canonical_id


def element(name: str, text: str) -> str:
    """One element with text."""
    return f"<{name}>{xml_text(text)}</{name}>"


def optional(name: str, text: str) -> str:
    """One element, or nothing where the text is empty."""
    return f"<{name}>{xml_text(text)}</{name}>" if text else ""


def flag(name: str, *, value: bool) -> str:
    """One element that is ``true`` or ``false``."""
    return f"<{name}>{'true' if value else 'false'}</{name}>"


def person(name: str, user_id: str, who: Principal, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """An ``Owner`` or ``Initiator``. The caller's own name is told, and those in ``names``."""
    display = optional("DisplayName", who.name if user_id == who.user_id else names.get(user_id, ""))
    return f"<{name}>{element('ID', canonical_id(UserId(user_id)))}{display}</{name}>"


def etag(value: str) -> str:
    """An ``ETag``, quoted."""
    return f"<ETag>&quot;{xml_text(value)}&quot;</ETag>"


def checksums(found: Mapping[str, str], kind: str = "") -> str:
    """Checksum elements, and their type."""
    texts = "".join([element(f"Checksum{algorithm}", checksum) for algorithm, checksum in found.items()])
    return texts + optional("ChecksumType", kind if texts else "")
