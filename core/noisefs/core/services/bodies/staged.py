"""A body whose bytes are in and whose name is not yet."""

from types import TracebackType
from typing import Self

from noisefs.core.domain.ids import BodyId
from noisefs.core.domain.records import BodyState, Extent
from noisefs.core.domain.requests import Digested
from noisefs.core.ports.index import Writing


class StagedBody:
    """Handed out by :meth:`.ingest.BodyWriter.ingest`. Use as an async context manager: leaving it without a
    successful ``enlist`` commit discards the body.

    An empty body (``digested.size == 0``) has no body row: ``enlist`` returns no extent.
    """

    digested: Digested
    body_id: BodyId

    async def settle(self) -> None:
        """Make the body's cells durable (one shared sync). Call after verification, before the commit."""
        raise NotImplementedError

    def enlist(self, tx: Writing, state: BodyState) -> tuple[Extent, ...]:
        """Inside the publishing commit: write the body's rows with one reference, and return its extent (or none).

        May run again in a retried batch. Raises ``CommitConflict`` if the writer lost its body or pack.
        """
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError
