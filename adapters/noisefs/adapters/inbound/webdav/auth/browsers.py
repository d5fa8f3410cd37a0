"""What browsers ask before and beside requests: scripts of other origins (CORS), and pages that would act for a user.

A preflight comes without credentials. It is answered from the settings and the bucket's rules alone, and tells nothing
else. A bucket's rules name S3's methods: each of WebDAV's is as good as those that do the same.
"""

import re
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.cross_origin.rule import KIND, Rule, is_like, kept_rules
from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.nextcloud.alias import beyond
from noisefs.adapters.inbound.webdav.places.place import host_of, place_of, plain_host
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.core.errors import InvalidArgument
from noisefs.core.services.namespace.buckets.service import Buckets

_VARY: Final = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
_MAX_AGE_S: Final = "600"
_AS_S3: Final = {
    **dict.fromkeys(("GET", "PROPFIND", "OPTIONS"), ("GET",)),
    "HEAD": ("HEAD",),
    **dict.fromkeys(("PUT", "PATCH", "MKCOL", "PROPPATCH", "LOCK", "UNLOCK", "COPY"), ("PUT",)),
    "MOVE": ("PUT", "DELETE"),
    "DELETE": ("DELETE",),
}
"""What a rule of S3's must allow for each method."""
_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS", "PROPFIND"))
_OWN_HEADERS: Final = frozenset(
    [
        "accept",
        "authorization",
        "content-type",
        "content-range",
        "cache-control",
        "depth",
        "destination",
        "overwrite",
        "if",
        "lock-token",
        "timeout",
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "brief",
        "prefer",
        "x-update-range",
        "x-expected-entity-length",
        "x-requested-with",
        "ocs-apirequest",
    ]
)
"""Headers that WebDAV's own requests have: a rule that allows the method allows them."""
_OWN_PREFIXES: Final = ("x-oc-", "oc-")
_EXPOSED: Final[tuple[str, ...]] = (
    *("DAV", "ETag", "Lock-Token", "Location", "Allow", "MS-Author-Via", "Content-Range", "Accept-Ranges"),
    *("Accept-Patch", "Last-Modified", "Retry-After", "OC-ETag", "OC-FileId", "OC-Checksum", "X-OC-MTime"),
)
_ANY: Final = "*"
_PLAIN: Final = re.compile(r"[\x21-\x7e]+")
"""What an answer may repeat."""


class Browsers:
    """Answers preflights, says who may read answers, and refuses what other sites' pages begin. Task-safe."""

    def __init__(self, buckets: Buckets, origins: tuple[str, ...]) -> None:
        """``origins``: whose scripts may do everything here that their user may; ``*`` stands for anything."""
        self._buckets = buckets
        self._origins = origins

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a preflight; ``None``: it is none. Cost: one get of the index."""
        headers = request.headers
        method = headers.get("Access-Control-Request-Method", "")
        if request.method != "OPTIONS" or "Origin" not in headers or not method:
            return None
        names = [
            name for part in headers.get("Access-Control-Request-Headers", "").split(",") if (name := part.strip())
        ]
        told = self._told(headers["Origin"], method, _bucket_of(request), [name.lower() for name in names])
        if told is None or not all(_PLAIN.fullmatch(name) for name in names):
            return answers.whole(403, "text/plain; charset=utf-8", b"this origin may not\n", {"Vary": _VARY})
        told["Access-Control-Allow-Methods"] = answers.ALLOW
        told.setdefault("Access-Control-Max-Age", _MAX_AGE_S)
        if names:
            told["Access-Control-Allow-Headers"] = ", ".join(names)
        return answers.whole(204, "", b"", told)

    def headers_for(self, request: web.BaseRequest, bucket: str = "") -> dict[str, str]:
        """What the answer to a request with ``Origin`` says besides, an error too. ``bucket``: where the path leads;
        by default as it is written. Cost: one get of the index."""
        origin = request.headers["Origin"]
        told = self._told(origin, request.method, bucket or _bucket_of(request), ())
        return {"Vary": "Origin"} if told is None else told

    def check_site(self, request: web.BaseRequest, hosts: frozenset[str], bucket: str) -> None:
        """Refuse a change that a page of another site begins: a browser would send this user's password along.

        ``bucket``: where the change is, for whoever asks. Its path may have looked like another one, whose rules are
        somebody else's.

        Raises:
            Refused: 403.
        """
        headers = request.headers
        site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
        if request.method in _SAFE or (site is None and origin is None):
            return
        own = site in ("same-origin", "none") if site is not None else host_of(origin or "") in hosts
        if own or self._told(origin or "", request.method, bucket, ()) is not None:
            return
        raise Refused(403, "a page of another site may not change anything here")

    def _told(self, origin: str, method: str, bucket: str, wanted: Sequence[str]) -> dict[str, str] | None:
        if _PLAIN.fullmatch(origin) is None or method not in answers.METHODS:
            return None
        if any(is_like(pattern, origin) for pattern in self._origins):
            return _allowed(origin, for_all=_ANY in self._origins)
        rules = self._rules(bucket)
        others = [name for name in wanted if name not in _OWN_HEADERS and not name.startswith(_OWN_PREFIXES)]
        for rule in rules:
            if all(rule.fits(origin, one, others) for one in _AS_S3.get(method, ("POST",))):
                return _allowed(origin, rule, for_all=rule.is_for_all)
        return None

    def _rules(self, bucket: str) -> tuple[Rule, ...]:
        kept = self._buckets.peek(bucket, KIND) if bucket else None
        return () if kept is None else kept_rules(kept)


def _allowed(origin: str, rule: Rule | None = None, *, for_all: bool) -> dict[str, str]:
    """What the answer says; ``rule``: the one that fits, ``None``: the settings allow it."""
    told = {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": _VARY}
    exposed = _EXPOSED
    if rule is not None:
        exposed = (*exposed, *rule.exposed_headers)
        if rule.max_age_s:
            told["Access-Control-Max-Age"] = rule.max_age_s
    if for_all:  # no login that the browser has goes along: any site could act for whoever visits it
        told["Access-Control-Allow-Origin"] = _ANY
        del told["Access-Control-Allow-Credentials"]
    told["Access-Control-Expose-Headers"] = ", ".join(dict.fromkeys(exposed))
    return told


def _bucket_of(request: web.BaseRequest) -> str:
    """The bucket that a path names for whoever has no root of their own."""
    try:
        return beyond(place_of(request.raw_path)).bucket
    except InvalidArgument:
        return ""


def own_hosts(request: web.BaseRequest, hosts: frozenset[str]) -> frozenset[str]:
    """Names of this server: those that are configured, and the one that the client used."""
    return hosts | {plain_host(request.headers.get("Host", ""))}
