"""Which packs are worth cleaning: pure arithmetic on counters.

*Stored* bytes are those of pack files: of a sealed pack its blocks (seeds, cells, filler, manifest), of one that is
open the whole file, which is preallocated. *Live* bytes are the cells of runs and the sealed slices in packs that
something refers to: a version, a part of an open upload, an upload under way, a body that nothing refers to any more
and whose cells are not released yet. Slices that wait inline in the index for the packer, and those that stay there for
ever, are in neither. The bytes of the index are in neither.

Cleaning begins when stored exceeds ``START`` times live and goes on until it does not; writers get room up to ``SLOW``
times (DESIGN.md section 3). For both, what cleaning cannot change does not count: the noise a strategy puts beside each
cell, quarantined packs, and, in a small store, the empty part of open packs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.geometry import PACK_BLOCKS, Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.masking import stride_of
from noisefs.core.domain.records import Pack, PackLive, PackState

START: Final = 1.28
SLOW: Final = 1.33

CLEANER_SHARE: Final = (SLOW - START) / 4
"""Before it drops a pack, the cleaner fills one: so much is left to it, and this share of what lives at most, so that
in a small store writers are not slowed before there is anything to clean."""

SLACK_SHARE: Final = 1 / 128
"""One pack over the ratio is left alone, as a short one weighs much in a small store; less by this share of what lives,
so nothing from 8 GiB on."""

OPEN_SHARE: Final = 0.03
"""The empty part of open packs counts up to this share of what lives: all of it from 8 GiB on, little in a small store,
which would else be cleaned for ever."""

MIN_GAIN_SHARE: Final = 0.04
"""A pack of which moving frees less than this share frees too little for what it moves..."""
MIN_GAIN_BLOCKS: Final = 2
"""...and so does one that frees less than this: the cell that its last slices leave half empty, it has after it too."""

MERGE_SHORT_PACKS: Final = 4
"""So many packs that are less than half as long as a full one are merged, though each holds nothing dead but its seeds
and manifest."""


@dataclass(frozen=True, slots=True)
class PackSpace:
    """One pack's file and what lives in it, in bytes.

    Attributes:
        live_bytes: Cells and slices that something refers to.
        held_bytes: These and the noise that belongs to them: what moving them would take again.
        fixed_bytes: Seeds and manifest: what any pack has.
        references: Live cells and slices.
    """

    pack_id: PackId
    state: PackState
    blocks: int
    stored_bytes: int
    live_bytes: int
    held_bytes: int
    fixed_bytes: int
    references: int
    sealed_us: int

    @property
    def dead_bytes(self) -> int:
        """What dropping it would free beyond what has to be moved."""
        return max(0, self.stored_bytes - self.held_bytes)

    @property
    def gain_bytes(self) -> int:
        """What cleaning it frees, as the pack it moves to has seeds and a manifest too."""
        return max(0, self.dead_bytes - self.fixed_bytes)


def space_of(pack_id: PackId, row: Pack, live: PackLive, geometry: Geometry) -> PackSpace:
    """A pack's space from its rows; an unsealed one counts as preallocated."""
    blocks = row.blocks or PACK_BLOCKS
    live_bytes = live.cells * geometry.block_bytes + live.slice_bytes
    return PackSpace(
        pack_id,
        PackState(row.state),
        blocks,
        blocks * geometry.block_bytes,
        live_bytes,
        live_bytes * stride_of(row.strategy),
        (len(row.seeds) + 1) * geometry.block_bytes,
        live.cells + live.slices,
        row.sealed_us,
    )


@dataclass(frozen=True, slots=True)
class Space:
    """Several packs together."""

    stored_bytes: int
    live_bytes: int

    @property
    def ratio(self) -> float:
        """Stored by live; 1 for an empty store."""
        return self.stored_bytes / self.live_bytes if self.live_bytes else 1.0 if not self.stored_bytes else 99.0

    def room(self, ratio: float, pack_bytes: int) -> int:
        """Bytes that may be stored beside these until it is ``ratio`` times live and the slack of a small store."""
        slack = max(0.0, pack_bytes - SLACK_SHARE * self.live_bytes)
        return int(ratio * self.live_bytes + slack) - self.stored_bytes

    def exceeds(self, ratio: float, pack_bytes: int) -> bool:
        """Whether stored is more than ``ratio`` times live, and by more than the slack of a small store."""
        return self.room(ratio, pack_bytes) < 0


def total(packs: Iterable[PackSpace]) -> Space:
    """The sum: what an operator sees."""
    stored = live = 0
    for pack in packs:
        stored += pack.stored_bytes
        live += pack.live_bytes
    return Space(stored, live)


def weighed(packs: Iterable[PackSpace]) -> Space:
    """The sum of what cleaning can change: see the module."""
    stored = held = empty = 0
    for pack in packs:
        if pack.state == PackState.QUARANTINED:
            continue
        held += pack.held_bytes
        if pack.state == PackState.OPEN:
            stored += pack.held_bytes
            empty += pack.dead_bytes
        else:
            stored += pack.stored_bytes
    return Space(stored + min(empty, round(OPEN_SHARE * held)), held)


def writers_room(space: Space, pack_bytes: int) -> int:
    """Bytes that writers may add: what is missing to ``SLOW`` but for what the cleaner may add meanwhile."""
    return space.room(SLOW, pack_bytes) - min(pack_bytes, round(CLEANER_SHARE * space.live_bytes))


def victims(packs: Iterable[PackSpace], now_us: int) -> list[PackSpace]:
    """Packs that have something to free, best first: freed space times age by the cost of moving what lives.

    Poisoned packs come first whatever they free: their bytes must leave. Packs that are all dead are not victims: they
    are simply dropped. Source: Rosenblum and Ousterhout, "The design and implementation of a log-structured file
    system" (1992), section 3.5.
    """
    candidates = [pack for pack in packs if pack.references and pack.state in (PackState.SEALED, PackState.POISONED)]
    short = {pack.pack_id for pack in candidates if pack.blocks < PACK_BLOCKS // 2}
    merge = len(short) >= MERGE_SHORT_PACKS

    def gain(pack: PackSpace) -> int:
        return pack.dead_bytes if merge and pack.pack_id in short else pack.gain_bytes

    def worth(pack: PackSpace) -> tuple[bool, float]:
        age_s = max(1.0, (now_us - pack.sealed_us) / 1e6)
        # The square root tames age: an old pack that is nearly full must not win over a young one that is half empty.
        value = gain(pack) * age_s**0.5 / (pack.stored_bytes + pack.held_bytes)
        return pack.state == PackState.POISONED, value * (2.0 if pack.blocks < PACK_BLOCKS else 1.0)

    worthy = [
        pack
        for pack in candidates
        if pack.state == PackState.POISONED
        or gain(pack) > max(MIN_GAIN_SHARE, MIN_GAIN_BLOCKS / pack.blocks) * pack.stored_bytes
    ]
    return sorted(worthy, key=worth, reverse=True)
