"""The paths under which these clients have the same tree: ``/remote.php/dav/files/USER/`` and ``/remote.php/webdav/``.

So a bucket that is called ``remote.php`` cannot show what it has under ``webdav`` and ``dav/files``, ``dav/uploads``.
"""

from typing import Final, NamedTuple

from noisefs.adapters.inbound.webdav.places.place import ROOT, Place

REMOTE: Final = "remote.php"
_FILES: Final = ["dav", "files"]
_UPLOADS: Final = ["dav", "uploads"]


class Alias(NamedTuple):
    """A path behind an alias.

    Attributes:
        base: What the path begins with, decoded.
        user: Whose it says it is; empty: it does not.
        place: What the rest names.
    """

    base: str
    user: str
    place: Place


class UploadPlace(NamedTuple):
    """Something of a chunked upload. ``chunk`` is empty for the upload itself, ``.file`` is all of its chunks."""

    user: str
    upload: str
    chunk: str

    @property
    def base(self) -> str:
        """What paths of files begin with beside it, decoded."""
        return f"/{REMOTE}/dav/files/{self.user}"

    @property
    def above(self) -> str:
        """What comes before the upload's name, decoded."""
        return f"/{REMOTE}/dav/uploads/{self.user}"


def alias_of(place: Place) -> Alias | None:
    """The alias in the path that was read as ``place``; ``None``: it is what it seems to be."""
    if place.bucket != REMOTE:
        return None
    segments = place.key.split("/")
    if segments[0] == "webdav":
        return Alias(f"/{REMOTE}/webdav", "", _place(segments[1:], slash=place.slash))
    if segments[:2] == _FILES and len(segments) > 2:
        user = segments[2]
        return Alias(f"/{REMOTE}/dav/files/{user}", user, _place(segments[3:], slash=place.slash))
    return None


def upload_of(place: Place) -> UploadPlace | None:
    """The part of a chunked upload that the path names."""
    segments = place.key.split("/") if place.bucket == REMOTE else []
    if segments[:2] != _UPLOADS or not 4 <= len(segments) <= 5:
        return None
    return UploadPlace(segments[2], segments[3], segments[4] if len(segments) == 5 else "")


def beyond(place: Place) -> Place:
    """What a path names, alias or not."""
    alias = alias_of(place)
    return place if alias is None else alias.place


def _place(segments: list[str], *, slash: bool) -> Place:
    if not segments:
        return ROOT
    return Place(segments[0], "/".join(segments[1:]), slash=slash)
