"""Eviction and admission by a model's score: the least likely to be read again leave first.

Whenever something comes in, it and a few residents drawn at random are scored; those with the lowest scores stay in a
pool of candidates, and the lowest of all leaves. A new key is a candidate like any other, so the same score decides on
admission. All of that is one compiled call (:mod:`.kernel`); here is what stays in Python: which key has which slot.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.policy import CachePolicy, Dropped, nobody
from noisefs.core.domain.caching.scoring import layout
from noisefs.core.domain.caching.scoring.forest import LEAVES, NODES, BadModel, Forest
from noisefs.core.domain.caching.scoring.layout import NONE
from noisefs.core.domain.caching.scoring.samples import Samples
from noisefs.core.domain.caching.scoring.slots import Slots
from noisefs.core.errors import Unavailable

HISTORY_ENTRIES: Final = 8
"""So many keys are remembered per entry that the cache holds."""
LEAST_HISTORY: Final = 100_000
MOST_HISTORY: Final = 400_000
"""Not more than that many beyond twice the entries: a key takes about 300 bytes."""
SAMPLES_MOST: Final = 40_000
_SLOTS_FIRST: Final = 1024
_SEED_SPREAD: Final = 2_654_435_761
_RANDOM_BITS: Final = (1 << 62) - 1


class Scored(CachePolicy):
    """Keeps what scores highest; without a model, what was read last."""

    name: ClassVar[str] = "scored"

    def __init__(self, capacity_bytes: int, seed: int, dropped: Dropped = nobody) -> None:
        """As every policy.

        Raises:
            Unavailable: numba is not installed.
        """
        super().__init__(capacity_bytes, dropped)
        try:
            from noisefs.core.domain.caching.scoring import kernel
        except ImportError as exc:
            raise Unavailable(f"the learned cache policy needs numba: {exc}; install the extra `learned`") from exc
        self._kernel = kernel
        self._state = np.zeros(layout.STATE, dtype=np.int64)
        self._state[[layout.NEWEST, layout.OLDEST]] = NONE
        self._state[layout.RANDOM] = (seed + 1) * _SEED_SPREAD & _RANDOM_BITS
        self._ints = np.zeros((_SLOTS_FIRST, layout.INTS), dtype=np.int64)
        self._floats = np.zeros((_SLOTS_FIRST, layout.FLOATS), dtype=np.float32)
        self._heats = np.zeros((_SLOTS_FIRST, 2), dtype=np.float64)
        self._residents = np.zeros(_SLOTS_FIRST, dtype=np.int64)
        self._left = np.zeros(_SLOTS_FIRST, dtype=np.int64)
        self._samples = np.zeros((SAMPLES_MOST, layout.SAMPLE), dtype=np.int64)
        self._rows = np.zeros((SAMPLES_MOST, layout.COLUMNS), dtype=np.float32)
        self._pool = np.zeros((kernel.POOL_MOST, 2), dtype=np.int64)
        self._values = np.zeros(kernel.POOL_MOST, dtype=np.float32)
        self._slots = Slots()
        self._groups = Slots()
        self._members: list[int] = []
        """How many remembered keys each group has."""
        self._residence = 0.0
        self._leavings = 0
        self.use(None)

    @property
    def resident_bytes(self) -> int:
        return int(self._state[layout.BYTES])

    @property
    def residence_reads(self) -> float:
        """After how many reads an entry that is not read leaves an LRU cache of this size."""
        return self._residence or max(1.0, float(len(self)))

    @property
    def model(self) -> Forest | None:
        """What decides; ``None`` before there is one."""
        return self._model

    def use(self, model: Forest | None) -> None:
        """Decide by this model from now on, or by age.

        Raises:
            BadModel: It looks at rows of another width.
        """
        if model is not None:
            check_width(model)
        self._model = model
        for at in range(int(self._state[layout.POOL])):
            self._ints[self._pool[at, 0], layout.POOLED] = 0
        self._state[layout.POOL] = 0
        self._feature = np.zeros((0, NODES), dtype=np.int32) if model is None else model.feature
        self._threshold = np.zeros((0, NODES), dtype=np.float32) if model is None else model.threshold
        self._leaves = np.zeros((0, LEAVES), dtype=np.float32) if model is None else model.leaves
        self._horizons = 1 if model is None else model.horizons

    def lru_dropped(self, key: Key) -> None:
        """An LRU shadow of the same size drops a key: tells how long an entry stays unread."""
        self._leavings += 1
        if self._leavings > 64 and self._leavings % 8:
            return  # one of eight tells as much
        slot = self._slots.of.get(key)
        if slot is not None:
            weight = max(1.0 / self._leavings, 64.0 / max(len(self), 1))
            age = int(self._state[layout.NOW] - self._ints[slot, layout.LAST])
            self._residence += (age - self._residence) * min(1.0, weight)

    def read(self, access: Access) -> bool:
        return self._visit(access, counted=True) == self._kernel.HIT

    def _visit(self, access: Access, *, counted: bool) -> int:
        known = self._slots.of.get
        slot = known(access.key)
        new = slot is None
        group = NONE
        if slot is None:
            self._forget_oldest()
            slot, group = self._remember(access)
        gone = self._kernel.visit(
            slot,
            new,
            counted,
            group,
            access.size_bytes,
            access.position,
            NONE if access.neighbour is None else known(access.neighbour, NONE),
            int(access.protocol),
            bool(access.sequential),
            int(access.bucket_class),
            self._capacity,
            self.residence_reads,
            self._state,
            self._ints,
            self._floats,
            self._heats,
            self._samples,
            self._rows,
            self._residents,
            self._pool,
            self._values,
            self._feature,
            self._threshold,
            self._leaves,
            self._horizons,
            self._left,
        )
        if gone > 0:
            keys = self._slots.keys
            for at in self._left[:gone].tolist():
                self._dropped(keys[at])
        return gone

    def admit(self, access: Access) -> bool:
        self._visit(access, counted=False)
        return access.key in self

    def _insert(self, key: Key, size: int) -> None:
        self.admit(Access(key, size))

    def discard(self, key: Key) -> None:
        slot = self._slots.of.get(key)
        if slot is not None:
            if self._ints[slot, layout.PLACE] >= 0:
                self._kernel.leave(slot, self._state, self._ints, self._residents, self._pool, self._values)
            self._forget(slot)

    def adopt(self, contents: Sequence[tuple[Key, int]]) -> bool:
        slots: list[int] = []
        for key, size in contents:
            slot = self._slots.of.get(key)
            if slot is None:  # nothing is forgotten for it: that could be one of these
                slot, group = self._remember(Access(key, size))
                self._kernel.begin(slot, group, size, 0, self._state, self._ints, self._floats)
            self._ints[slot, layout.SIZE] = size
            slots.append(slot)
        self._kernel.replace(np.array(slots, dtype=np.int64), self._state, self._ints, self._residents, self._pool)
        return True

    def in_order_of_reads(self, keys: Iterable[Key]) -> list[Key]:
        """These keys, those read last at the end."""
        known = [(self._slots.of.get(key), key) for key in keys]
        last = self._ints[:, layout.LAST]
        known.sort(key=lambda each: -1 if each[0] is None else last[each[0]])
        return [key for _, key in known]

    def samples(self) -> Samples:
        """What a model can be made of. Copies all."""
        count, most = int(self._state[layout.SAMPLED]), len(self._rows)
        order = np.arange(max(0, count - most), count) % most
        taken = self._samples[order]
        ages = self._state[layout.NOW] - taken[:, layout.SAMPLE_TIME]
        return Samples(self._rows[order], ages, taken[:, layout.SAMPLE_GAP], self.residence_reads)

    def row(self, key: Key) -> NDArray[np.float32] | None:
        """What a model sees of a key now: :data:`.layout.ROW`. ``None`` for a key that is not remembered."""
        slot = self._slots.of.get(key)
        if slot is None:
            return None
        row = np.zeros(layout.COLUMNS, dtype=np.float32)
        self._kernel.describe(row, slot, self.residence_reads, self._state, self._ints, self._floats, self._heats)
        return row

    def _remember(self, access: Access) -> tuple[int, int]:
        """Slots for a key that has none, and for its group."""
        slot = self._slots.take(access.key)
        group = NONE
        if access.group is not None:
            found = self._groups.of.get(access.group)
            group = self._groups.take(access.group) if found is None else found
            if group == len(self._members):
                self._members.append(0)
            self._members[group] += 1
        if slot >= len(self._ints) or group >= len(self._heats):
            self._grow()
        if group >= 0 and self._members[group] == 1:
            self._heats[group] = self._state[layout.NOW], 0.0
        return slot, group

    def _forget_oldest(self) -> None:
        """Forget those read the longest ago, until there is room for one more."""
        entries = len(self)
        most = max(LEAST_HISTORY, min(HISTORY_ENTRIES * entries, 2 * entries + MOST_HISTORY))
        while len(self._slots) >= most and (forgotten := self._kernel.oldest(self._state, self._ints)) >= 0:
            self._forget(forgotten)

    def _forget(self, slot: int) -> None:
        group = int(self._ints[slot, layout.GROUP])
        if group >= 0:
            self._members[group] -= 1
            if not self._members[group]:
                self._groups.give(group)
        self._kernel.forget(slot, self._state, self._ints, self._samples)
        self._slots.give(slot)

    def _grow(self) -> None:
        """Room for twice as many slots."""
        self._ints = np.concatenate((self._ints, np.zeros_like(self._ints)))
        self._floats = np.concatenate((self._floats, np.zeros_like(self._floats)))
        self._heats = np.concatenate((self._heats, np.zeros_like(self._heats)))
        self._residents = np.concatenate((self._residents, np.zeros_like(self._residents)))
        self._left = np.concatenate((self._left, np.zeros_like(self._left)))

    def __contains__(self, key: object) -> bool:
        slot = self._slots.of.get(key)
        return slot is not None and bool(self._ints[slot, layout.PLACE] >= 0)

    def __len__(self) -> int:
        return int(self._state[layout.RESIDENTS])

    def __iter__(self) -> Iterator[Key]:
        slots = self._residents[: len(self)]
        order = np.argsort(-self._ints[slots, layout.LAST], kind="stable")
        return iter([self._slots.keys[slot] for slot in slots[order].tolist()])


def prepare() -> None:
    """Have all of it compiled before the first read: seconds on a new machine, then a fraction of one.

    Raises:
        Unavailable: numba is not installed.
    """
    policy = Scored(2, 0)
    for key in range(500):
        policy.read(Access(key % 5, neighbour=key % 5 - 1, group=0))
        policy.admit(Access(-key, group=0))
    shape = 1, NODES
    silent = Forest(
        layout.COLUMNS,
        1,
        np.zeros(shape, dtype=np.int32),
        np.zeros(shape, dtype=np.float32),
        np.zeros((1, LEAVES), dtype=np.float32),
    )
    policy._kernel.score_all(policy.samples().rows, silent.feature, silent.threshold, silent.leaves, 1)
    policy.use(silent)
    policy.read(Access(6))
    policy.adopt([(0, 1)])
    policy.discard(0)


def check_width(model: Forest) -> None:
    """Raises :exc:`.BadModel` for a model of rows of another width."""
    if model.features != layout.COLUMNS:
        raise BadModel(f"a model of rows of {model.features} values: rows have {layout.COLUMNS}")
