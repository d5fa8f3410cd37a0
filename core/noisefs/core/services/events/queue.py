"""Queues of events, one for each target: rows that are written in the commit of what they tell of.

A queue takes events exactly if its target is one of the configuration (:func:`lay_out`); an event of another target
goes nowhere. A full queue loses its oldest event for each new one, and counts that.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from noisefs.core.domain.buckets.event_rows import (
    QUEUE_PREFIX,
    WAITING_PREFIX,
    EventQueue,
    WaitingEvent,
    queue_key,
    waiting_key,
)
from noisefs.core.domain.keyspace import prefix_end
from noisefs.core.domain.records import decode, encode
from noisefs.core.ports.index import Reading, Table, Writing

_QUEUES_MOST: Final = 1 << 16
_GIVEN_UP_AT_ONCE: Final = 1000


def add(tx: Writing, target: str, event: WaitingEvent) -> None:
    """Let an event wait for a target. Cost: one get, two puts."""
    row_key = queue_key(target)
    raw = tx.get(Table.META, row_key)
    if raw is None:
        return
    queue = decode(EventQueue, raw)
    if not queue.most:
        return
    first, dropped = queue.first, queue.dropped
    while queue.following - first >= queue.most:
        tx.delete(Table.META, waiting_key(target, first))
        first, dropped = first + 1, dropped + 1
    tx.put(Table.META, waiting_key(target, queue.following), encode(event))
    tx.put(Table.META, row_key, encode(EventQueue(first, queue.following + 1, queue.most, dropped)))


def of(tx: Reading, target: str) -> EventQueue | None:
    """The target's queue; ``None``: there is none."""
    raw = tx.get(Table.META, queue_key(target))
    return None if raw is None else decode(EventQueue, raw)


def head(tx: Reading, target: str, limit: int) -> list[tuple[int, WaitingEvent]]:
    """The first events that wait, in order, each with its number."""
    start, end = waiting_key(target, 0), WAITING_PREFIX + target.encode() + b"\1"
    return [
        (int.from_bytes(key[-8:], "big"), decode(WaitingEvent, raw))
        for key, raw in tx.scan(Table.META, start, end, limit)
    ]


def take_off(tx: Writing, target: str, upto: int) -> int:
    """Remove events below this number; returns how many there still were."""
    queue = of(tx, target)
    if queue is None or upto <= queue.first:
        return 0
    upto = min(upto, queue.following)
    for number in range(queue.first, upto):
        tx.delete(Table.META, waiting_key(target, number))
    tx.put(Table.META, queue_key(target), encode(EventQueue(upto, queue.following, queue.most, queue.dropped)))
    return upto - queue.first


def is_laid_out(tx: Reading, targets: Sequence[str], most: int) -> bool:
    """Whether the queues are those of the configuration."""
    return {target: queue.most for target, queue in all_of(tx).items() if queue.most} == dict.fromkeys(targets, most)


def lay_out(tx: Writing, targets: Sequence[str], most: int) -> None:
    """Let there be queues for these targets, for so many events each. One of another target no longer takes any; what
    waits in it goes with :func:`give_up`.
    """
    queues = dict(all_of(tx))
    for target in targets:
        queues.setdefault(target, EventQueue(0, 0, 0))
    for target, queue in queues.items():
        room = most if target in targets else 0
        tx.put(Table.META, queue_key(target), encode(EventQueue(queue.first, queue.following, room, queue.dropped)))


def give_up(tx: Writing, target: str) -> tuple[int, bool]:
    """Remove events of a target that is no more, some at a time, then its queue; how many, and whether that is all."""
    queue = of(tx, target)
    if queue is None or queue.most:
        return 0, True
    gone = take_off(tx, target, queue.first + _GIVEN_UP_AT_ONCE)
    if queue.waiting > gone:
        return gone, False
    tx.delete(Table.META, queue_key(target))
    return gone, True


def all_of(tx: Reading) -> Mapping[str, EventQueue]:
    """All queues by target."""
    rows = tx.scan(Table.META, QUEUE_PREFIX, prefix_end(QUEUE_PREFIX), _QUEUES_MOST)
    return {key[len(QUEUE_PREFIX) :].decode(): decode(EventQueue, raw) for key, raw in rows}
