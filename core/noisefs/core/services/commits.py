"""The commit queue: writers of a process share one index commit and its sync.

Promise: :meth:`CommitQueue.run` returns a value only after the commit that holds the function's writes is durable.
Functions run in the order they were queued; nothing a client asked for is retried visibly.
"""

from collections.abc import Callable
from typing import TypeVar

from noisefs.core.ports.index import Index, Writing
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Workers

T = TypeVar("T")


class CommitQueue:
    """Groups waiting functions into batches of at most 256 and commits them, one batch at a time."""

    def __init__(self, index: Index, workers: Workers, telemetry: Telemetry) -> None:
        raise NotImplementedError

    async def run(self, work: Callable[[Writing], T], *, wipe: bool = True) -> T:
        """Commit ``work`` with others that wait, and return what it returned.

        A cancelled caller may find its work committed or not, never half of it.

        Raises:
            NoisefsError: What ``work`` raised (its writes were undone), or why the whole batch failed.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Commit what waits; refuse what comes later with ``Draining``."""
        raise NotImplementedError
