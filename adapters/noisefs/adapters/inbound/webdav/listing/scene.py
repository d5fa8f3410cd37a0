"""What is known about all resources of one answer."""

from dataclasses import dataclass
from typing import Final

from noisefs.adapters.inbound.webdav.places.view import WHOLE, View
from noisefs.adapters.inbound.webdav.rules.locking import LockMap

NO_LOCKS: Final = LockMap()


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known about all resources of one answer: locks on, above and below them, the time, how many bytes
    their bucket (``of_root``: all of the user's) holds and may still take, and where paths begin."""

    locks: LockMap = NO_LOCKS
    now_us: int = 0
    used_bytes: int | None = None
    free_bytes: int | None = None
    view: View = WHOLE
    of_root: bool = False
    may_write: bool = True
    may_delete: bool = True
    state: str = ""
    """Of the store: the entity tag of collections, for clients that look there whether anything below changed."""
