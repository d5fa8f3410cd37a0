"""The learned policy's work for one read, compiled: history, samples, scores and who leaves, in one call.

A read costs some microseconds in all, of which one is the call itself: numpy, or a model's own library, would take
that for a single operation on a single row. Arrays are those of :mod:`.layout`; whoever
calls owns them. Compiled code is kept on disk, next to this file or in the user's cache folder.

Source of the decayed counters and gaps as features: Song et al., "Learning Relaxed Belady for Content Distribution
Network Caching", NSDI 2020.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from noisefs.core.domain.caching.scoring.forest import LEVELS, NODES
from noisefs.core.domain.caching.scoring.layout import (
    AFTER,
    AWAITED,
    BEFORE,
    BEFORE_AGE,
    BEFORE_GAP,
    BUCKET,
    BYTES,
    COLUMNS,
    COUNT,
    FIRST,
    GAP_1,
    GAP_2,
    GAP_3,
    GAP_4,
    GROUP,
    LAST,
    LONG,
    LONG_RATE,
    NEVER,
    NEWER,
    NEWEST,
    NEXT,
    NONE,
    NOW,
    OLDER,
    OLDEST,
    PLACE,
    POOL,
    POOLED,
    POSITION,
    PROTOCOL,
    RANDOM,
    RESIDENTS,
    SAMPLE_GAP,
    SAMPLE_NEXT,
    SAMPLE_SLOT,
    SAMPLE_TIME,
    SAMPLED,
    SEQUENTIAL,
    SHORT,
    SHORT_RATE,
    SIZE,
)

F = TypeVar("F", bound=Callable[..., object])
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]

DRAWN: Final = 8
"""So many residents are drawn and scored for each key that comes in."""
POOL_MOST: Final = 128
"""Of those that were scored, so many with the lowest scores stay candidates."""
SAMPLED_SHARE: Final = 0.03
"""Of the reads, and of the scored rows, so many become samples."""

HIT: Final = -1


def compiled(function: F) -> F:
    """The function as machine code; made at its first call, or read from disk."""
    # Any: numba is not typed.
    jit: Any = numba.njit
    try:
        made = jit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # nowhere to keep compiled code
        made = jit(error_model="numpy")(function)
    return cast(F, made)


@compiled
def _chance(state: Ints) -> float:
    """A random number from 0 to 1: xorshift on 62 bits, so that a seed decides everything."""
    x = state[RANDOM]
    x ^= (x << 13) & 0x3FFFFFFFFFFFFFFF
    x ^= x >> 7
    x ^= (x << 17) & 0x3FFFFFFFFFFFFFFF
    state[RANDOM] = x
    return float(x >> 9) / 9007199254740992.0


@compiled
def describe(
    row: Floats, slot: int, residence: float, state: Ints, ints: Ints, floats: Floats, heats: NDArray[np.float64]
) -> None:
    """What a model sees of a slot now, into ``row``. The heat of a group is ``heats[group]``: last read, heat."""
    now = state[NOW]
    age = now - ints[slot, LAST]
    past = age / residence
    row[0] = age
    for at in range(4):
        row[1 + at] = floats[slot, GAP_1 + at]
    row[5] = floats[slot, COUNT]
    row[6] = floats[slot, SHORT] * np.exp(-SHORT_RATE * past)
    row[7] = floats[slot, LONG] * np.exp(-LONG_RATE * past)
    row[8] = now - ints[slot, FIRST]
    row[9:15] = NEVER
    before, after = ints[slot, BEFORE], ints[slot, NEXT]
    if before >= 0:
        row[9] = now - ints[before, LAST]
        row[10] = floats[before, GAP_1]
    if after >= 0:
        row[11] = now - ints[after, LAST]
        row[12] = floats[after, GAP_1]
    group = ints[slot, GROUP]
    if group >= 0:
        since = now - heats[group, 0]
        row[13] = since
        row[14] = heats[group, 1] * np.exp(-since / residence)
    row[15] = floats[slot, POSITION]
    row[16] = floats[slot, BEFORE_AGE]
    row[17] = floats[slot, BEFORE_GAP]
    row[18] = now - ints[slot, AFTER] if ints[slot, AFTER] else NEVER
    row[19] = ints[slot, SIZE]
    row[20] = floats[slot, PROTOCOL]
    row[21] = floats[slot, SEQUENTIAL]
    row[22] = floats[slot, BUCKET]


@compiled
def score(row: Floats, feature: NDArray[np.int32], threshold: Floats, leaves: Floats, groups: int) -> float:
    """A row's score by the arrays of a :class:`.Forest`; by age where there is no tree."""
    trees = len(leaves)
    if not trees:
        return -float(row[0])
    total = 0.0
    part = 0.0
    each = trees // groups
    for tree in range(trees):
        node = 0
        for _ in range(LEVELS):
            node = 2 * node + 1 + int(row[feature[tree, node]] > threshold[tree, node])
        part += leaves[tree, node - NODES]
        if (tree + 1) % each == 0:
            total += 1.0 / (1.0 + np.exp(-part))
            part = 0.0
    return total


@compiled
def score_all(
    rows: Floats, feature: NDArray[np.int32], threshold: Floats, leaves: Floats, groups: int
) -> NDArray[np.float64]:
    """The scores of many rows."""
    scores = np.empty(len(rows), np.float64)
    for at in range(len(rows)):
        scores[at] = score(rows[at], feature, threshold, leaves, groups)
    return scores


@compiled
def _sample(row: Floats, slot: int, state: Ints, ints: Ints, samples: Ints, rows: Floats) -> None:
    """Remember a row until its outcome is known; the oldest sample is forgotten for it."""
    count = state[SAMPLED]
    at = count % len(rows)
    if count >= len(rows):
        owner = samples[at, SAMPLE_SLOT]
        if owner >= 0 and not samples[at, SAMPLE_GAP]:
            found = ints[owner, AWAITED]
            if found == at:
                ints[owner, AWAITED] = samples[at, SAMPLE_NEXT]
            else:
                while samples[found, SAMPLE_NEXT] != at:
                    found = samples[found, SAMPLE_NEXT]
                samples[found, SAMPLE_NEXT] = samples[at, SAMPLE_NEXT]
    rows[at, :] = row
    samples[at, SAMPLE_SLOT] = slot
    samples[at, SAMPLE_TIME] = state[NOW]
    samples[at, SAMPLE_GAP] = 0
    samples[at, SAMPLE_NEXT] = ints[slot, AWAITED]
    ints[slot, AWAITED] = at
    state[SAMPLED] = count + 1


@compiled
def _freshen(slot: int, state: Ints, ints: Ints) -> None:
    """Make a slot the newest in the order of reads."""
    if state[NEWEST] == slot:
        return
    _unlink(slot, state, ints)
    newest = state[NEWEST]
    ints[slot, OLDER], ints[slot, NEWER] = newest, NONE
    if newest >= 0:
        ints[newest, NEWER] = slot
    else:
        state[OLDEST] = slot
    state[NEWEST] = slot


@compiled
def _unlink(slot: int, state: Ints, ints: Ints) -> None:
    newer, older = ints[slot, NEWER], ints[slot, OLDER]
    if newer >= 0:
        ints[newer, OLDER] = older
    elif state[NEWEST] == slot:
        state[NEWEST] = older
    if older >= 0:
        ints[older, NEWER] = newer
    elif state[OLDEST] == slot:
        state[OLDEST] = newer
    ints[slot, NEWER] = ints[slot, OLDER] = NONE


@compiled
def begin(slot: int, group: int, size: int, position: int, state: Ints, ints: Ints, floats: Floats) -> None:
    """Give a key its slot, as never read. Its neighbour before it is told with its first read."""
    now = state[NOW]
    ints[slot, :] = NONE
    ints[slot, LAST] = ints[slot, FIRST] = now
    ints[slot, AFTER] = ints[slot, POOLED] = 0
    ints[slot, GROUP] = group
    ints[slot, SIZE] = size
    floats[slot, :] = 0
    for at in range(4):
        floats[slot, GAP_1 + at] = NEVER
    floats[slot, BEFORE_AGE] = floats[slot, BEFORE_GAP] = NEVER
    floats[slot, POSITION] = position
    _freshen(slot, state, ints)


