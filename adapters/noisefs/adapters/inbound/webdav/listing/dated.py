"""Times of files that clients set as properties (PROPPATCH), in the forms that they have.

``DAV:getlastmodified`` with a date, ownCloud's ``DAV:lastmodified`` with seconds, and Windows' own properties. These
are kept as they were written too, since Windows asks for them again.
"""

from collections.abc import Mapping
from typing import Final

from noisefs.adapters.inbound.webdav.rules.preconditions import date_us
from noisefs.core.domain.records import Version

MODIFIED: Final = frozenset(("{DAV:}getlastmodified", "{DAV:}lastmodified"))
"""Properties that are the time of the last change, and nothing besides."""
_WINDOWS: Final = "{urn:schemas-microsoft-com:}"
WIN32_MODIFIED: Final = f"{_WINDOWS}Win32LastModifiedTime"
WIN32_CREATED: Final = f"{_WINDOWS}Win32CreationTime"
WIN32_ATTRIBUTES: Final = f"{_WINDOWS}Win32FileAttributes"
_SECOND_US: Final = 1_000_000
_LAST_SECOND: Final = 253_402_300_799


def time_us(text: str) -> int | None:
    """The time that a property's text names: a date of HTTP, or seconds since 1970; ``None``: none."""
    text = text.strip()
    if text.replace(".", "", 1).isdecimal() and text.isascii():
        seconds = float(text)
        return int(seconds * _SECOND_US) if seconds <= _LAST_SECOND else None
    found = date_us(text)
    return found if found is not None and 0 <= found <= _LAST_SECOND * _SECOND_US else None


def current(properties: Mapping[str, bytes], version: Version | None) -> Mapping[str, bytes]:
    """Properties of a file without Windows' time of the last change where it was changed since: Windows would believe
    that rather than ``DAV:getlastmodified``.
    """
    element = properties.get(WIN32_MODIFIED)
    if element is None or version is None:
        return properties
    text = element.decode().partition(">")[2].rpartition("</")[0]
    kept_us = time_us(text)
    if kept_us is None or kept_us // _SECOND_US == version.modified_us // _SECOND_US:
        return properties
    return {name: value for name, value in properties.items() if name != WIN32_MODIFIED}
