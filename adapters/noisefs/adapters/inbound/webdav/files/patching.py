"""PATCH: some bytes of a file replaced, or some more behind its end, as SabreDAV's clients ask for it.

``X-Update-Range: bytes=3-6``, ``bytes=3-``, ``bytes=-3`` (from three bytes before the end on) or ``append``; the body
is the bytes themselves. All of it or nothing, under the same locks and conditions as a PUT.

Source: https://sabre.io/dav/http-patch/.
"""

import re
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.files.claims import checksums_of
from noisefs.adapters.inbound.webdav.files.incoming import Incoming
from noisefs.adapters.inbound.webdav.files.replacing import Replacement
from noisefs.adapters.inbound.webdav.places.nodes import Nodes
from noisefs.adapters.inbound.webdav.places.place import Place
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.adapters.inbound.webdav.rules.guard import Caller, Change, Guard
from noisefs.adapters.inbound.webdav.rules.preconditions import write_condition
from noisefs.core.errors import ObjectNotFound, RangeNotSatisfiable
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.trees.locks import Locks

CONTENT_TYPE: Final = "application/x-sabredav-partialupdate"
_RECALCULATE: Final = "X-Recalculate-Hash"
"""How rclone asks a Nextcloud for the checksums that it forgets when a file's time is set."""
_RANGE: Final = re.compile(r"bytes\s*=\s*(?:(\d{1,19})\s*-\s*(\d{1,19})?|-\s*(\d{1,19}))|(append)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Where bytes go. ``first``: from there; ``last``: to there, inclusive; ``suffix``: so many before the end."""

    first: int | None = None
    last: int | None = None
    suffix: int = 0

    def start(self, size: int, added: int) -> int:
        """The first byte that is written, in a file of ``size`` bytes, where ``added`` came.

        Raises:
            Refused: 400; another number of bytes than the range has.
            RangeNotSatisfiable: It lies behind the end, or before the beginning.
        """
        if self.first is None:
            if self.suffix > size:
                raise RangeNotSatisfiable(size)
            return size - self.suffix
        if self.last is not None and added != self.last - self.first + 1:
            raise Refused(400, f"{added} bytes came for a range of {self.last - self.first + 1}")
        return self.first


def parse_span(text: str | None) -> Span:
    """The span that a header names.

    Raises:
        Refused: 400; there is none, or it is malformed.
    """
    match = None if text is None else _RANGE.fullmatch(text.strip())
    if match is None:
        raise Refused(400, "X-Update-Range is needed: bytes=3-6, bytes=3-, bytes=-3 or append")
    first, last, suffix, _append = match.groups()
    if first is None:
        return Span(suffix=int(suffix or 0))
    if last is not None and int(last) < int(first):
        raise Refused(400, f"the range {first}-{last} is empty")
    return Span(int(first), None if last is None else int(last))


class Patching:
    """Answers PATCH. Task-safe."""

    def __init__(self, *, nodes: Nodes, guard: Guard, objects: Objects, locks: Locks) -> None:
        self._nodes = nodes
        self._guard = guard
        self._objects = objects
        self._locks = locks

    async def _checksums(self, caller: Caller, place: Place) -> web.Response:
        """204 with the checksums that are known: they are kept as long as the bytes are, whatever its time is."""
        node = await self._nodes.find(caller.who, place)
        if node is None or node.version is None:
            raise Refused(404, f"{place.path!r} is no file")
        known = checksums_of(node.version)
        return answers.whole(204, "", b"", {"OC-Checksum": known} if known else {})

    async def answer(self, caller: Caller, place: Place, incoming: Incoming) -> web.Response:
        """Write the bytes and answer 204. On any error the file stays as it is.

        Raises:
            Refused: 400, 404, 405, 412, 415, 423.
            NoisefsError: Whatever the services raise.
        """
        content_type = caller.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not content_type and _RECALCULATE in caller.headers:
            return await self._checksums(caller, place)
        if content_type != CONTENT_TYPE:
            raise Refused(415, f"a PATCH is understood as {CONTENT_TYPE} only", headers={"Accept-Patch": CONTENT_TYPE})
        span = parse_span(caller.headers.get("X-Update-Range"))
        node = await self._nodes.find(caller.who, place)
        if node is None:
            raise Refused(404, f"{place.path!r} does not exist")
        if node.version is None:
            raise Refused(405, "a collection is there: it has no content")
        if incoming.declared_bytes is not None:
            span.start(node.version.size, incoming.declared_bytes)
        tokens = await self._guard.check_if(caller, place, node)
        check = self._guard.within(caller, place)
        replacement = Replacement(self._locks, caller.who, place, caller.headers, tokens, check)
        await self._guard.check_locks(caller.who, tokens, Change(place, membership=False, tree=False))
        try:
            version = await self._objects.patches.put(
                caller.who,
                place.bucket,
                place.key,
                incoming.pieces(),
                span.start,
                replacement.admit,
                condition=write_condition(caller.headers),
            )
        except ObjectNotFound as exc:
            raise Refused(412 if "If-Match" in caller.headers else 404, f"{place.path!r} does not exist") from exc
        status, fields, body = replacement.answer(version)
        return answers.whole(status, fields.pop("Content-Type", ""), body, fields)