@compiled
def read(
    slot: int,
    before: int,
    protocol: int,
    sequential: bool,
    bucket: int,
    residence: float,
    state: Ints,
    ints: Ints,
    floats: Floats,
    heats: NDArray[np.float64],
    samples: Ints,
    rows: Floats,
) -> None:
    """Count one read of a slot; ``before`` is its neighbour's, if that is remembered."""
    state[NOW] += 1
    now = state[NOW]
    waiting = ints[slot, AWAITED]
    while waiting >= 0:
        samples[waiting, SAMPLE_GAP] = now - samples[waiting, SAMPLE_TIME]
        waiting = samples[waiting, SAMPLE_NEXT]
    ints[slot, AWAITED] = NONE
    floats[slot, BEFORE_AGE] = floats[slot, BEFORE_GAP] = NEVER
    if before >= 0:
        if ints[slot, BEFORE] < 0 and ints[before, NEXT] < 0:
            ints[slot, BEFORE], ints[before, NEXT] = before, slot
        floats[slot, BEFORE_AGE] = now - ints[before, LAST]
        floats[slot, BEFORE_GAP] = floats[before, GAP_1]
        ints[before, AFTER] = now
    group = ints[slot, GROUP]
    if group >= 0:
        heats[group, 1] = heats[group, 1] * np.exp(-(now - heats[group, 0]) / residence) + 1
        heats[group, 0] = now
    if floats[slot, COUNT]:
        gap = now - ints[slot, LAST]
        past = gap / residence
        floats[slot, GAP_4] = floats[slot, GAP_3]
        floats[slot, GAP_3] = floats[slot, GAP_2]
        floats[slot, GAP_2] = floats[slot, GAP_1]
        floats[slot, GAP_1] = gap
        floats[slot, SHORT] = floats[slot, SHORT] * np.exp(-SHORT_RATE * past) + 1
        floats[slot, LONG] = floats[slot, LONG] * np.exp(-LONG_RATE * past) + 1
    else:
        floats[slot, SHORT] = floats[slot, LONG] = 1
        ints[slot, FIRST] = now
    floats[slot, COUNT] += 1
    floats[slot, PROTOCOL] = protocol
    floats[slot, SEQUENTIAL] = sequential
    floats[slot, BUCKET] = bucket
    ints[slot, LAST] = now
    _freshen(slot, state, ints)
    if _chance(state) < SAMPLED_SHARE:
        row = np.empty(COLUMNS, np.float32)
        describe(row, slot, residence, state, ints, floats, heats)
        _sample(row, slot, state, ints, samples, rows)


@compiled
def _offer(slot: int, value: float, state: Ints, ints: Ints, pool: Ints, values: Floats) -> None:
    """Make a resident a candidate, if its score is low enough."""
    count = state[POOL]
    if count < POOL_MOST:
        at = count
        state[POOL] = count + 1
    else:
        at = 0
        for other in range(1, count):
            if values[other] > values[at]:
                at = other
        if values[at] <= value:
            return
        ints[pool[at, 0], POOLED] = 0
    pool[at, 0], pool[at, 1] = slot, ints[slot, LAST]
    values[at] = value
    ints[slot, POOLED] = 1


@compiled
def _withdraw(at: int, state: Ints, ints: Ints, pool: Ints, values: Floats) -> None:
    """Take an entry out of the pool."""
    last = state[POOL] - 1
    state[POOL] = last
    ints[pool[at, 0], POOLED] = 0
    pool[at, 0], pool[at, 1] = pool[last, 0], pool[last, 1]
    values[at] = values[last]


@compiled
def leave(slot: int, state: Ints, ints: Ints, residents: Ints, pool: Ints, values: Floats) -> None:
    """A resident is one no more."""
    if ints[slot, POOLED]:
        for at in range(state[POOL]):
            if pool[at, 0] == slot:
                _withdraw(at, state, ints, pool, values)
                break
    place = ints[slot, PLACE]
    state[RESIDENTS] -= 1
    last = residents[state[RESIDENTS]]
    residents[place] = last
    ints[last, PLACE] = place
    ints[slot, PLACE] = NONE
    state[BYTES] -= ints[slot, SIZE]


