"""Requests for places in the past: reading, copying out, restoring and emptying; everything else is refused.

A restored file comes back by its delete marker going away, all older versions with it; moved to another place it is the
newest bytes that arrive there, and what the key had goes, as if the trash were emptied of it. What object lock protects
stays, and is told.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from xml.sax.saxutils import escape

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.files.incoming import Incoming
from noisefs.adapters.inbound.webdav.files.reading import Reading
from noisefs.adapters.inbound.webdav.listing import multistatus
from noisefs.adapters.inbound.webdav.listing.propfind import Listing
from noisefs.adapters.inbound.webdav.page.rendering import Page
from noisefs.adapters.inbound.webdav.past.finding import PastNodes
from noisefs.adapters.inbound.webdav.past.places import Kind, PastPlace, to_do, to_list, to_read
from noisefs.adapters.inbound.webdav.places.nodes import Node, Nodes
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.guard import Caller, Change, Guard, check_conditions
from noisefs.core.domain.requests import Doomed, Need, Principal
from noisefs.core.errors import AccessDenied, CommitConflict, NoisefsError
from noisefs.core.ports.index import Writing
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.trees.restoring import Placed
from noisefs.core.services.namespace.trees.service import Trees

NOT_IN_PAST: Final = "nothing is written among older versions and deleted files"
_BATCH: Final = 200
"""Versions that are removed in one commit."""
_REMOVE: Final = "s3:DeleteObjectVersion"


class Past:
    """Answers requests for what was. Task-safe."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        past: PastNodes,
        guard: Guard,
        objects: Objects,
        trees: Trees,
        reading: Reading,
        listing: Listing,
    ) -> None:
        """``listing``: over ``past``; ``nodes``: what is."""
        self._nodes = nodes
        self._past = past
        self._guard = guard
        self._objects = objects
        self._trees = trees
        self._reading = reading
        self._listing = listing

    async def answer(
        self, request: web.BaseRequest, caller: Caller, past: PastPlace, incoming: Incoming
    ) -> tuple[web.StreamResponse, int]:
        """The answer, and how many bytes of it were sent already.

        Raises:
            Refused: Whatever refuses the request.
            NoisefsError: What the services raise.
        """
        who = to_list(caller.who, past.bucket, past.prefix)
        caller = Caller(who, caller.headers, caller.hosts, caller.view)
        method = request.method
        if method == "PROPFIND":
            return await self._listing.answer(request, caller, past.place, incoming)
        node = await self._past.find(who, past.place)
        if method not in ("GET", "HEAD", "COPY", "MOVE", "DELETE"):
            raise Refused(403, "older versions and deleted files are not changed: copy them out, or restore them")
        if node is None:
            raise Refused(404, f"{past.place.path!r} does not exist")
        if method in ("GET", "HEAD"):
            return await self._read(request, caller, past, node)
        if past.kind is Kind.VERSIONS and method != "COPY":
            raise Refused(403, "older versions can be read and copied only")
        await self._guard.check_if(caller, past.place, node)
        check_conditions(caller.headers, node)
        if method == "DELETE":
            return await self._remove(caller, past, node), 0
        return await self._relocate(caller, past, node, keep=method == "COPY"), 0

    async def _read(
        self, request: web.BaseRequest, caller: Caller, past: PastPlace, node: Node
    ) -> tuple[web.StreamResponse, int]:
        await self._guard.check_if(caller, past.place, node)
        if node.is_collection:
            trash = past.kind is Kind.TRASH
            restores = (f"{past.top}/", past.above) if trash else None
            page = Page(node, caller.view, writable=False, removable=trash, restores=restores)
            return await self._reading.collection(request, page, self._past.members(caller.who, node))
        key, version_id = await self._named(caller.who, past)
        who = to_read(caller.who, past.bucket, key, version_id)
        caller = Caller(who, caller.headers, caller.hosts, caller.view)
        return await self._reading.file(request, caller, Place(past.bucket, key), version_id)

    async def _named(self, who: Principal, past: PastPlace) -> tuple[str, str]:
        named = await self._past.named(who, past)
        if named is None:
            raise Refused(404, f"{past.place.path!r} does not exist")
        return named

    # ------------------------------------------------------------------ out of it

    async def _relocate(self, caller: Caller, past: PastPlace, node: Node, *, keep: bool) -> web.Response:
        url = caller.headers.get("Destination")
        if url is None:
            raise Refused(400, "a Destination is missing")
        target = caller.place_of(url.strip())
        if target is None:
            raise Refused(502, "the Destination is on another server")
        if not target.key or caller.view.is_top(target):
            raise Refused(403, "a bucket cannot be replaced: only what is in it")
        if await self._past.place_in_past(caller.who, target) is not None:
            raise Refused(403, NOT_IN_PAST)
        target = Place(target.bucket, target.key)
        if past.is_top:
            raise Refused(403, "this collection stays where it is")
        if node.is_collection:
            if past.kind is Kind.VERSIONS:
                raise Refused(403, "older versions are copied one by one")
            if not keep and (target.bucket, target.key) == (past.bucket, past.key):
                return await self._restore_below(caller, past)
            return await self._copy_below(caller, past, target, keep=keep)
        key, version_id = await self._named(caller.who, past)
        if not keep and (target.bucket, target.key) == (past.bucket, key):
            return await self._restore(caller, past)
        change = await self._admitted(caller, target)
        return await self._place(caller, past, [Placed(key, version_id, target.key)], change, keep=keep)

    async def _restore(self, caller: Caller, past: PastPlace) -> web.Response:
        """Bring a file back to where it was: its delete marker goes. Whoever may remove that may do it."""
        deleted = await self._past.deleted_key(caller.who, past)
        if deleted is None:
            raise Refused(404, f"{past.place.path!r} does not exist")
        target = Place(past.bucket, deleted.key)
        who = to_do(caller.who, [Need(_REMOVE, past.bucket, deleted.key, deleted.marker_id)])
        if await self._nodes.has_collection(who, target):
            raise Refused(409, "a collection is there")
        change = Change(target, membership=True, tree=False)
        await self._guard.check_locks(who, caller.condition.tokens, change)
        first = partial(self._check_locks, caller=caller, change=change)
        await self._objects.delete(who, past.bucket, deleted.key, version_id=deleted.marker_id, first=first)
        return _made()

    async def _place(
        self, caller: Caller, past: PastPlace, placed: Sequence[Placed], change: Change, *, keep: bool
    ) -> web.Response:
        """Let other places name the bytes of versions; unless ``keep`` the trash is emptied of their keys."""
        who, target = caller.who, change.place.bucket
        doomed = [] if keep else await self._all_versions(who, past.bucket, [one.key for one in placed])
        needs = [
            *(Need("s3:GetObjectVersion", past.bucket, one.key, one.version_id) for one in placed),
            *(Need("s3:PutObject", target, one.target) for one in placed),
            *(Need(_REMOVE, past.bucket, one.key, one.version_id) for one in doomed),
        ]
        failed = await self._trees.restore(
            to_do(who, needs),
            past.bucket,
            placed,
            target,
            doomed,
            overwrite=_overwrites(caller),
            first=partial(self._check_target, caller=caller, change=change),
        )
        if failed:
            return self._told(caller, past, failed)
        return _made() if change.membership else answers.whole(204, "", b"")

    def _check_target(self, tx: Writing, *, caller: Caller, change: Change) -> None:
        """What :meth:`_admitted` found, looked at once more in the commit."""
        there, above = Nodes.within(tx, change.place), Nodes.within(tx, change.place.parent)
        if (there is None) is not change.membership or (there is not None and there.is_collection):
            raise CommitConflict(f"{change.place.path!r} came or went meanwhile")
        if above is None:
            raise Refused(409, f"the collection {change.place.parent.path!r} does not exist")
        self._check_locks(tx, caller=caller, change=change)

    def _check_locks(self, tx: Writing, *, caller: Caller, change: Change) -> None:
        self._guard.check_within(tx, caller.who, caller.condition.tokens, change)

    async def _admitted(self, caller: Caller, target: Place) -> Change:
        """What the request changes at its target, if it may."""
        writer = to_do(caller.who, [Need("s3:PutObject", target.bucket, target.key)])
        there = await self._nodes.find(writer, target)
        if there is not None and there.is_collection:
            raise Refused(409, "a collection is there")
        if there is not None and not _overwrites(caller):
            raise Refused(412, "the target exists, and Overwrite is F")
        change = Change(target, membership=there is None, tree=False)
        await self._guard.check_locks(caller.who, caller.condition.tokens, change)
        if there is None and target.parent.key and not await self._nodes.has_collection(writer, target.parent):
            raise Refused(409, f"the collection {target.parent.path!r} does not exist")
        return change

    async def _copy_below(self, caller: Caller, past: PastPlace, target: Place, *, keep: bool) -> web.Response:
        """Copy what was deleted below a folder to where nothing is; unless ``keep`` the trash is emptied of it then."""
        change = await self._admitted(caller, target)
        if not change.membership:
            raise Refused(409, "a file is there")
        placed = [
            Placed(one.key, one.version_id, f"{target.prefix}{one.key[len(past.prefix) :]}")
            async for one in self._past.deleted(caller.who, past, flat=True)
        ]
        return await self._place(caller, past, placed, replace(change, tree=True), keep=keep)

    async def _restore_below(self, caller: Caller, past: PastPlace) -> web.Response:
        """Bring back everything that was deleted below a folder."""
        change = Change(Place(past.bucket, past.key), membership=True, tree=True)
        await self._guard.check_locks(caller.who, caller.condition.tokens, change)
        doomed = [Doomed(one.key, one.marker_id) async for one in self._past.deleted(caller.who, past, flat=True)]
        who = to_do(caller.who, [Need(_REMOVE, past.bucket, one.key, one.version_id) for one in doomed])
        first = partial(self._check_locks, caller=caller, change=change)
        failed = await self._trees.restore(who, past.bucket, (), past.bucket, doomed, first=first)
        return self._told(caller, past, failed) if failed else _made()

    # ------------------------------------------------------------------ for good

    async def _remove(self, caller: Caller, past: PastPlace, node: Node) -> web.Response:
        """Empty the trash of a file, or of everything below a collection."""
        if node.is_collection:
            keys = [one.key async for one in self._past.deleted(caller.who, past, flat=True)]
        else:
            keys = [past.key]
        failed = await self._purge(caller.who, past.bucket, keys)
        if failed:
            return self._told(caller, past, failed)
        return answers.whole(204, "", b"")

    async def _purge(self, who: Principal, bucket: str, keys: Sequence[str]) -> dict[str, NoisefsError]:
        """Remove all versions of deleted keys; what could not be, by key.

        Markers go last, and not where something stays: they cover it.
        """
        failed: dict[str, NoisefsError] = {}
        for begin in range(0, len(keys), _BATCH):
            found = await self._all_versions(who, bucket, keys[begin : begin + _BATCH])
            failed |= await self._remove_all(who, bucket, found)
        return failed

    async def _all_versions(self, who: Principal, bucket: str, keys: Sequence[str]) -> list[Doomed]:
        """All versions of those keys that are deleted, delete markers last: they cover what may have to stay."""
        found = [await self._past.versions_of(who, bucket, key) for key in keys]
        entries = [
            entry for of_key in found if of_key and of_key[0].version.delete_marker for entry in reversed(of_key)
        ]
        entries.sort(key=lambda entry: entry.version.delete_marker)
        return [Doomed(entry.key, entry.version_id) for entry in entries]

    async def _remove_all(self, who: Principal, bucket: str, doomed: Sequence[Doomed]) -> dict[str, NoisefsError]:
        """Remove versions, in as few commits as the rights to them allow; what could not be, by key."""
        failed: dict[str, NoisefsError] = {}
        for begin in range(0, len(doomed), _BATCH):
            some = [one for one in doomed[begin : begin + _BATCH] if one.key not in failed]
            try:
                failed |= await self._remove_some(who, bucket, some)
            except AccessDenied:
                for one in some:
                    if one.key in failed:
                        continue
                    try:
                        failed |= await self._remove_some(who, bucket, [one])
                    except AccessDenied as exc:
                        failed[one.key] = exc
        return failed

    async def _remove_some(self, who: Principal, bucket: str, some: Sequence[Doomed]) -> dict[str, NoisefsError]:
        allowed = to_do(who, [Need(_REMOVE, bucket, one.key, one.version_id) for one in some])
        return await self._trees.restore(allowed, bucket, (), bucket, some)

    def _told(self, caller: Caller, past: PastPlace, failed: dict[str, NoisefsError]) -> web.Response:
        """The answer that tells what stayed."""
        if list(failed) == [past.key]:
            raise failed[past.key]
        places = (Place(past.bucket, f"{past.top}/{key.removeprefix(past.above)}") for key in failed)
        rows = "".join(
            f"<D:response><D:href>{escape(caller.view.shown(place.href(collection=False)))}</D:href>"
            "<D:status>HTTP/1.1 403 Forbidden</D:status></D:response>"
            for place in places
        )
        return answers.whole(207, multistatus.CONTENT_TYPE, multistatus.HEAD + rows.encode() + multistatus.TAIL)


def _made() -> web.Response:
    return answers.whole(201, "text/plain; charset=utf-8", b"Created\n")


def _overwrites(caller: Caller) -> bool:
    return caller.headers.get("Overwrite", "T").strip().upper() != "F"
