"""Blocks of packs for whoever unmasks them: read where they are, each seed fetched once, all of them counted."""

from collections.abc import Collection, Sequence
from typing import Final

from noisefs.core.domain.ids import PackId
from noisefs.core.ports.packs import PackRead, PackStore, Reach
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.bodies.seeds import SEED_PATIENCE_S, SeedKey, Seeds
from noisefs.core.services.caching.entry import Why

LOCAL: Final = ("local",)
COLD: Final = ("cold",)
SEEDS: Final = ("seeds",)


class NotAtHand(Exception):
    """The store would have to be waited for, and the caller cannot wait."""


class Blocks:
    """Reads blocks. Thread-safe; blocks for disk and nodes, unless it is told not to."""

    def __init__(
        self,
        *,
        packs: PackStore,
        telemetry: Telemetry,
        seeds: Seeds,
        seeds_a_pack: int,
        block_bytes: int,
        shared: bool,
    ) -> None:
        """``seeds_a_pack``: blocks below this number are seeds; ``shared``: readers at the same time share them."""
        self._packs = packs
        self._telemetry = telemetry
        self._seeds = seeds
        self._seeds_a_pack = seeds_a_pack
        self._block_bytes = block_bytes
        self._shared = shared
        self.taken = 0
        """What nodes gave for readers so far; about, as threads add to it."""

    def read(
        self, reads: Sequence[PackRead], blocks: int, reach: Reach, *, fresh: bool
    ) -> Collection[tuple[PackId, int]]:
        """Do all reads, which touch so many blocks, and count these; returns those that nodes gave. ``fresh``: all of
        them from the store, whatever others have just read.

        Raises:
            BlockUnavailable: A block is missing.
            NotAtHand: ``reach`` is ``AT_ONCE``, and the store would have to be waited for.
        """
        brought = 0
        places: Collection[tuple[PackId, int]] = ()
        if reach is Reach.AT_ONCE:
            for read in reads:
                if not self._packs.read_at_once(read.pack_id, read.position, read.into, offset=read.offset):
                    raise NotAtHand
        elif reach is Reach.NETWORK and self._shared and not fresh:
            places, brought = self._read_seeds_once(reads)
        else:
            places = self._packs.read_all(reads, reach=reach)
        if places:
            self._telemetry.count(Counter.BLOCK_READS, len(places), COLD)
        if brought:
            self._telemetry.count(Counter.BLOCK_READS, brought, SEEDS)
        self._telemetry.count(Counter.BLOCK_READS, blocks - len(places) - brought, LOCAL)
        return places

    def _read_seeds_once(self, reads: Sequence[PackRead]) -> tuple[Collection[tuple[PackId, int]], int]:
        """Do all reads, but for seeds that another reader fetches just now, or has just fetched; returns the blocks
        that nodes gave, and how many reads were spared.
        """
        seeds: dict[SeedKey, list[PackRead]] = {}
        left: list[PackRead] = []
        for read in reads:
            if self._is_seed(read):
                seeds.setdefault((read.pack_id, read.position), []).append(read)
            else:
                left.append(read)
        lead, follow = self._seeds.flights.begin(seeds)
        given: dict[SeedKey, memoryview] = {}
        come: dict[SeedKey, memoryview] = {}
        try:
            for pack_id, number in lead:
                block = self._seeds.of(pack_id).get(number)
                if block is None:
                    left += seeds[pack_id, number]
                else:
                    given[pack_id, number] = block
            places = set(self._packs.read_all(left, reach=Reach.NETWORK))
            come = {key: seeds[key][0].into[0] for key in lead}
        finally:
            self._seeds.flights.end(lead, (come | given).get)
        given |= self._seeds.flights.follow(follow, SEED_PATIENCE_S)
        missed = [read for key in follow if key not in given for read in seeds[key]]
        if missed:
            places |= set(self._packs.read_all(missed, reach=Reach.NETWORK))
        for key, block in given.items():
            for read in seeds[key]:
                read.into[0][:] = block
        return places, sum(len(seeds[key]) for key in given)

    def _is_seed(self, read: PackRead) -> bool:
        return read.position < self._seeds_a_pack and len(read.into) == 1 and len(read.into[0]) == self._block_bytes

    def count_network(
        self, places: Collection[tuple[PackId, int]], own: Collection[tuple[PackId, int]], why: Why
    ) -> None:
        """Count what came from nodes: seeds apart from other masks, and from the cells that were wanted."""
        if why is Why.READ:
            self.taken += len(places)
        cells = sum(place in own for place in places)
        seeds = sum(place not in own and place[1] < self._seeds_a_pack for place in places)
        for kind, count in (("cell", cells), ("seed", seeds), ("mask", len(places) - cells - seeds)):
            if count:
                self._telemetry.count(Counter.NETWORK_BLOCKS, count, (kind, why.value))
