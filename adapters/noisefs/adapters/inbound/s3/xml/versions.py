"""Listings of versions as XML. Built with f-strings: a page of 1000 takes about 1.5 ms."""

import asyncio
from collections.abc import Sequence
from typing import Final

from noisefs.adapters.inbound.s3.xml.documents import person
from noisefs.adapters.inbound.s3.xml.listing import Checks, Encode
from noisefs.adapters.inbound.s3.xml.text import iso_time
from noisefs.core.domain.requests import Principal, VersionEntry

_AT_ONCE: Final = 250
"""Entries that are written before other requests have their turn."""


async def entries(page: Sequence[VersionEntry], encode: Encode, who: Principal) -> str:
    """The versions and delete markers of a page, in its order."""
    people = {owner: person("Owner", owner, who) for owner in {entry.version.owner for entry in page}}
    checks = Checks()
    written: list[str] = []
    for start in range(0, len(page), _AT_ONCE):
        if start:
            await asyncio.sleep(0)
        for entry in page[start : start + _AT_ONCE]:
            version = entry.version
            begin = (
                f"<Key>{encode(entry.key)}</Key><VersionId>{entry.version_id}</VersionId>"
                f"<IsLatest>{'true' if entry.latest else 'false'}</IsLatest>"
                f"<LastModified>{iso_time(version.modified_us)}</LastModified>"
            )
            if version.delete_marker:
                written.append(f"<DeleteMarker>{begin}{people[version.owner]}</DeleteMarker>")
            else:
                written.append(
                    f"<Version>{begin}<ETag>&quot;{version.etag}&quot;</ETag>{checks(version)}<Size>{version.size}</Size>"
                    f"{people[version.owner]}<StorageClass>STANDARD</StorageClass></Version>"
                )
    return "".join(written)