@compiled
def visit(
    slot: int,
    new: bool,
    counted: bool,
    group: int,
    size: int,
    position: int,
    before: int,
    protocol: int,
    sequential: bool,
    bucket: int,
    capacity: int,
    residence: float,
    state: Ints,
    ints: Ints,
    floats: Floats,
    heats: NDArray[np.float64],
    samples: Ints,
    rows: Floats,
    residents: Ints,
    pool: Ints,
    values: Floats,
    feature: NDArray[np.int32],
    threshold: Floats,
    leaves: Floats,
    groups: int,
    left: Ints,
) -> int:
    """All that one read, or one offer, is: room is made by letting those with the lowest scores leave.

    Args:
        slot: Of the key; a ``new`` one is begun.
        new: Whether the slot was taken for this.
        counted: Whether this is a read. What nobody has read is only offered.
        group: And ``size``, ``position`` as :func:`begin` takes them; ``before`` to ``bucket`` as :func:`read`.
        capacity: In bytes. A key that is larger is not kept.
        left: Where the slots of those that left are told; this slot may be one of them.

    Returns:
        How many left; :data:`HIT` where the key was resident.
    """
    if new:
        begin(slot, group, size, position, state, ints, floats)
    if counted:
        read(slot, before, protocol, sequential, bucket, residence, state, ints, floats, heats, samples, rows)
    if ints[slot, PLACE] >= 0:
        return HIT
    if size > capacity:
        return 0
    ints[slot, SIZE] = size
    ints[slot, PLACE] = state[RESIDENTS]
    residents[state[RESIDENTS]] = slot
    state[RESIDENTS] += 1
    state[BYTES] += ints[slot, SIZE]
    if state[BYTES] <= capacity:
        return 0
    row = np.empty(COLUMNS, np.float32)
    gone = 0
    drawn = -1  # the key that came is the first
    while state[BYTES] > capacity:
        while drawn < DRAWN or not state[POOL]:
            found = slot if drawn < 0 else residents[int(_chance(state) * state[RESIDENTS])]
            drawn += 1
            if ints[found, POOLED]:
                continue
            describe(row, found, residence, state, ints, floats, heats)
            _offer(found, score(row, feature, threshold, leaves, groups), state, ints, pool, values)
            if _chance(state) < SAMPLED_SHARE:
                _sample(row, found, state, ints, samples, rows)
        lowest = 0
        for at in range(1, state[POOL]):
            if values[at] < values[lowest]:
                lowest = at
        found = pool[lowest, 0]
        current = pool[lowest, 1] == ints[found, LAST]
        _withdraw(lowest, state, ints, pool, values)
        if current:
            leave(found, state, ints, residents, pool, values)
            left[gone] = found
            gone += 1
    return gone


@compiled
def replace(slots: Ints, state: Ints, ints: Ints, residents: Ints, pool: Ints) -> None:
    """Make these, whose sizes are in ``ints``, the only residents."""
    for at in range(state[POOL]):
        ints[pool[at, 0], POOLED] = 0
    for at in range(state[RESIDENTS]):
        ints[residents[at], PLACE] = NONE
    state[POOL] = state[BYTES] = 0
    for at in range(len(slots)):
        residents[at] = slots[at]
        ints[slots[at], PLACE] = at
        state[BYTES] += ints[slots[at], SIZE]
    state[RESIDENTS] = len(slots)


@compiled
def forget(slot: int, state: Ints, ints: Ints, samples: Ints) -> None:
    """Free a slot that is not resident; its samples are taken as not read again."""
    waiting = ints[slot, AWAITED]
    while waiting >= 0:
        samples[waiting, SAMPLE_SLOT] = NONE
        waiting = samples[waiting, SAMPLE_NEXT]
    before, after = ints[slot, BEFORE], ints[slot, NEXT]
    if before >= 0:
        ints[before, NEXT] = NONE
    if after >= 0:
        ints[after, BEFORE] = NONE
    _unlink(slot, state, ints)


@compiled
def oldest(state: Ints, ints: Ints) -> int:
    """The slot that was read the longest ago and is not resident; residents on the way count as seen again."""
    for _ in range(state[RESIDENTS] + 1):
        found = state[OLDEST]
        if found < 0 or ints[found, PLACE] < 0:
            return int(found)
        _freshen(found, state, ints)
    return NONE
