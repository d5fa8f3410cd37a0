"""Eviction and admission by a model's score: the least likely to be read again leave first.

Room is made from a small batch: what came in since the last one, and some residents drawn at random, are scored in
one call; the lowest leave one by one, and those next to them stay candidates. A new key is in the next batch, so
admission is decided by the same score.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from noisefs.core.domain.caching import history
from noisefs.core.domain.caching.access import Access, Key
from noisefs.core.domain.caching.history import History
from noisefs.core.domain.caching.labels import Labels
from noisefs.core.domain.caching.policy import CachePolicy, Dropped, nobody

Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Scores of a batch of rows, larger for what is likelier read again."""

HISTORY_ENTRIES: Final = 8
"""So many keys are remembered per entry that the cache holds."""
LEAST_HISTORY: Final = 1000
BATCH_LEAVES: Final = 32
BATCH_DRAWN: Final = 64
BATCH_KEPT: Final = 96
"""Per batch: how many leave, how many residents are drawn, how many of the lowest stay candidates."""
LABELLED_MOST: Final = 30_000
AWAITED_SHARE: Final = 0.06
"""Of the scored rows and of the reads, so many wait for their outcome."""
WINDOW_RESIDENCES: Final = 2.0
"""The label: is it read again within so many residence times?"""
_BATCH_SHARE: Final = 64
_UNSCORED: Final = float("inf")


