"""What the processes of one server answer about their tiers, as one answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

_TOGETHER: Final = ", "


class Memory(msgspec.Struct):
    """As :class:`~noisefs.core.services.bodies.hot.HotState`."""

    entries: int
    bytes: int
    max_bytes: int
    policy: str
    in_charge: str


class DiskCache(msgspec.Struct):
    """As :class:`~noisefs.core.services.caching.warm.WarmState`."""

    enabled: bool
    reason: str
    entries: int
    bytes: int
    max_bytes: int
    policy: str
    in_charge: str


class Seeds(msgspec.Struct):
    """As :class:`~noisefs.core.services.bodies.seeds.SeedsState`."""

    packs: int
    blocks: int
    bytes: int
    max_bytes: int


class Ahead(msgspec.Struct):
    """What became of what was fetched ahead for one reason."""

    on: bool
    precision: float | None
    used_cells: int
    wasted_cells: int
    wasted_bytes: int
    waiting_bytes: int


class Progress(msgspec.Struct):
    """How far the warming is."""

    listed: int
    done: int
    failed: int
    running: bool


class Status(msgspec.Struct):
    """What one process answers to ``cache.status``."""

    memory: Memory
    seeds: Seeds
    disk_cache: DiskCache | None
    fetched_ahead: dict[str, Ahead]
    warming: Progress | None


def status_of_all(answers: Mapping[int, object]) -> object:
    """All tiers of a kind as one, and those of each process below, where there are several."""
    if len(answers) == 1:
        return next(iter(answers.values()))
    each = [msgspec.convert(answer, Status) for answer in answers.values()]
    disks = [one.disk_cache for one in each if one.disk_cache is not None]
    whole = Status(
        Memory(
            sum(one.memory.entries for one in each),
            sum(one.memory.bytes for one in each),
            sum(one.memory.max_bytes for one in each),
            _words(one.memory.policy for one in each),
            _words(one.memory.in_charge for one in each),
        ),
        Seeds(
            sum(one.seeds.packs for one in each),
            sum(one.seeds.blocks for one in each),
            sum(one.seeds.bytes for one in each),
            sum(one.seeds.max_bytes for one in each),
        ),
        _disk(disks) if disks else None,
        {kind: _ahead([one.fetched_ahead[kind] for one in each]) for kind in each[0].fetched_ahead},
        progress_of_all([one.warming for one in each if one.warming is not None]),
    )
    told: dict[str, Any] = msgspec.to_builtins(whole)  # Any: JSON
    return told | {"workers": [{"worker": number, **_mapping(answer)} for number, answer in answers.items()]}


def explained_by_all(answers: Mapping[int, object]) -> object:
    """Where cells are, as each process sees it."""
    if len(answers) == 1:
        return next(iter(answers.values()))
    return [
        {"worker": number, **_mapping(row)}
        for number, rows in answers.items()
        if isinstance(rows, Sequence)
        for row in rows
    ]


def warmed_by_all(answers: Mapping[int, object]) -> object:
    """What was brought into memory."""
    return msgspec.to_builtins(progress_of_all([msgspec.convert(answer, Progress) for answer in answers.values()]))


def progress_of_all(each: Sequence[Progress]) -> Progress | None:
    """Several as one."""
    if not each:
        return None
    return Progress(
        sum(one.listed for one in each),
        sum(one.done for one in each),
        sum(one.failed for one in each),
        any(one.running for one in each),
    )


def _disk(each: Sequence[DiskCache]) -> DiskCache:
    return DiskCache(
        all(one.enabled for one in each),
        _words(one.reason for one in each if one.reason),
        sum(one.entries for one in each),
        sum(one.bytes for one in each),
        sum(one.max_bytes for one in each),
        _words(one.policy for one in each),
        _words(one.in_charge for one in each),
    )


def _ahead(each: Sequence[Ahead]) -> Ahead:
    known = [one.precision for one in each if one.precision is not None]
    return Ahead(
        any(one.on for one in each),
        sum(known) / len(known) if known else None,
        sum(one.used_cells for one in each),
        sum(one.wasted_cells for one in each),
        sum(one.wasted_bytes for one in each),
        sum(one.waiting_bytes for one in each),
    )


def _words(words: Iterable[str]) -> str:
    return _TOGETHER.join(dict.fromkeys(words))


def _mapping(answer: object) -> dict[str, object]:
    return msgspec.convert(answer, dict[str, object])
