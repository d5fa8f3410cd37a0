"""Access control lists as headers say them: a canned one, or grants."""

import re
from collections.abc import Mapping
from typing import Final

from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.core.domain.rights.acl import CANNED, GROUPS, NO_ACL, AclWish
from noisefs.core.domain.rights.identity import user_of_canonical

CANNED_HEADER: Final = "x-amz-acl"
_GRANTS: Final = {
    "x-amz-grant-full-control": "FULL_CONTROL",
    "x-amz-grant-read": "READ",
    "x-amz-grant-read-acp": "READ_ACP",
    "x-amz-grant-write": "WRITE",
    "x-amz-grant-write-acp": "WRITE_ACP",
}
HEADERS: Final = frozenset({CANNED_HEADER, *_GRANTS})
_GRANTEE: Final = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*(?:"([^"]*)"|([^",\s]+))\s*(?:,|\Z)')
_GROUP_OF: Final = {uri: group for group, uri in GROUPS.items()}


def names_acl(headers: Mapping[str, str]) -> bool:
    """Whether a request brings a list."""
    return not HEADERS.isdisjoint(headers)


def acl_wish(headers: Mapping[str, str]) -> AclWish:
    """The list that headers ask for. Cost: nothing without one.

    Raises:
        S3Error: ``InvalidArgument`` and its like: it is no list, or two.
    """
    if HEADERS.isdisjoint(headers):
        return NO_ACL
    canned = headers.get(CANNED_HEADER, "")
    grants = [
        (grantee_of(kind, value), permission)
        for name, permission in _GRANTS.items()
        if headers.get(name)
        for kind, value in _grantees(name, headers[name])
    ]
    if canned and grants:
        raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    if canned and canned not in CANNED:
        raise invalid_argument(CANNED_HEADER, canned, "The canned ACL is not valid")
    return AclWish(grants=tuple(grants)) if grants else AclWish(canned) if canned else NO_ACL


def _grantees(name: str, text: str) -> list[tuple[str, str]]:
    found = []
    position = 0
    while position < len(text):
        match = _GRANTEE.match(text, position)
        if match is None:
            raise invalid_argument(name, text, 'Grantees are written as id="...", uri="..." or emailAddress="..."')
        found.append((match[1], match[2] if match[2] is not None else match[3]))
        position = match.end()
    return found


def grantee_of(kind: str, value: str) -> str:
    """A grantee as it is kept. ``kind``: ``id``, ``uri`` or ``emailAddress``.

    Raises:
        S3Error: It names nobody: users have no email address here.
    """
    if kind == "emailAddress":
        raise S3Error("UnresolvableGrantByEmailAddress")
    if kind == "uri":
        group = _GROUP_OF.get(value)
        if group is None:
            raise invalid_argument("Group/URI", value, "Invalid group uri")
        return group
    user_id = user_of_canonical(value)
    if user_id is None:
        raise invalid_argument("CanonicalUser/ID", value, "Invalid id")
    return user_id
