"""Access control lists as XML, out and in."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from lxml import etree

from noisefs.adapters.inbound.s3.asking.acl_headers import grantee_of
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.xml.documents import element, optional
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.rights.acl import GROUPS, PERMISSIONS
from noisefs.core.domain.rights.identity import canonical_id, user_of_canonical

_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_KINDS: Final = {"ID": "id", "URI": "uri", "EmailAddress": "emailAddress"}
_MALFORMED: Final = "MalformedACLError"


class AclDocument(NamedTuple):
    """A list as a request writes it. ``owner``: whose it says the thing is."""

    owner: UserId | None
    grants: tuple[tuple[str, str], ...]


def acl_content(owner: str, grants: Iterable[tuple[str, str]], names: Mapping[str, str]) -> str:
    """What is inside of an ``AccessControlPolicy``."""
    written = grants_content(grants, names)
    shown = element("ID", canonical_id(UserId(owner))) + optional("DisplayName", names.get(owner, ""))
    return f"<Owner>{shown}</Owner><AccessControlList>{written}</AccessControlList>"


def grants_content(grants: Iterable[tuple[str, str]], names: Mapping[str, str]) -> str:
    """Grants, one behind the other."""
    return "".join(f"<Grant>{_grantee(who, names)}{element('Permission', what)}</Grant>" for who, what in grants)


def _grantee(who: str, names: Mapping[str, str]) -> str:
    uri = GROUPS.get(who)
    if uri is not None:
        kind, shown = "Group", element("URI", uri)
    else:
        kind = "CanonicalUser"
        shown = element("ID", canonical_id(UserId(who))) + optional("DisplayName", names.get(who, ""))
    return f'<Grantee xmlns:xsi="{_XSI}" xsi:type="{kind}">{shown}</Grantee>'


def acl_of(root: etree._Element) -> AclDocument:
    """The list in an ``AccessControlPolicy``.

    Raises:
        S3Error: ``MalformedACLError``, or what :func:`.grantee_of` raises.
    """
    owner: UserId | None = None
    grants: list[tuple[str, str]] = []
    listed = False
    for child in root:
        if name_of(child) == "Owner":
            text = text_of(child, "ID")
            owner = None if text is None else user_of_canonical(text.strip()) or UserId("?")
        elif name_of(child) == "AccessControlList" and not listed:
            listed = True
            grants += [grant_of(grant) for grant in child]
        else:
            raise S3Error(_MALFORMED)
    if not listed:
        raise S3Error(_MALFORMED)
    return AclDocument(owner, tuple(grants))


def grant_of(grant: etree._Element) -> tuple[str, str]:
    """Grantee and permission.

    Raises:
        S3Error: As :func:`acl_of`.
    """
    grantees = [child for child in grant if name_of(child) == "Grantee"]
    permission = (text_of(grant, "Permission") or "").strip()
    if name_of(grant) != "Grant" or len(grantees) != 1 or permission not in PERMISSIONS:
        raise S3Error(_MALFORMED)
    named = [(kind, text_of(grantees[0], name)) for name, kind in _KINDS.items()]
    found = [(kind, text.strip()) for kind, text in named if text is not None]
    if len(found) != 1:
        raise S3Error(_MALFORMED)
    return grantee_of(*found[0]), permission
