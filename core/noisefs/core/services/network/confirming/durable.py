"""The classes above ``local``: what a write of such a bucket waits for, in the order in which it waits.

Before the commit: the blocks it names, and what masks them, are on nodes (:mod:`.confirming`). Behind it: the commit's
own rows are (:mod:`.log`). Packs hold bytes of many buckets, so whatever moves bytes on its own account (packer,
cleaner) waits for the highest class that any bucket has, and so do commits that belong to no bucket (users, keys).

While a large body comes in, its blocks are sent ahead: so the import goes on beside the upload.
"""

from collections.abc import Collection
from functools import partial
from typing import Final

from noisefs.core.domain.buckets.durability import HIGHEST, LOCAL, parse_durability
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.records import Bucket, Pack, PackState, decode
from noisefs.core.errors import NodeUnavailable, NoisefsError, OutcomeUnknown, PackNotFound
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.classes import DurabilityClasses
from noisefs.core.services.network.confirming.blocks import Confirmer
from noisefs.core.services.network.confirming.log import NetworkLog
from noisefs.core.services.network.confirming.means import LOOK_AGAIN_S
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.packs.copies import copies_of

AHEAD_BLOCKS: Final = 128
"""Blocks that are sent ahead of the end of a body: few imports, and not much left to send at the end."""

_ABOVE_ALL: Final = b"\xff" * 256
_BUCKETS: Final = 1 << 20


class Durable(DurabilityClasses):
    """Knows what each class asks for, and waits for it. Task-safe; belongs to one event loop."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        confirmer: Confirmer,
        log: NetworkLog,
        index: Index,
        workers: Workers,
        clock: Clock,
        copies: int,
        patience_s: float,
    ) -> None:
        """``copies``: of classes that leave it to the store; ``patience_s``: a write waits so long for nodes."""
        self._nodes = nodes
        self._confirmer = confirmer
        self._log = log
        self._index = index
        self._workers = workers
        self._clock = clock
        self._copies = copies
        self._patience_s = patience_s
        self._begun = False

    async def copies_of(self, durability: str) -> int:
        """Nodes that have to confirm a write of this class; 0: none."""
        if durability == HIGHEST:
            return await self._workers.run(Lane.DISK, self._index.read, partial(highest_copies, default=self._copies))
        parsed = parse_durability(durability)
        return (parsed.copies or self._copies) if parsed.waits else 0

    # ------------------------------------------------------------------ before the commit

    def send_ahead(self, pack_id: PackId, blocks: int, durability: str) -> None:
        """Send what there is, if it is much. Nothing for who moves bytes of many buckets: it waits soon anyway."""
        parsed = parse_durability(LOCAL if durability == HIGHEST else durability)
        if parsed.waits:
            self._confirmer.send_ahead(pack_id, blocks, parsed.copies or self._copies, AHEAD_BLOCKS)

    async def settle(self, pack_id: PackId, durability: str, blocks: int = 0) -> None:
        """Ask for the copies that the class wants, unless the pack as a whole has them already."""
        copies = await self.copies_of(durability)
        if not copies:
            return
        while True:
            pack, row = self._index.read(lambda tx: (_pack_of(tx, pack_id), copies_of(tx, pack_id)))
            whole = () if row is None else row.nodes
            if len(self._nodes.counted(whole)) >= copies:
                return
            if pack.state == PackState.SEALED:
                blocks = min(blocks, pack.blocks) or pack.blocks
            assert blocks, "an open pack's blocks are counted by who writes it"
            if await self._confirmer.place(pack_id, blocks, copies, whole):
                return

    async def is_within_reach(self, durability: str) -> bool:
        """By what nodes said last."""
        copies = await self.copies_of(durability)
        places = self._nodes.places(0, 0) if copies else []
        return sum(one.copies_at_most for one in places) >= copies

    async def reach(self, durability: str) -> None:
        """Look until the operator's patience ends."""
        until_s = self._clock.monotonic_s() + self._patience_s
        while not await self.is_within_reach(durability):
            if self._clock.monotonic_s() >= until_s:
                raise NodeUnavailable("all", f"a write of class {durability}", "too few nodes answer")
            self._nodes.missed.set()
            await self._clock.sleep(LOOK_AGAIN_S)

    # ------------------------------------------------------------------ behind it

    async def confirm(self, demands: Collection[str], sequence: int) -> None:
        """Ask for as many copies of the log as the highest of these wants."""
        copies = max([await self.copies_of(durability) for durability in demands], default=0)
        if not copies:
            return
        try:
            await self._log.confirm(sequence, copies)
        except NodeUnavailable as exc:
            raise OutcomeUnknown(f"the write is done here, and too few nodes have confirmed it: {exc}") from exc
        except NoisefsError as exc:
            raise OutcomeUnknown(f"the write is done here, and could not be brought onto nodes: {exc}") from exc

    async def keep(self) -> None:
        """Give what was confirmed the copies again that it lost with nodes that do not count any more.

        After a start that is all there is: what an earlier process confirmed may be on nodes that were lost meanwhile.
        May be broken off at any time.
        """
        if not self._begun:
            copies = await self.copies_of(HIGHEST)
            if copies:
                self._log.owe(self._index.sequence(), copies)
            self._begun = True
        await self._confirmer.keep()
        await self._log.keep()


def _pack_of(tx: Reading, pack_id: PackId) -> Pack:
    raw = tx.get(Table.PACKS, pack_id)
    if raw is None:
        raise PackNotFound(pack_id)
    return decode(Pack, raw)


def highest_copies(tx: Reading, default: int) -> int:
    """Copies that the highest class of any bucket waits for; 0: no bucket waits."""
    names = {decode(Bucket, raw).durability for _key, raw in tx.scan(Table.BUCKETS, b"", _ABOVE_ALL, _BUCKETS)}
    waits = [parsed for parsed in map(parse_durability, names) if parsed.waits]
    return max((parsed.copies or default for parsed in waits), default=0)
