"""PUT: all of the body or nothing of it, under the same locks and conditions as every other change."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.files.incoming import Incoming
from noisefs.adapters.inbound.webdav.files.replacing import Replacement, no_parent
from noisefs.adapters.inbound.webdav.places.nodes import Node, Nodes
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.guard import Caller, Change, Guard
from noisefs.adapters.inbound.webdav.rules.preconditions import write_condition
from noisefs.core.domain.records import Version
from noisefs.core.errors import BucketNotFound, ObjectNotFound
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.trees.locks import Locks
from noisefs.core.services.namespace.uploads.chunked import ChunkedUploads


async def no_pieces() -> AsyncIterator[bytes]:
    """The body of an empty file."""
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
        commit, since a large body takes its time: both times it is :meth:`.replacing.Replacement.admit`, in one
        transaction.

        Raises:
            Refused: 400, 403, 405, 409, 412, 423.
            NoisefsError: Whatever the services raise.
        """
        if "Content-Range" in caller.headers:
            raise Refused(400, "a PUT with Content-Range would replace the whole file by a part of it")
        if "OC-Chunked" in caller.headers:
            raise Refused(400, "a PUT with OC-Chunked would make a file of each piece: /dav/uploads/ takes chunks")
        if not place.key or place.slash:
            await self._target(caller, place)  # it refuses whatever no file can be
        condition = write_condition(caller.headers)
        tokens, check = caller.condition.tokens, self._guard.within(caller, place)
        replacement = Replacement(self._locks, caller.who, place, caller.headers, tokens, check)
        claims = replacement.claims
        try:
            version = await self._objects.put(
                caller.who,
                place.bucket,
                place.key,
                incoming.pieces(),
                replacement.admit,
                condition=condition,
                digests=claims.algorithms,
                verify=claims.verify,
                declared_bytes=incoming.expected_bytes or 0,
            )
        except BucketNotFound as exc:
            raise no_parent(place) from exc
        except ObjectNotFound as exc:
            raise Refused(412, "If-Match does not hold: there is no such file") from exc
        status, fields, body = replacement.answer(version)
        return answers.whole(status, fields.pop("Content-Type", ""), body, fields)

    async def check_target(self, caller: Caller, place: Place) -> None:
        """Refuse a place where no file can be put now. Raises as :meth:`answer`."""
        await self._target(caller, place)

    async def join(
        self,
        caller: Caller,
        place: Place,
        chunked: ChunkedUploads,
        upload: str,
        about: Mapping[str, str],
        *,
        expected_size: int | None,
        overwrite: bool,
    ) -> tuple[Version, int, dict[str, str]]:
        """Put a file at ``place`` that is made of an upload's chunks: the version, and status and headers that tell.

        ``about``: the headers that are about the file. ``overwrite``: something may be there. Raises as :meth:`answer`.
        """
        node = await self._target(caller, place)
        condition = write_condition(caller.headers)
        if not overwrite:
            condition = replace(condition, if_none_match=("*",))
        tokens = await self._guard.check_if(caller, place, node)
        replacement = Replacement(self._locks, caller.who, place, about, tokens, self._guard.within(caller, place))
        await self._guard.check_locks(caller.who, tokens, Change(place, membership=node is None, tree=False))
        claims = replacement.claims
        try:
            version = await chunked.publish(
                caller.who,
                upload,
                place.bucket,
                place.key,
                replacement.admit,
                condition=condition,
                expected_size=expected_size,
                digests=claims.algorithms if claims.digests else (),
                verify=claims.verify,
            )
        except ObjectNotFound as exc:
            raise Refused(412, "If-Match does not hold: there is no such file") from exc
        status, fields, _ = replacement.answer(version)
        return version, status, fields

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
            raise no_parent(place)
        return node
