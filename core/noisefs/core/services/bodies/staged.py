"""A body whose bytes are in and whose name is not yet."""

import asyncio
from types import TracebackType
from typing import Self

from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.keyspace import writing_key
from noisefs.core.domain.records import TAIL_NONE, TAIL_TINY, Body, BodyState, Dead, Extent, encode
from noisefs.core.domain.requests import Digested
from noisefs.core.errors import CommitConflict
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.bodies.backlog import Backlog
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.packs.staging import Staging, place_runs
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
        commits: CommitQueue,
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
        self._commits = commits
        self._backlog = backlog

    async def settle(self) -> None:
        """Make the body's cells durable (one shared sync). Call after verification, before the commit."""
        if self._staging.runs:
            await self._writer.settle(self._staging)

    def enlist(self, tx: Writing, state: BodyState) -> tuple[Extent, ...]:
        """Inside the publishing commit: write the body's rows with one reference, and return its extent (or none).

        May run again in a retried batch. Raises ``CommitConflict`` if the writer lost its body or pack.
        """
        size = self.digested.size
        if size == 0:
            return ()
        staging = self._staging
        if staging.discarded:
            raise CommitConflict(f"body {self.body_id.hex()} was discarded")
        if staging.marked:
            if tx.get(Table.META, writing_key(self.body_id)) is None:
                raise CommitConflict(f"body {self.body_id.hex()} lost its writer's row")
            tx.delete(Table.META, writing_key(self.body_id))
        staging.enlisted = True
        row = Body(state, size, staging.wrapped_key, 1, staging.owner, self._created_us, 1, self._tail)
        tx.put(Table.BODIES, self.body_id, encode(row))
        if self._tail == TAIL_TINY:
            tx.put(Table.TINY, self.body_id, self._sealed_tail)
        elif self._tail != TAIL_NONE:
            tx.put(Table.INLINE, self.body_id, self._sealed_tail)
        if staging.runs:
            place_runs(tx, self.body_id, staging.runs, staging.owner)
        return (Extent(self.body_id, 0, size),)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._staging.enlisted:
            if self._tail not in (TAIL_NONE, TAIL_TINY):
                self._backlog.added(len(self._sealed_tail))
            return
        await asyncio.shield(discard(self._staging, self._commits, self._created_us))


async def discard(staging: Staging, commits: CommitQueue, now_us: int) -> None:
    """Give a body up: its unsealed cells become filler, a ``WRITING`` row goes and its cells are released.

    Harmless for a body whose commit went through although its caller was cancelled: that one has no ``WRITING`` row.
    """
    staging.discarded = True
    if not staging.marked:
        return

    def bury(tx: Writing) -> None:
        if tx.get(Table.META, writing_key(staging.body_id)) is None:
            return
        tx.delete(Table.META, writing_key(staging.body_id))
        tx.delete(Table.BODIES, staging.body_id)
        tx.put(Table.DEAD, staging.body_id, encode(Dead(now_us)))

    await commits.run(bury)
