"""PUT: all of the body or nothing of it, under the same locks and conditions as every other change."""

from collections.abc import AsyncIterator

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.guard import Caller, Change, Guard
from noisefs.adapters.inbound.webdav.incoming import Incoming
from noisefs.adapters.inbound.webdav.nodes import Node, Nodes
from noisefs.adapters.inbound.webdav.place import Place
from noisefs.adapters.inbound.webdav.preconditions import write_condition
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.replacing import Replacement, attributes
from noisefs.core.domain.requests import Attributes
from noisefs.core.errors import ObjectNotFound
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.trees.locks import Locks


def empty_file(place: Place) -> tuple[AsyncIterator[bytes], Attributes]:
    """Body and attributes of a file that a LOCK makes."""
    return _no_pieces(), attributes({}, place)


async def _no_pieces() -> AsyncIterator[bytes]:
    return
    yield b""  # what makes it a generator


class Writing:
    """Answers PUT. Task-safe."""

    def __init__(self, *, nodes: Nodes, guard: Guard, objects: Objects, locks: Locks) -> None:
        self._nodes = nodes
        self._guard = guard
        self._objects = objects
        self._locks = locks

    async def answer(self, caller: Caller, place: Place, incoming: Incoming) -> web.Response:
        """Store the body and answer 201 or 204. On any error the old version stays.

        Everything that can refuse the request does so before the client is told to send its body, and once more in the
        commit, since a large body takes its time.

        Raises:
            Refused: 400, 403, 405, 409, 412, 423.
            NoisefsError: Whatever the services raise.
        """
        if "Content-Range" in caller.headers:
            raise Refused(400, "a PUT with Content-Range would replace the whole file by a part of it")
        node = await self._target(caller, place)
        condition = write_condition(caller.headers)
        tokens = await self._guard.check_if(caller, place, node)
        replacement = Replacement(self._locks, caller.who, place, caller.headers, tokens)
        await self._guard.check_locks(caller.who, tokens, Change(place, membership=node is None, tree=False))
        try:
            version = await self._objects.put(
                caller.who,
                place.bucket,
                place.key,
                incoming.pieces(),
                replacement.admit,
                condition=condition,
                declared_bytes=incoming.declared_bytes or 0,
            )
        except ObjectNotFound as exc:
            raise Refused(412, "If-Match does not hold: there is no such file") from exc
        status, fields, body = replacement.answer(version)
        return answers.whole(status, fields.pop("Content-Type", ""), body, fields)

    async def _target(self, caller: Caller, place: Place) -> Node | None:
        """The file that is to be replaced, or ``None`` where one is to be made."""
        if place.is_root:
            raise Refused(403, "the root holds buckets only")
        node = await self._nodes.find(caller.who, place)
        if node is not None and node.is_collection:
            raise Refused(405, "a collection is there: it has no content")
        if place.is_bucket:
            raise Refused(403, "the root holds buckets only: make one with MKCOL")
        if place.slash:
            raise Refused(405, "the name of a file does not end in '/'")
        if node is None and not await self._nodes.has_collection(caller.who, place.parent):
            raise Refused(409, f"the collection {place.parent.path!r} does not exist")
        return node
