"""Listings of objects as XML. Built with f-strings: a page of 1000 keys takes about 0.8 ms."""

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
"""How keys, prefixes and delimiters are written: escaped for XML, or percent-encoded where the client asked for that.
A text that needs neither is returned itself."""


def encoder(encoding_type: str) -> Encode:
    """The encoding of names. ``encoding_type``: ``url`` or empty."""
    return url_text if encoding_type == "url" else xml_text


class Checks:
    """What listings say about checksums: few different texts, each made once. Cost: 0.2 us an entry."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, ...], str] = {("",): ""}

    def __call__(self, entry: Listed) -> str:
        """The elements of one entry."""
        kind = (entry.checksum_type, *entry.checksums)
        text = self._texts.get(kind)
        if text is None:
            named = "".join([f"<ChecksumAlgorithm>{name}</ChecksumAlgorithm>" for name in entry.checksums])
            text = self._texts[kind] = f"{named}<ChecksumType>{entry.checksum_type}</ChecksumType>"
        return text


async def contents(entries: Sequence[tuple[str, Listed]], encode: Encode, who: Principal, *, owners: bool) -> str:
    """The entries of a page."""
    begin = "<Contents><Key>"
    middle = "</Key><LastModified>"
    end = "<StorageClass>STANDARD</StorageClass></Contents>"
    people: dict[str, str] = {}
    if owners:
        people = {owner: person("Owner", owner, who) for owner in {entry.owner for _, entry in entries}}
    told = people.get
    checks = Checks()
    written: list[str] = []
    for start in range(0, len(entries), _AT_ONCE):
        if start:
            await asyncio.sleep(0)
        batch = entries[start : start + _AT_ONCE]
        names = "".join([key for key, _ in batch])
        plain_names = encode(names) is names  # then none of them needs encoding
        written += [
            f"{begin}{key if plain_names else encode(key)}{middle}{iso_time(entry.modified_us)}</LastModified>"
            f"<ETag>&quot;{entry.etag}&quot;</ETag>{checks(entry)}<Size>{entry.size}</Size>{told(entry.owner, '')}{end}"
            for key, entry in batch
        ]
    return "".join(written)


def common_prefixes(prefixes: Sequence[str], encode: Encode) -> str:
    """The common prefixes of a page."""
    return "".join([f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes])
