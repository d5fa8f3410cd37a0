"""What ``/`` is for whoever asks: the list of buckets, or one place in one of them.

A user's root is where WebDAV paths begin. It gives no rights and takes none: those are for policies to say.
"""

from typing import Final, NamedTuple

from noisefs.adapters.inbound.webdav.nextcloud.alias import beyond
from noisefs.adapters.inbound.webdav.places.place import ROOT, Place, place_of, quoted


class View(NamedTuple):
    """How URLs and places go together for one user.

    Attributes:
        root: The place that ``/`` names.
        base: What URL paths begin with where the request's did: an alias, decoded (:mod:`.nextcloud.alias`).
    """

    root: Place = ROOT
    base: str = ""

    def place_of(self, target: str) -> Place:
        """The place a request target or an href names for this user. Raises as :func:`.place.place_of`."""
        place = beyond(place_of(target))
        root = self.root
        if root.is_root:
            return place
        if place.is_root:
            return Place(root.bucket, root.key, slash=True)
        return Place(root.bucket, f"{root.prefix}{place.path[1:]}", place.slash)

    def shown(self, href: str) -> str:
        """The URL path, as this user has it, of what :meth:`.place.Place.href` says. Above their root: the root."""
        if not self.root.is_root:
            top = self.root.href(collection=False)
            href = href[len(top) :] or "/" if f"{href}/".startswith(f"{top}/") else "/"
        return f"{quoted(self.base)}{href}" if self.base else href

    def is_top(self, place: Place) -> bool:
        """Whether the place is the user's root, which goes neither away nor elsewhere."""
        return place.path == self.root.path


WHOLE: Final = View()
"""That of a user without a root of their own."""


def view_of(root: str) -> View:
    """The view of a user with this root, as it is kept: a bucket's name, perhaps with a key behind a slash."""
    if not root:
        return WHOLE
    bucket, _, key = root.partition("/")
    return View(Place(bucket, key, slash=True))
