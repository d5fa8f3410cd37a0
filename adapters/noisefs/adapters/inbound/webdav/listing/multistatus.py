"""What clients read about resources: live properties, and the ``response`` elements of a 207 answer.

Written as text, page by page: a tree of elements for a folder of 100,000 files would take half a gigabyte.
The files of a folder are written column by column: all their sizes, all their dates, and so on.
Cost: 1.5 microseconds a file of a folder, 7 of a resource that is locked or has properties of its own.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, repeat
from operator import attrgetter
from typing import Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from noisefs.adapters.inbound.webdav.listing.brevity import NO_BREVITY, Brevity
from noisefs.adapters.inbound.webdav.listing.scene import NO_LOCKS, Scene
from noisefs.adapters.inbound.webdav.listing.wanted import Mode, Wanted
from noisefs.adapters.inbound.webdav.nextcloud.properties import OC_LIVE
from noisefs.adapters.inbound.webdav.places.nodes import Members, Node, etag_of
from noisefs.adapters.inbound.webdav.places.place import Place, quoted_all
from noisefs.adapters.inbound.webdav.places.view import WHOLE, View
from noisefs.adapters.inbound.webdav.rules.locking import note_of
from noisefs.adapters.inbound.webdav.rules.preconditions import http_date
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Lock, Version

HEAD: Final = b'<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">'
TAIL: Final = b"</D:multistatus>"
CONTENT_TYPE: Final = "application/xml; charset=utf-8"

DISPLAYNAME: Final = "{DAV:}displayname"
LOCKDISCOVERY: Final = "{DAV:}lockdiscovery"
QUOTA_USED: Final = "{DAV:}quota-used-bytes"
QUOTA_FREE: Final = "{DAV:}quota-available-bytes"

_SECOND_US: Final = 1_000_000
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document can hold (XML 1.0 section 2.2); an object key can."""
_PLAIN: Final = re.compile("[ -%'-;=?-~]*").fullmatch
"""Tells text that is the same as XML: ASCII without ``&``, ``<`` and ``>``."""
_GAP: Final = "\0"
"""Stands in a form for what differs: no XML has it."""
_SUPPORTED_LOCKS: Final = "".join(
    f"<D:lockentry><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
    for scope in ("exclusive", "shared")
)

Dead = Mapping[str, bytes]
"""A resource's dead properties: name in Clark notation to the whole element's XML."""
NO_DEAD: Final[Dead] = {}


_Live = Callable[[Node, Scene], str | None]
"""The inner XML of a live property; ``None`` where the resource does not have it."""
_OfFile = Callable[[Version], str | None]
"""The same of a file, where its row says it all."""


def _text(value: str) -> str | None:
    if _PLAIN(value):
        return value
    return None if _NOT_XML.search(value) else escape(value)