class Scored(CachePolicy):
    """Keeps what scores highest. Without a model the other policies vote: what most of them hold firmly stays."""

    name: ClassVar[str] = "scored"

    def __init__(
        self, capacity_bytes: int, seed: int, voters: Sequence[CachePolicy], dropped: Dropped = nobody
    ) -> None:
        """``voters``: policies that see the same reads before this one does; how they stand to a key is a feature."""
        super().__init__(capacity_bytes, dropped)
        self._random = Random(seed)  # noqa: S311 - draws candidates, keeps no secret
        self._voters = voters
        self._history = History()
        self.labels: Final = Labels(LABELLED_MOST)
        self._sizes: dict[Key, int] = {}
        self._places: dict[Key, int] = {}
        self._keys: list[Key] = []
        self._bytes = 0
        self._score: Score | None = None
        self._new: list[Key] = []
        self._lowest: list[tuple[float, float, Key]] = []  # (score, last read when scored, key), the lowest at the end
        self._leaves_left = 0
        self._residence = 0.0
        self._leavings = 0

    @property
    def resident_bytes(self) -> int:
        return self._bytes

    @property
    def columns(self) -> int:
        """How wide a row is."""
        return history.REMEMBERED + len(self._voters)

    @property
    def residence_reads(self) -> float:
        """After how many reads an entry that is not read leaves an LRU cache of this size."""
        return self._residence or max(1.0, float(len(self._keys)))

    @property
    def window_reads(self) -> float:
        """The window of the label."""
        return WINDOW_RESIDENCES * self.residence_reads

    def use(self, score: Score | None) -> None:
        """Decide by this model from now on, or by votes."""
        self._score = score
        self._lowest.clear()
        self._leaves_left = 0

    def lru_dropped(self, key: Key) -> None:
        """An LRU shadow of the same size drops a key: tells how long an entry stays unread."""
        row = self._history.row(key)
        if row is not None:
            self._leavings += 1
            weight = max(1.0 / self._leavings, 8.0 / max(len(self._keys), 1) if self._leavings > 8 else 1.0)
            age = self._history.now - row[history.LAST]
            self._residence += (age - self._residence) * min(1.0, weight)

    def read(self, access: Access) -> bool:
        key = access.key
        keys_most = max(LEAST_HISTORY, HISTORY_ENTRIES * len(self._keys))
        self._history.read(access, self.residence_reads, keys_most)
        self.labels.read(key, self._history.now, self.window_reads)
        if self._random.random() < AWAITED_SHARE:
            self.labels.await_read(key, self.rows([key])[0], self._history.now)
        if key in self._sizes:
            return True
        self._insert(key, access.size_bytes)
        return False

    def discard(self, key: Key) -> None:
        if key in self._sizes:
            self._remove(key)
        self._history.forget(key)

    def standing(self, key: Key) -> int:
        return 1 if key in self._sizes else 0

    def rows(self, keys: Sequence[Key]) -> NDArray[np.float32]:
        """What a model sees of keys now. Those nobody remembers read as never read."""
        never = [-history.NEVER] * history.REMEMBERED
        row_of, voters = self._history.row, self._voters
        raw = np.array(
            [(row_of(key) or never) + [voter.standing(key) for voter in voters] for key in keys], dtype=np.float64
        ).reshape(len(keys), self.columns)
        now = self._history.now
        for column in (history.LAST, history.FIRST, history.AFTER):
            np.subtract(now, raw[:, column], out=raw[:, column])
        elapsed = raw[:, history.LAST] / self.residence_reads
        raw[:, history.SHORT] *= np.exp(-elapsed * history.SHORT_RATE)
        raw[:, history.LONG] *= np.exp(-elapsed * history.LONG_RATE)
        return raw.astype(np.float32)

    def expire(self) -> None:
        """Settle the labels of which the window has passed."""
        self.labels.expire(self._history.now, self.window_reads)

    def score_of(self, key: Key) -> float | None:
        """A key's score now; ``None`` without a model."""
        return None if self._score is None else float(self._score(self.rows([key]))[0])

    def _insert(self, key: Key, size: int) -> None:
        if size > self._capacity:
            return
        while self._bytes + size > self._capacity:
            self._drop_one()
        self._places[key] = len(self._keys)
        self._keys.append(key)
        self._sizes[key] = size
        self._bytes += size
        self._new.append(key)

    def _remove(self, key: Key) -> None:
        self._bytes -= self._sizes.pop(key)
        place, last = self._places.pop(key), self._keys.pop()
        if last != key:
            self._keys[place] = last
            self._places[last] = place

    def _drop_one(self) -> None:
        while True:
            if self._leaves_left <= 0 or not self._lowest:
                self._score_batch()
            _, last_read, key = self._lowest.pop()
            if key not in self._sizes:
                continue
            row = self._history.row(key)
            if row is None or row[history.LAST] == last_read:
                self._leaves_left -= 1
                self._remove(key)
                self._dropped(key)
                return

    def _score_batch(self) -> None:
        residents = self._keys
        leaves = min(BATCH_LEAVES, max(1, len(residents) // _BATCH_SHARE))
        drawn = max(8, BATCH_DRAWN * leaves // BATCH_LEAVES)
        batch = dict.fromkeys(key for key in self._new[-2 * BATCH_LEAVES :] if key in self._sizes)
        self._new.clear()
        random = self._random.random
        for _ in range(drawn):
            batch[residents[int(random() * len(residents))]] = None
        keys = list(batch)
        rows = self.rows(keys)
        if self._score is None:
            # Ties, of which there are many, go to what was read last.
            scores = rows[:, history.REMEMBERED :].sum(axis=1) - rows[:, history.LAST] / np.float32(history.NEVER)
        else:
            scores = self._score(rows)
        now = self._history.now
        for at, key in enumerate(keys):
            if random() < AWAITED_SHARE:
                self.labels.await_read(key, rows[at], now)
        last_reads = (now - rows[:, history.LAST].astype(np.float64)).tolist()
        scored = [
            (score, last, key)
            for score, last, key in self._lowest
            if key in self._sizes and key not in batch and self._is_as_scored(key, last)
        ]
        scored.extend(zip(scores.tolist(), last_reads, keys, strict=True))
        scored.sort(key=_by_score, reverse=True)
        self._lowest = scored[-(leaves + BATCH_KEPT * leaves // BATCH_LEAVES) :]
        self._leaves_left = leaves

    def _is_as_scored(self, key: Key, last_read: float) -> bool:
        row = self._history.row(key)
        return row is None or row[history.LAST] == last_read

    def __contains__(self, key: object) -> bool:
        return key in self._sizes

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Key]:
        return iter(sorted(self._keys, key=lambda key: -self._last_read(key)))

    def _last_read(self, key: Key) -> float:
        row = self._history.row(key)
        return -history.NEVER if row is None else row[history.LAST]


def _by_score(candidate: tuple[float, float, Key]) -> float:
    return candidate[0]
