"""Pieces of S3's answers that several operations share. All texts are escaped here."""

from collections.abc import Mapping

from noisefs.adapters.inbound.s3.xml.text import xml_text
from noisefs.core.domain.requests import Principal


def element(name: str, text: str) -> str:
    """One element with text."""
    return f"<{name}>{xml_text(text)}</{name}>"


def optional(name: str, text: str) -> str:
    """One element, or nothing where the text is empty."""
    return f"<{name}>{xml_text(text)}</{name}>" if text else ""


def flag(name: str, *, value: bool) -> str:
    """One element that is ``true`` or ``false``."""
    return f"<{name}>{'true' if value else 'false'}</{name}>"


def person(name: str, user_id: str, who: Principal) -> str:
    """An ``Owner`` or ``Initiator``. Only the caller's own name is told."""
    display = element("DisplayName", who.name) if user_id == who.user_id else ""
    return f"<{name}>{element('ID', user_id)}{display}</{name}>"


def etag(value: str) -> str:
    """An ``ETag``, quoted."""
    return f"<ETag>&quot;{xml_text(value)}&quot;</ETag>"


def checksums(found: Mapping[str, str], kind: str = "") -> str:
    """Checksum elements, and their type."""
    texts = "".join([element(f"Checksum{algorithm}", checksum) for algorithm, checksum in found.items()])
    return texts + optional("ChecksumType", kind if texts else "")


def full_control(owner_id: str, who: Principal) -> str:
    """The only access control list there is: the owner may do everything."""
    display = element("DisplayName", who.name) if owner_id == who.user_id else ""
    grantee = (
        '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'
        f"{element('ID', owner_id)}{display}</Grantee>"
    )
    return (
        f"{person('Owner', owner_id, who)}<AccessControlList><Grant>{grantee}"
        "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList>"
    )
