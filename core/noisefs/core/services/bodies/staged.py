"""A body whose bytes are in and whose name is not yet."""

from types import TracebackType
from typing import Self

from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.records import TAIL_NONE, TAIL_TINY, Body, BodyState, Extent, encode
from noisefs.core.domain.requests import Digested
from noisefs.core.errors import CommitConflict
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.bodies.backlog import Backlog
from noisefs.core.services.bodies.discards import Discards
from noisefs.core.services.packs.staging import Staging
from noisefs.core.services.packs.writer import PackWriter


class StagedBody:
    """Handed out by :meth:`.ingest.BodyWriter.ingest`. Use as an async context manager: leaving it without a
    successful ``enlist`` commit discards the body.

    An empty body (``digested.size == 0``) has no body row: ``enlist`` returns no extent.
    """

    def __init__(
        self,
        staging: Staging,
        digested: Digested,
        *,
        tail: int,
        sealed_tail: bytes,
        created_us: int,
        writer: PackWriter,
        discards: Discards,
        backlog: Backlog,
    ) -> None:
        """``tail`` and ``sealed_tail``: where the slice is to go, and its sealed bytes."""
        self.digested = digested
        self.body_id: BodyId = staging.body_id
        self._staging = staging
        self._tail = tail
        self._sealed_tail = sealed_tail
        self._created_us = created_us
        self._writer = writer
        self._discards = discards
        self._backlog = backlog

    async def settle(self) -> None:
        """Make the body's cells durable (one shared sync). Call after verification, before the commit."""
        if self._staging.runs or self._staging.durability != LOCAL:
            await self._writer.settle(self._staging)

    def enlist(self, tx: Writing, state: BodyState, *, durability: str = LOCAL) -> tuple[Extent, ...]:
        """Inside the publishing commit: write the body's rows with one reference, and return its extent (or none).

        May run again in a retried batch. Raises ``CommitConflict`` if the writer lost its body or pack, or its bucket
        has another class (``durability``) by now than the one that its cells have.
        """
        size = self.digested.size
        if size == 0:
            return ()
        staging = self._staging
        if durability not in (LOCAL, staging.durability) and staging.runs:
            raise CommitConflict(f"the bucket's class became {durability} while body {self.body_id.hex()} came in")
        staging.enlist(tx)
        row = Body(state, size, staging.wrapped_key, 1, staging.owner, self._created_us, 1, self._tail, exact=True)
        tx.put(Table.BODIES, self.body_id, encode(row))
        if self._tail == TAIL_TINY:
            tx.put(Table.TINY, self.body_id, self._sealed_tail)
        elif self._tail != TAIL_NONE:
            tx.put(Table.INLINE, self.body_id, self._sealed_tail)
        return (Extent(self.body_id, 0, size),)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._staging.enlisted:
            self.named()
            return
        await self._discards.discard(self._staging, self._created_us)

    def named(self) -> None:
        """The commit that enlisted the body is durable."""
        if self._tail not in (TAIL_NONE, TAIL_TINY):
            self._backlog.added(len(self._sealed_tail))
