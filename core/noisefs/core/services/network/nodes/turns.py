"""Several pieces of work at once, none of which holds up the others: only those that need a busy node wait."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Final, TypeVar

from noisefs.core.ports.clock import Clock

T = TypeVar("T")
R = TypeVar("R")

LOOKED_THROUGH: Final = 64
"""Pieces whose nodes are looked at before it is said that all of them wait for busy ones."""


async def in_turns(
    pieces: list[T],
    *,
    work: Callable[[T], Awaitable[R]],
    nodes_of: Callable[[T], Iterable[str]],
    at_once: int,
    clock: Clock,
    until_s: float,
) -> AsyncGenerator[tuple[T, R], None]:
    """Do ``pieces``, in their order as far as their nodes are free, and give each with what came of it.

    What is begun is taken out of the list; what is left in it at the end was not begun. Close it if it is not used up:
    then what is under way is broken off.

    Args:
        work: Must not raise, but for what ends everything.
        nodes_of: Nodes that a piece would need now; two pieces that share one are never under way together.
        at_once: Pieces under way at one time.
        until_s: On the monotonic clock: from then on nothing is begun.
    """
    running: dict[asyncio.Task[R], tuple[T, frozenset[str]]] = {}
    try:
        while True:
            while len(running) < at_once and clock.monotonic_s() < until_s:
                busy = frozenset[str]().union(*(names for _piece, names in running.values()))
                begun = _next(pieces, nodes_of, busy)
                if begun is None:
                    break
                running[asyncio.create_task(_awaited(work, begun[0]))] = begun
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                piece, _names = running.pop(ended)
                yield piece, ended.result()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _next(
    pieces: list[T], nodes_of: Callable[[T], Iterable[str]], busy: frozenset[str]
) -> tuple[T, frozenset[str]] | None:
    """Take the first piece of which no node is ``busy``, and its nodes."""
    for number, piece in enumerate(pieces[:LOOKED_THROUGH]):
        names = frozenset(nodes_of(piece))
        if not names & busy:
            del pieces[number]
            return piece, names
    return None


async def _awaited(work: Callable[[T], Awaitable[R]], piece: T) -> R:
    return await work(piece)
