"""Which requests may take the short way: a plain one for a file, whose sender is known at once."""

from collections.abc import Mapping
from typing import Final

from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.webdav.auth.doorman import Doorman
from noisefs.adapters.inbound.webdav.nextcloud.alias import REMOTE
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.places.view import view_of
from noisefs.core.domain.requests import Principal

_UNUSUAL: Final = (
    "If",
    "Expect",
    "Transfer-Encoding",
    "Content-Range",
    "OC-Chunked",
    "Origin",
    "Sec-Fetch-Site",
    "X-Expected-Entity-Length",
)
"""Headers with which a request takes the long way."""


def plain_request(message: RawRequestMessage, doorman: Doorman) -> tuple[Principal, Place, Mapping[str, str]] | None:
    """Who asks, for which file, with which headers; ``None``: it takes the long way.

    Raises:
        InvalidArgument: The path is none; the long way finds the same and tells it.
    """
    headers = message.headers
    if any(name in headers for name in _UNUSUAL):
        return None
    if REMOTE in message.path:  # an alias: whose it is has to be looked at
        return None
    who = doorman.at_hand(headers.get("Authorization"))
    if who is None:
        return None
    place = view_of(who.root).place_of(message.path)
    if not place.key or place.slash:
        return None
    return who, place, headers
