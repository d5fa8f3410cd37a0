"""Opening a version for reading: all of its bodies pinned, each with its key, before the first byte goes out.

A body costs some 30 us on the event loop, which the pins belong to. So an object of few extents is opened in the one
read that looks it up; one of many is opened in slices, with others in between, each of which makes sure that the key
still names the same version.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import cast

from noisefs.core.domain.caching.asker import Asker, Protocol, class_number
from noisefs.core.domain.records import Extent, Version
from noisefs.core.errors import CommitConflict
from noisefs.core.ports.index import Index, Reading
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.reading import BodyReader, OpenBodies
from noisefs.core.services.bodies.twice import InnerReading, InnerSealer
from noisefs.core.services.bodies.windows import Take
from noisefs.core.services.namespace.objects import layouts
from noisefs.core.services.namespace.rows.versions import Found

Wanted = Callable[[Version], tuple[int, int]]
"""Which bytes of a version a reader will ask for, as start and end (exclusive). May raise (an impossible range)."""

Find = Callable[[Reading], Found]
"""Finds a version that may be read."""

_SLICE = 16
"""Extents opened at once."""
_ATTEMPTS = 4
"""How often an object of many extents is looked up again when it is overwritten meanwhile."""


class OpenObject:
    """A version that is being read; its bytes stay readable until it is closed. Use with ``async with``."""

    __slots__ = ("_groups", "_inner", "end", "start", "version")

    def __init__(self, version: Version, start: int, end: int, inner: InnerReading | None = None) -> None:
        """Nothing is opened yet. ``start`` and ``end``: what may be asked for. ``inner``: of what is sealed twice."""
        self.version = version
        self.start = start
        self.end = end
        self._inner = inner
        self._groups: list[tuple[int, int, OpenBodies]] = []

    def add(self, offset: int, extents: Sequence[Extent], bodies: OpenBodies) -> int:
        """Take in the opened bodies that begin at byte ``offset`` of what is stored; returns the offset behind them."""
        behind = offset + sum(extent.length for extent in extents)
        self._groups.append((offset, behind, bodies))
        return behind

    def chunks(
        self, start: int | None = None, end: int | None = None, *, take: Take | None = None
    ) -> AsyncIterator[memoryview]:
        """Bytes ``start`` to ``end`` (exclusive), by default all that was opened; see
        :meth:`.reading.OpenBodies.chunks`. They lie within what was opened.
        """
        first = self.start if start is None else start
        stop = self.end if end is None else end
        assert self.start <= first <= stop <= self.end
        if self._inner is not None:
            return self._inner.chunks(first, stop, self._stored)
        return self._stored(first, stop, take)

    def _stored(self, first: int, stop: int, take: Take | None = None) -> AsyncIterator[memoryview]:
        """Bytes as the bodies hold them."""
        if len(self._groups) == 1:
            offset, _, bodies = self._groups[0]
            return bodies.chunks(first - offset, stop - offset, take)
        return self._chained(first, stop, take)

    async def _chained(self, first: int, stop: int, take: Take | None) -> AsyncGenerator[memoryview, None]:
        for offset, behind, bodies in self._groups:
            begin, end = max(first, offset), min(stop, behind)
            if begin < end:
                chunks = cast("AsyncGenerator[memoryview, None]", bodies.chunks(begin - offset, end - offset, take))
                async with aclosing(chunks):
                    async for chunk in chunks:
                        yield chunk

    async def __aenter__(self) -> "OpenObject":
        """Itself."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Let go of the bodies."""
        self.close()

    def close(self) -> None:
        """Let go of the bodies. May be called more than once."""
        for _, _, bodies in self._groups:
            bodies.close()


class Opener:
    """Opens versions. Task-safe."""

    def __init__(
        self,
        *,
        index: Index,
        workers: Workers,
        body_reader: BodyReader,
        sealer: InnerSealer,
        protocol: Protocol,
    ) -> None:
        """``protocol``: whose requests these are."""
        self._index = index
        self._protocol = protocol
        self._workers = workers
        self._reader = body_reader
        self._sealer = sealer

    def asked_by(self, protocol: Protocol) -> "Opener":
        """The same for another protocol's requests."""
        return Opener(
            index=self._index,
            workers=self._workers,
            body_reader=self._reader,
            sealer=self._sealer,
            protocol=protocol,
        )

    async def open(self, find: Find, wanted: Wanted | None, customer_key: bytes | None = None) -> OpenObject:
        """The version that ``find`` finds, opened where ``wanted`` wants it (``None``: all of it).

        ``customer_key``: of an object that is sealed with one.

        Raises:
            CommitConflict: An object of many extents was overwritten again and again meanwhile.
            CustomerKeyNeeded, CustomerKeyUnwanted, WrongCustomerKey: It takes a key, none, or another one.
        """

        def at_once(tx: Reading) -> OpenObject | None:
            found = find(tx)
            version = found.version
            if version.layout is not None and (wanted is None or version.inner is not None):
                return None
            opened, extents, offset = self._begun(tx, version, wanted, customer_key)
            if len(extents) > _SLICE:
                return None
            opened.add(offset, extents, self._reader.open(tx, extents, self._asker(found)))
            return opened

        return self._index.read(at_once) or await self._open_in_slices(find, wanted, customer_key)

    def _asker(self, found: Found) -> Asker:
        return Asker(self._protocol, class_number(found.durability))

    def _begun(
        self, tx: Reading, version: Version, wanted: Wanted | None, customer_key: bytes | None
    ) -> tuple[OpenObject, Sequence[Extent], int]:
        """The version with nothing opened yet, the extents that will be, and the (sealed) offset of the first."""
        data_key = self._sealer.data_key(version.inner, customer_key)
        start, end = (0, version.size) if wanted is None else wanted(version)
        if data_key is None:
            return OpenObject(version, start, end), *layouts.extents_within(tx, version, start, end)
        inner = self._sealer.reading(version, layouts.parts_of(tx, version), data_key, start, end)
        opened = OpenObject(version, start, end, inner)
        return opened, *layouts.extents_within(tx, version, inner.sealed_start, inner.sealed_end)

    async def _open_in_slices(self, find: Find, wanted: Wanted | None, customer_key: bytes | None) -> OpenObject:
        def look(tx: Reading) -> tuple[Found, OpenObject, Sequence[Extent], int]:
            found = find(tx)
            return found, *self._begun(tx, found.version, wanted, customer_key)

        for _ in range(_ATTEMPTS):
            found, opened, extents, offset = await self._workers.run(Lane.DISK, self._index.read, look)
            try:
                if await self._fill(opened, found, extents, offset):
                    return opened
            except BaseException:
                opened.close()
                raise
            opened.close()
        raise CommitConflict(f"the object changed {_ATTEMPTS} times while it was opened")

    async def _fill(self, opened: OpenObject, found: Found, extents: Sequence[Extent], offset: int) -> bool:
        """Open slice by slice; tells whether the version stayed where it was found all the time."""
        asker = self._asker(found)
        for begin in range(0, len(extents), _SLICE):
            some = extents[begin : begin + _SLICE]

            def more(tx: Reading, some: Sequence[Extent] = some) -> OpenBodies | None:
                if tx.get(found.table, found.row_key) != found.raw:
                    return None
                return self._reader.open(tx, some, asker)

            bodies = self._index.read(more)
            if bodies is None:
                return False
            offset = opened.add(offset, some, bodies)
            await asyncio.sleep(0)
        return True
