"""The page of a collection, piece by piece: rows are made as members come.

Names are text, never markup: each is escaped, and kept from turning the writing direction of what stands beside it. The
only script that runs is ours, by a nonce; without it everything can still be seen and downloaded.
"""

import asyncio
import html
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from noisefs.adapters.inbound.webdav.page.assets import url_of
from noisefs.adapters.inbound.webdav.places.nodes import Node
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.places.view import View
from noisefs.core.domain.records import Version

_SLICE: Final = 24
"""Rows that are made before the loop gets a turn: they take some 20 us each."""
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        node: The collection.
        view: How whoever looks has its URLs.
        links: Collections beside it: what to call each, and where it is.
        writable: Whether to offer uploads.
        removable: Whether to offer deleting.
        restores: What a deleted file's key begins with in the trash, and what it does instead where a button brings it
            back to.
    """

    node: Node
    view: View
    links: tuple[tuple[str, Place], ...] = ()
    writable: bool = True
    removable: bool = True
    restores: tuple[str, str] | None = None
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def headers(self) -> dict[str, str]:
        """What a browser may do with the page."""
        policy = (
            f"default-src 'none'; script-src 'nonce-{self.nonce}'; style-src 'nonce-{self.nonce}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        )
        return {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": policy,
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "X-Frame-Options": "DENY",
            "Cache-Control": "no-store",
        }

    async def pieces(self, pages: AsyncIterator[Sequence[Node]]) -> AsyncIterator[bytes]:
        """The page as it is sent. ``pages``: the members."""
        yield self._head().encode("utf-8", "replace")
        async for members in pages:
            for begin in range(0, len(members), _SLICE):
                some = members[begin : begin + _SLICE]
                yield "".join([self._row(member) for member in some]).encode("utf-8", "replace")
                await asyncio.sleep(0)
        yield b"</tbody></table></body></html>\n"

    def _url(self, node: Node) -> str:
        return html.escape(self.view.shown(node.href))

    def _head(self) -> str:
        node, nonce = self.node, self.nonce
        top = f"{quote(self.view.base)}/"
        path = self.view.shown(node.place.href(collection=True))
        title = html.escape(node.place.name or "/")
        crumbs = "" if path == top else f'<a href="{html.escape(self._above())}">..</a> '
        links = "".join(
            f'<a href="{html.escape(self.view.shown(place.href(collection=True)))}">{html.escape(label)}</a> '
            for label, place in self.links
        )
        offers = ""
        if self.writable and not node.place.is_root:
            offers = (
                '<label>Upload <input type="file" id="files" multiple></label>'
                '<button type="button" id="folder">New folder</button>'
            )
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width">'
            f'<link rel="stylesheet" nonce="{nonce}" href="{html.escape(url_of("page.css", top))}">'
            f'<script defer nonce="{nonce}" src="{html.escape(url_of("page.js", top))}"></script></head>\n'
            f'<body data-base="{html.escape(path)}"><h1><bdi>{html.escape(_spelled(path))}</bdi></h1>\n'
            f'<nav>{crumbs}{links}{offers}</nav><p id="told" role="status"></p>\n'
            '<table><thead><tr><th>Name</th><th class="size">Size</th><th>Modified</th><th></th></tr></thead><tbody>\n'
        )

    def _above(self) -> str:
        return self.view.shown(self.node.place.parent.href(collection=True))

    def _row(self, member: Node) -> str:
        url = self._url(member)
        name = html.escape(member.place.name)
        label = f"{name}/" if member.is_collection else name
        acts = "" if member.is_collection else f'<a href="{url}" download="{name}">Download</a> '
        if self.restores is not None:
            key = f"{self.restores[1]}{member.place.key.removeprefix(self.restores[0])}"
            target = html.escape(self.view.shown(Place(member.place.bucket, key).href(collection=member.is_collection)))
            acts += (
                f'<button type="button" data-href="{url}" data-name="{name}" data-target="{target}">Restore</button> '
            )
        if self.removable:
            acts += f'<button type="button" data-href="{url}" data-name="{name}">Delete</button>'
        size, date = ("", "") if member.version is None else (_size(member.version), _date(member.version))
        return (
            f'<tr><td><bdi><a href="{url}">{label}</a></bdi></td><td class="size">{size}</td>'
            f'<td class="date">{date}</td><td class="acts">{acts}</td></tr>\n'
        )


def _spelled(path: str) -> str:
    """A URL path for people."""
    return unquote(path, errors="replace")


def _size(version: Version) -> str:
    size, unit = float(version.size), 0
    while size >= 1024 and unit + 1 < len(_UNITS):
        size, unit = size / 1024, unit + 1
    return f'<span title="{version.size:,} bytes">{size:.{1 if unit else 0}f} {_UNITS[unit]}</span>'


def _date(version: Version) -> str:
    try:
        return datetime.fromtimestamp(version.modified_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return ""
