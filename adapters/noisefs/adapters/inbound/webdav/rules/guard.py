"""Whether a request may go ahead: its ``If`` header, its HTTP conditions and the locks in its way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from noisefs.adapters.inbound.webdav.places.nodes import Node, Nodes
from noisefs.adapters.inbound.webdav.places.place import Place, host_of
from noisefs.adapters.inbound.webdav.places.view import WHOLE, View
from noisefs.adapters.inbound.webdav.refusal import TOKEN_SUBMITTED, Refused
from noisefs.adapters.inbound.webdav.rules.if_header import Condition, IfHeader, parse_if
from noisefs.adapters.inbound.webdav.rules.locking import covering, in_the_way
from noisefs.adapters.inbound.webdav.rules.preconditions import write_condition
from noisefs.core.domain.objects.conditions import check_write
from noisefs.core.domain.records import Lock
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import InvalidArgument, ObjectNotFound, PreconditionFailed
from noisefs.core.ports.index import Reading
from noisefs.core.services.namespace.trees.locks import Locks


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, with which headers, which hosts are this server, and what paths mean to them."""

    who: Principal
    headers: Mapping[str, str]
    hosts: frozenset[str]
    view: View = WHOLE

    @property
    def condition(self) -> IfHeader:
        """The parsed ``If`` header.

        Raises:
            InvalidArgument: It is malformed.
        """
        text = self.headers.get("If")
        return IfHeader() if text is None else parse_if(text)

    def place_of(self, url: str) -> Place | None:
        """The place that a URL in a header names; ``None`` where it is on another host.

        Raises:
            InvalidArgument: It is no URL.
        """
        host = host_of(url)
        return self.view.place_of(url) if host is None or host in self.hosts else None


@dataclass(frozen=True, slots=True)
class Change:
    """A place that a request changes: see :func:`.locking.in_the_way`."""

    place: Place
    membership: bool
    tree: bool


class Guard:
    """Evaluates conditions and locks. Task-safe; asks the index, changes nothing."""

    def __init__(self, nodes: Nodes, locks: Locks) -> None:
        self._nodes = nodes
        self._locks = locks

    async def check_if(self, caller: Caller, place: Place, node: Node | None) -> frozenset[str]:
        """Evaluate the ``If`` header of a request for ``place``, where ``node`` is; returns the submitted tokens.

        Raises:
            Refused: 412; no list of the header holds.
            InvalidArgument: It is malformed.
        """
        header = caller.condition
        if not header.lists:
            return frozenset()
        states = {"": _state(place, node, await self._locks.find(place.path))}
        for resource in header.resources - {""}:
            other = _place_named(caller, resource)
            if other is None:
                states[resource] = _ELSEWHERE
            elif other.path == place.path:
                states[resource] = states[""]
            else:
                there = await self._nodes.find(caller.who, other)
                states[resource] = _state(other, there, await self._locks.find(other.path))
        _demand(header, states)
        return header.tokens

    def check_if_within(self, tx: Reading, caller: Caller, place: Place) -> None:
        """The same inside the commit that makes the change: so nothing changes between. Raises as :meth:`check_if`."""
        header = caller.condition
        if not header.lists:
            return
        states: dict[str, _State] = {}
        for resource in header.resources | {""}:
            other = place if not resource else _place_named(caller, resource)
            if other is None:
                states[resource] = _ELSEWHERE
            else:
                states[resource] = _state(other, Nodes.within(tx, other), self._locks.around(tx, other.path))
        _demand(header, states)

    def within(self, caller: Caller, place: Place) -> Callable[[Reading], None] | None:
        """:meth:`check_if_within` for a commit to call; ``None``: there is no ``If`` header."""
        return partial(self.check_if_within, caller=caller, place=place) if "If" in caller.headers else None

    async def check_locks(self, who: Principal, tokens: frozenset[str], change: Change) -> list[Lock]:
        """Refuse a change that a lock forbids; returns the locks on and below the place, which go away with it.

        Raises:
            Refused: 423 with the locked resources.
        """
        return _unblocked(await self._locks.find(change.place.path, below=change.tree), who, tokens, change)

    def check_within(self, tx: Reading, who: Principal, tokens: frozenset[str], change: Change) -> list[Lock]:
        """The same inside the commit that makes the change: so no lock comes between, in whichever process."""
        return _unblocked(self._locks.around(tx, change.place.path, below=change.tree), who, tokens, change)


_State = tuple[str | None, frozenset[str]]
"""Entity tag and lock tokens of a resource."""
_ELSEWHERE: Final[_State] = (None, frozenset())
"""Of what another server has."""


def _place_named(caller: Caller, resource: str) -> Place | None:
    """The place that a tag of an ``If`` header names."""
    try:
        return caller.place_of(resource)
    except InvalidArgument as exc:
        raise Refused(400, f"the If header names a resource that is no URL: {exc}") from exc


def _state(place: Place, node: Node | None, locks: Sequence[Lock]) -> _State:
    tokens = frozenset(lock.token for lock in covering(locks, place.path))
    return None if node is None else node.etag, tokens


def _demand(header: IfHeader, states: Mapping[str, _State]) -> None:
    def has(resource: str, one: Condition) -> bool:
        etag, tokens = states[resource]
        return one.value == etag if one.is_etag else one.value in tokens

    if not header.holds(has):
        raise Refused(412, "no list of the If header holds")


def _unblocked(locks: Sequence[Lock], who: Principal, tokens: frozenset[str], change: Change) -> list[Lock]:
    place = change.place
    blocking = in_the_way(locks, place, who.user_id, tokens, membership=change.membership, tree=change.tree)
    if blocking:
        raise locked(blocking)
    return [lock for lock in locks if len(lock.path) >= len(place.path)]


def locked(blocking: Sequence[Lock]) -> Refused:
    """The refusal of a change that these locks forbid."""
    hrefs = sorted({place_of_path(lock.path).href(collection=False) for lock in blocking})
    return Refused(423, "a lock forbids it, and its token was not submitted", condition=TOKEN_SUBMITTED, hrefs=hrefs)


def check_conditions(headers: Mapping[str, str], node: Node | None) -> None:
    """Evaluate ``If-Match`` and its kin for a request that changes ``node`` in a way that has no atomic condition.

    Raises:
        Refused: 412.
    """
    condition = write_condition(headers)
    if node is not None and node.version is None:
        if (condition.if_match and "*" not in condition.if_match) or "*" in condition.if_none_match:
            raise Refused(412, "a collection has no entity tag that could match")
        return
    try:
        check_write(condition, None if node is None else node.version, "", "")
    except (PreconditionFailed, ObjectNotFound) as exc:
        raise Refused(412, str(exc) if isinstance(exc, PreconditionFailed) else "If-Match does not hold") from exc


def place_of_path(path: str) -> Place:
    """The place of a lock's path, which is decoded."""
    bucket, _, key = path[1:].partition("/")
    return Place(bucket, key)
