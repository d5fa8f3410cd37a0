"""What a WebDAV request asks for, in the words of policies, so that the same rights count here as for S3.

A request with a user's password or access key has all condition keys that do not come from S3's own headers.
"""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.core.domain.requests import Asking, Need, Principal
from noisefs.core.domain.rights.caller_keys import of_caller, utc_time

_ACTIONS: Final = {
    "GET": ("s3:GetObject",),
    "HEAD": ("s3:GetObject",),
    "PUT": ("s3:PutObject",),
    "PATCH": ("s3:PutObject",),
    "MKCOL": ("s3:PutObject",),
    "PROPPATCH": ("s3:PutObject",),
    "LOCK": ("s3:PutObject",),
    "UNLOCK": ("s3:PutObject",),
    "DELETE": ("s3:DeleteObject",),
    "COPY": ("s3:GetObject",),
    "MOVE": ("s3:GetObject", "s3:DeleteObject"),
}
"""What a method does to the object or collection that it names."""
_LIST: Final = "s3:ListBucket"
_OF_BUCKET: Final = {"DELETE": "s3:DeleteBucket"}
TWOFOLD: Final = frozenset(("COPY", "MOVE"))
"""Methods with a ``Destination``."""
_READS: Final = frozenset(("GET", "HEAD"))
_TREES: Final = frozenset(("PROPPATCH", "UNLOCK", "DELETE", "COPY", "MOVE"))
"""Methods that may be about a collection whose URL has no slash, and make nothing. (LOCK may make a file.)"""


def asking_for(
    who: Principal, request: web.BaseRequest, method: str, place: Place, target: Place | None, now_us: int
) -> Asking:
    """What the request asks for. ``target``: of a COPY or MOVE."""
    needs = list(_needs(method, place))
    if target is not None:
        needs.append(Need("s3:PutObject", target.bucket, target.prefix if target.slash else target.key, either=True))
    name = str(request.get("request_id") or "")
    return Asking(tuple(needs), _Context(who, request, place, now_us), request_id=name)


def _needs(method: str, place: Place) -> Sequence[Need]:
    if place.is_root:
        return ()
    actions = _ACTIONS.get(method)
    if actions is None or (method in _READS and (place.is_bucket or place.slash)):
        return (Need(_LIST, place.bucket),)
    if place.is_bucket:
        return (Need(_OF_BUCKET.get(method, "s3:CreateBucket"), place.bucket),)
    key = place.prefix if place.slash or method == "MKCOL" else place.key
    return [Need(action, place.bucket, key, either=method in _TREES) for action in actions]


class _Context:
    """Condition keys of one request."""

    __slots__ = ("_now_us", "_place", "_request", "_who")

    def __init__(self, who: Principal, request: web.BaseRequest, place: Place, now_us: int) -> None:
        self._who = who
        self._request = request
        self._place = place
        self._now_us = now_us

    def __call__(self, key: str) -> Sequence[str] | None:
        value = self._value(key)
        return None if value is None else (value,)

    def _value(self, key: str) -> str | None:
        request = self._request
        match key:
            case "aws:sourceip":
                return str(request.get("client") or request.remote or "")
            case "aws:securetransport":
                return "true" if (request.get("scheme") or request.scheme) == "https" else "false"
            case "aws:currenttime":
                return utc_time(self._now_us)
            case "aws:epochtime":
                return str(self._now_us // 1_000_000)
            case "aws:useragent":
                return request.headers.get("User-Agent")
            case "aws:referer":
                return request.headers.get("Referer")
            case "s3:prefix":
                return self._place.prefix if self._place.key else ""
            case "s3:delimiter":
                deep = request.method == "PROPFIND" and request.headers.get("Depth", "infinity").lower() == "infinity"
                return None if deep else "/"
            case "aws:resourceaccount" | "s3:resourceaccount":
                return self._who.account or None
        return of_caller(key, self._who)
