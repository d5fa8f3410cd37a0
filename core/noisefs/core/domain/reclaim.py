"""Which packs are worth cleaning: pure arithmetic on counters.

Stored bytes are those of pack files; live bytes are cells and slices that something refers to. Cleaning begins when
stored exceeds ``START`` times live, and goes on to hold ``HOLD``; beyond ``SLOW`` writers are slowed (DESIGN.md
section 3).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.geometry import PACK_BLOCKS, Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.records import Pack, PackLive, PackState

START: Final = 1.28
HOLD: Final = 1.30
SLOW: Final = 1.33

SLACK_PACKS: Final = 3
"""A store this much over the ratio is left alone: open and short packs weigh much in a small one."""


@dataclass(frozen=True, slots=True)
class PackSpace:
    """One pack's file and what lives in it, in bytes."""

    pack_id: PackId
    state: PackState
    blocks: int
    stored_bytes: int
    live_bytes: int
    references: int
    sealed_us: int

    @property
    def dead_bytes(self) -> int:
        """What dropping it would free beyond what has to be moved."""
        return max(0, self.stored_bytes - self.live_bytes)


def space_of(pack_id: PackId, row: Pack, live: PackLive, geometry: Geometry) -> PackSpace:
    """A pack's space from its rows; an open pack counts as preallocated."""
    blocks = row.blocks if row.state == PackState.SEALED else PACK_BLOCKS
    return PackSpace(
        pack_id,
        PackState(row.state),
        blocks,
        blocks * geometry.block_bytes,
        live.cells * geometry.block_bytes + live.slice_bytes,
        live.cells + live.slices,
        row.sealed_us,
    )


@dataclass(frozen=True, slots=True)
class Space:
    """All packs together."""

    stored_bytes: int
    live_bytes: int

    @property
    def ratio(self) -> float:
        """Stored by live; 1 for an empty store."""
        return self.stored_bytes / self.live_bytes if self.live_bytes else 1.0 if not self.stored_bytes else 99.0

    def exceeds(self, ratio: float, pack_bytes: int) -> bool:
        """Whether stored is more than ``ratio`` times live, and by more than the slack of a small store."""
        return self.stored_bytes > ratio * self.live_bytes + SLACK_PACKS * pack_bytes


def total(packs: Iterable[PackSpace]) -> Space:
    """The sum."""
    stored = live = 0
    for pack in packs:
        stored += pack.stored_bytes
        live += pack.live_bytes
    return Space(stored, live)


def victims(packs: Iterable[PackSpace], now_us: int) -> list[PackSpace]:
    """Packs that have something to free, best first: freed space times age by the cost of moving what lives.

    Poisoned packs come first whatever they free: their bytes must leave. Packs that are all dead are not victims: they
    are simply dropped. Source: Rosenblum and Ousterhout, "The design and implementation of a log-structured file
    system" (1992), section 3.5.
    """

    def worth(pack: PackSpace) -> tuple[bool, float]:
        age_s = max(1.0, (now_us - pack.sealed_us) / 1e6)
        # The square root tames age: an old pack that is nearly full must not win over a young one that is half empty.
        value = pack.dead_bytes * age_s**0.5 / (pack.stored_bytes + pack.live_bytes)
        return pack.state == PackState.POISONED, value * (2.0 if pack.blocks < PACK_BLOCKS else 1.0)

    candidates = [
        pack
        for pack in packs
        if pack.references
        and (
            pack.state == PackState.POISONED
            or (pack.state == PackState.SEALED and pack.dead_bytes > MIN_DEAD_SHARE * pack.stored_bytes)
        )
    ]
    return sorted(candidates, key=worth, reverse=True)


MIN_DEAD_SHARE: Final = 0.04
"""A pack with less than this dead (seeds and manifest alone are 0.01) frees too little for what it moves."""
