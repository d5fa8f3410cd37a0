"""What the listing of a large folder leaves out for clients that ask for everything and do not want it.

Windows takes no listing of more than 1,000,000 bytes (``FileAttributesLimitInBytes``), then shows an empty folder, and
asks without a body, which means everything. Up to a page of members everybody gets everything; so does whoever asks by
a body.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from noisefs.adapters.inbound.webdav.listing.dated import WIN32_ATTRIBUTES
from noisefs.adapters.inbound.webdav.listing.wanted import EVERYTHING, Wanted

LARGE: Final = 200
"""Members on the first page from which on a folder is large."""
_LOCKS: Final = frozenset(("{DAV:}supportedlock", "{DAV:}lockdiscovery"))
_BEYOND_WINDOWS: Final = _LOCKS | {"{DAV:}displayname", "{DAV:}getetag", "{DAV:}getcontenttype"}
"""What Windows does not look at in a listing."""
_WINDOWS: Final = "Microsoft-WebDAV-MiniRedir"


class Brevity(NamedTuple):
    """What is left out.

    Attributes:
        live: Live properties.
        notes: Dead properties too, but for Windows' attributes of a file: its times say nothing that the live ones do
            not (:func:`.dated.current`).
    """

    live: frozenset[str] = frozenset()
    notes: bool = False

    def kept(self, properties: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """The dead properties of a resource that are shown."""
        if not self.notes:
            return properties
        return {name: value for name, value in properties.items() if name == WIN32_ATTRIBUTES}


NO_BREVITY: Final = Brevity()


def brevity_of(headers: Mapping[str, str], wanted: Wanted, first_page: int, *, locked: bool) -> Brevity:
    """How brief the answer to a PROPFIND is. ``first_page``: resources on it; ``locked``: any of them is.

    Cost: nothing for a small folder.
    """
    if first_page < LARGE or wanted is not EVERYTHING:
        return NO_BREVITY
    if headers.get("User-Agent", "").startswith(_WINDOWS):
        return Brevity(_BEYOND_WINDOWS, notes=True)
    return Brevity(_LOCKS - {"{DAV:}lockdiscovery"} if locked else _LOCKS)
