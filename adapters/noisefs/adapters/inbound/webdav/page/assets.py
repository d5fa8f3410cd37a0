"""Script and style of the page: files of our own, named by their content, at an address that no bucket has."""

import hashlib
from functools import cache
from importlib import resources
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers

_QUERY: Final = "noisefs-page="
_TYPES: Final = {"page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8"}
_FOR_EVER: Final = "private, max-age=31536000, immutable"


@cache
def _content(name: str) -> tuple[bytes, str]:
    """A file, and what names this state of it."""
    data = resources.files(__package__).joinpath(name).read_bytes()
    return data, hashlib.sha256(data).hexdigest()[:16]


def url_of(name: str, top: str) -> str:
    """Where a file is. A query belongs to no file of a share. ``top``: the path of the share's root, with its slash."""
    return f"{top}?{_QUERY}{name}&v={_content(name)[1]}"


def asset(raw_path: str) -> web.Response | None:
    """The file that a request is for; ``None``: it is for something else."""
    query = raw_path.partition("?")[2]
    if not query.startswith(_QUERY):
        return None
    name = query[len(_QUERY) :].partition("&")[0]
    if name not in _TYPES:
        return None
    headers = {"Cache-Control": _FOR_EVER, "Cross-Origin-Resource-Policy": "same-origin"}
    return answers.whole(200, _TYPES[name], _content(name)[0], headers)