def _file_created(version: Version) -> str:
    return _iso((version.created_us or version.modified_us) // _SECOND_US)


def _creationdate(node: Node, _scene: Scene) -> str | None:
    if node.version is not None:
        return _file_created(node.version)
    return None if node.bucket is None else _iso(node.bucket.created_us // _SECOND_US)


@lru_cache(maxsize=8192)
def _iso(second: int) -> str:
    at = time.gmtime(second)
    return f"{at.tm_year:04}-{at.tm_mon:02}-{at.tm_mday:02}T{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}Z"


def _file_modified(version: Version) -> str:
    return http_date(version.modified_us)


def _modified(node: Node, _scene: Scene) -> str | None:
    """Of a collection, its bucket's date: a listing does not look at each one's marker, and a date that depends on
    where it is read would make clients think that the collection changed.
    """
    if node.version is not None:
        return _file_modified(node.version)
    return None if node.bucket is None else http_date(node.bucket.created_us)


def _displayname(node: Node, _scene: Scene) -> str | None:
    name = node.place.name
    return _text(name) if name else None


def _language(node: Node, _scene: Scene) -> str | None:
    language = None if node.version is None else node.version.headers.get("Content-Language")
    return None if language is None else _text(language)


def _file_length(version: Version) -> str:
    return str(version.size)


def _length(node: Node, _scene: Scene) -> str | None:
    return None if node.version is None else _file_length(node.version)


_content_type_text: Final = lru_cache(maxsize=256)(_text)


def _file_content_type(version: Version) -> str | None:
    return _content_type_text(version.content_type)


def _content_type(node: Node, _scene: Scene) -> str | None:
    return None if node.version is None else _file_content_type(node.version)


def _etag(node: Node, scene: Scene) -> str | None:
    if node.version is None:
        return f'"{scene.state}"' if scene.state else None
    return etag_of(node.version)  # hexadecimal digits and a hyphen in quotes


def _resource_type(node: Node, _scene: Scene) -> str | None:
    return "<D:collection/>" if node.is_collection else ""


def _supported_lock(node: Node, _scene: Scene) -> str | None:
    return "" if node.place.is_root else _SUPPORTED_LOCKS


def _lock_discovery(node: Node, scene: Scene) -> str | None:
    if not scene.locks:
        return ""
    covering = scene.locks.covering(node.place.path)
    return "".join(active_lock(lock, scene.now_us, scene.view) for lock in covering)


def _has_quota(node: Node, scene: Scene) -> bool:
    """Not the buckets in a listing of the root: each has counters of its own, which were not asked for."""
    return node.is_collection and node.place.is_root == scene.of_root


def _quota_used(node: Node, scene: Scene) -> str | None:
    return str(scene.used_bytes) if scene.used_bytes is not None and _has_quota(node, scene) else None


def _quota_free(node: Node, scene: Scene) -> str | None:
    return str(scene.free_bytes) if scene.free_bytes is not None and _has_quota(node, scene) else None


LIVE: Final[Mapping[str, _Live]] = {
    "{DAV:}creationdate": _creationdate,
    DISPLAYNAME: _displayname,
    "{DAV:}getcontentlanguage": _language,
    "{DAV:}getcontentlength": _length,
    "{DAV:}getcontenttype": _content_type,
    "{DAV:}getetag": _etag,
    "{DAV:}getlastmodified": _modified,
    LOCKDISCOVERY: _lock_discovery,
    "{DAV:}resourcetype": _resource_type,
    "{DAV:}supportedlock": _supported_lock,
    QUOTA_USED: _quota_used,
    QUOTA_FREE: _quota_free,
    **OC_LIVE,
}
"""Every live property. Quotas are answered only by name: RFC 4331 section 3 keeps them out of ``allprop``."""
_DIFFERING: Final = frozenset(
    (_creationdate, _displayname, _length, _content_type, _etag, _modified, *OC_LIVE.values())
)
"""Those whose values differ between two files without headers, where there are no locks."""
_OF_FILE: Final[Mapping[_Live, _OfFile]] = {
    _creationdate: _file_created,
    _length: _file_length,
    _content_type: _file_content_type,
    _etag: etag_of,
    _modified: _file_modified,
}
"""Of those: what a file's row says."""
_ALLPROP: Final = tuple(name for name in LIVE if name not in (QUOTA_USED, QUOTA_FREE, *OC_LIVE))


def active_lock(lock: Lock, now_us: int, view: View = WHOLE) -> str:
    """One lock as ``lockdiscovery`` shows it (RFC 4918 section 14.1)."""
    bucket, _, key = lock.path[1:].partition("/")
    left_s = -(-max(0, lock.expires_us - now_us) // _SECOND_US)  # rounded up: a lock that lives is never shown as dead
    timeout = f"Second-{left_s}" if lock.expires_us else "Infinite"
    return (
        "<D:activelock><D:locktype><D:write/></D:locktype>"
        f"<D:lockscope><D:{'exclusive' if lock.exclusive else 'shared'}/></D:lockscope>"
        f"<D:depth>{'infinity' if lock.deep else '0'}</D:depth>"
        f"{note_of(lock).owner_xml.decode()}"
        f"<D:timeout>{timeout}</D:timeout>"
        f"<D:locktoken><D:href>{escape(lock.token)}</D:href></D:locktoken>"
        f"<D:lockroot><D:href>{escape(view.shown(Place(bucket, key).href(collection=False)))}</D:href></D:lockroot>"
        "</D:activelock>"
    )


def element(name: str, inner: str) -> str:
    """A property's element. ``name`` in Clark notation, ``inner`` is XML."""
    begin, end, empty = _tags(name)
    return f"{begin}{inner}{end}" if inner else empty


def _tags(name: str) -> tuple[str, str, str]:
    """Start tag, end tag and the tag of an empty element."""
    namespace, separator, local = name[1:].partition("}") if name.startswith("{") else ("", "", name)
    if namespace == "DAV:":
        tag, declaration = f"D:{local}", ""
    elif separator and namespace:
        tag, declaration = f"x:{local}", f" xmlns:x={quoteattr(namespace)}"
    else:
        tag, declaration = local, ""
    return f"<{tag}{declaration}>", f"</{tag}>", f"<{tag}{declaration}/>"


class Renderer:
    """Turns resources into ``response`` elements for one request. Never changes: any thread may use it."""

    def __init__(self, wanted: Wanted, scene: Scene, brevity: Brevity = NO_BREVITY) -> None:
        self.brevity = brevity
        self._wanted = wanted
        self._scene = scene
        self._some = _plan(wanted.names)
        self._all_live = _plan(name for name in _ALLPROP if name not in brevity.live)
        self._form: _Form | None = None
        free = replace(scene, locks=NO_LOCKS)  # a locked file's element is made for it alone
        if wanted.mode is Mode.SOME:
            self._form = _form_of(self._some, free, tell_missing=True)
        elif wanted.mode is Mode.ALL and not self._some:
            self._form = _form_of(self._all_live, free, tell_missing=False)

    def page(self, nodes: Iterable[Node], dead: Mapping[str, Dead]) -> bytes:
        """The ``response`` elements of several resources; ``dead`` by path, only of those that have any."""
        if self._form is None or self._scene.locks or not isinstance(nodes, Members):
            return self._elements(nodes, dead)
        alike, others = _parted(nodes, dead)
        files = self._files(self._form, alike)
        return self._elements(nodes if files is None else others, dead) + (files or b"")

    def _files(self, form: "_Form", members: Members) -> bytes | None:
        """The elements of ordinary files; ``None``: one of them has not all values."""
        names, versions = members.names, members.versions
        texts, lives = form
        parent = members.parent.place
        above = self._scene.view.shown(parent.child("-").href(collection=False))[:-1]
        columns: list[Iterable[str | None]] = [repeat(f"{texts[0]}{above}"), quoted_all(names)]
        for text, live in zip(texts[1:-1], lives, strict=True):
            column = _column(live, names, versions)
            if not all(column):
                return None
            columns += (repeat(text), column)
        columns.append(repeat(texts[-1]))
        return "".join(chain.from_iterable(zip(*columns, strict=False))).encode()

    def _elements(self, nodes: Iterable[Node], dead: Mapping[str, Dead]) -> bytes:
        if self._form is None:
            return "".join([self.response(node, dead.get(node.place.path, NO_DEAD)) for node in nodes]).encode()
        texts, lives = self._form
        scene = self._scene
        noted = bool(dead) or bool(scene.locks)
        shown = scene.view.shown
        parts: list[str] = []
        for node in nodes:
            if noted:
                path = node.place.path
                own = dead.get(path, NO_DEAD)
                if own or scene.locks.covering(path):
                    parts.append(self.response(node, own))
                    continue
            if node.version is not None and not node.version.headers:
                values = [value for live in lives if (value := live(node, scene))]
                if len(values) == len(lives):
                    parts += chain.from_iterable(zip(texts, (shown(node.href), *values, ""), strict=True))
                    continue
            parts.append(self.response(node, NO_DEAD))
        return "".join(parts).encode()

    def response(self, node: Node, dead: Dead) -> str:
        """The ``response`` element of one resource."""
        if self._wanted.mode is Mode.SOME:
            found, missing = self._values(node, dead, self._some)
        else:
            found, missing = self._all(node, dead)
        return _response(self._scene.view.shown(node.href), found, missing)

    def _all(self, node: Node, dead: Dead) -> tuple[str, str]:
        others = [name for name in dead if name not in LIVE]
        if self._wanted.mode is Mode.NAMES:
            live = (name for name in _ALLPROP if name in dead or LIVE[name](node, self._scene) is not None)
            return "".join(element(name, "") for name in (*live, *others)), ""
        found, _ = self._values(node, dead, self._all_live)
        if not others and not self._some:
            return found, ""
        more, _ = self._values(node, dead, _plan(others))
        included = [step for step in self._some if step.name not in _ALLPROP and step.name not in others]
        asked, missing = self._values(node, dead, included)
        return found + more + asked, missing

    def _values(self, node: Node, dead: Dead, plan: Iterable["_Step"]) -> tuple[str, str]:
        scene = self._scene
        found: list[str] = []
        missing: list[str] = []
        for name, live, begin, end, empty in plan:
            if dead and name in dead:  # before LIVE: displayname is both
                found.append(dead[name].decode())
                continue
            value = None if live is None else live(node, scene)
            if value:
                found.append(f"{begin}{value}{end}")
            elif value is None:
                missing.append(empty)
            else:
                found.append(empty)
        return "".join(found), "".join(missing)


class _Step(NamedTuple):
    """A property of an answer: how it is made, and its tags."""

    name: str
    live: _Live | None
    begin: str
    end: str
    empty: str


class _Form(NamedTuple):
    """The element of an ordinary file: the texts before, between and behind its href and the values that differ."""

    texts: list[str]
    lives: list[_Live]


def _plan(names: Iterable[str]) -> list[_Step]:
    return [_Step(name, LIVE.get(name), *_tags(name)) for name in names]


def _form_of(plan: Iterable[_Step], scene: Scene, *, tell_missing: bool) -> _Form:
    """What the elements of files without headers and dead properties have in common, all values being there."""
    ordinary = Node(Place("bucket", "file"), Version(0, "", 0, UserId("")))
    found: list[str] = []
    missing: list[str] = []
    lives: list[_Live] = []
    for step in plan:
        if step.live in _DIFFERING:
            found.append(f"{step.begin}{_GAP}{step.end}")
            lives.append(step.live)
            continue
        value = None if step.live is None else step.live(ordinary, scene)
        if value is None:
            missing.append(step.empty)
        else:
            found.append(f"{step.begin}{value}{step.end}" if value else step.empty)
    text = _response(_GAP, "".join(found), "".join(missing) if tell_missing else "")
    return _Form(text.split(_GAP), lives)


def _parted(members: Members, dead: Mapping[str, Dead]) -> tuple[Members, list[Node]]:
    """Ordinary files, and all else. Cost: a look at each file."""
    if not dead and not any(map(attrgetter("headers"), members.versions)):
        return members, members.folder_nodes()
    others = members.folder_nodes()
    alike = Members(members.parent, [], [], [])
    above = f"{members.parent.place.path}/"
    for name, version in zip(members.names, members.versions, strict=True):
        if version.headers or f"{above}{name}" in dead:
            others.append(members.node_of(name, version))
        else:
            alike.names.append(name)
            alike.versions.append(version)
    return alike, others


def _column(live: _Live, names: Sequence[str], versions: Sequence[Version]) -> Sequence[str | None]:
    """The values of a property of many files; none where it cannot be told without a node for each."""
    if live is _displayname:
        return names if _PLAIN("".join(names)) else [_text(name) for name in names]
    of_file = _OF_FILE.get(live)
    return [None] if of_file is None else [of_file(version) for version in versions]


def _response(href: str, found: str, missing: str) -> str:
    """A ``response`` element, from the elements of properties that are there, and of those that are not."""
    stats = f"<D:propstat><D:prop>{found}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
    if missing:
        refused = f"<D:propstat><D:prop>{missing}</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>"
        stats = stats + refused if found else refused
    return f"<D:response><D:href>{href}</D:href>{stats}</D:response>"
