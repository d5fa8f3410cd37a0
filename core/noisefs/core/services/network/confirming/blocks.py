"""Blocks of open packs onto nodes, before the commit that names them: what the classes above ``local`` wait for.

Promise: once :meth:`Confirmer.place` has returned, as many nodes as were asked for hold every block of the pack up to
the given one, pinned, and everything that masks them. Nothing is pinned that no row names: the row of an interim root
(``INTERIMS``) is durable before its stream begins, and stays until the pack's final root has all its copies, or the
pack is gone. A node that fails is replaced by another one; where there is none for ``patience_s``, the caller gets
``NodeUnavailable``, and nothing has become visible.

One import at a time for each pack and node; whoever asks meanwhile shares the next one, and imports begin at least
``gather_s`` apart, so that a lone writer never waits and many share. Every node has its own positions: an interim root
goes on where that node's last one ended, and links behind its new blocks those that mask them and that the node has
already; where it says that it has not, it is sent everything from the pack's first block on.

Nothing of this outlives the process: whoever seals a pack after a crash has it uploaded whole, and blocks that a node
has already are stored once.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from noisefs.core.domain.block_id import compute_block_id
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.domain.keyspace import interim_key
from noisefs.core.domain.masking import Strategy, strategy_named
from noisefs.core.domain.placement import place
from noisefs.core.domain.records import Interim, encode
from noisefs.core.domain.root import NONCE_BYTES, RootKind, RootMeta, RootSealer, root_id
from noisefs.core.domain.store_keys import StoreKeys
from noisefs.core.errors import LinksMissing, NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Table, Writing
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.telemetry import Counter as Count
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.nodes.registry import Nodes
from noisefs.core.services.network.nodes.within import within
from noisefs.core.services.network.placing.ahead import Ahead
from noisefs.core.services.network.placing.cars import BATCH, Limiter, Stream

log = logging.getLogger(__name__)

NAMED_AT_ONCE: Final = 16
"""Blocks of one hop to a worker: 2 MiB of 128 KiB blocks, some 4 ms."""

KEPT_BLOCKS: Final = 160
"""An import of at most so many blocks (20 MiB) keeps what was read for their names, so that it is read once."""

SLOWEST_BYTES_PER_S: Final = 1 << 20
"""A node that takes less for longer than the operator's patience is no help to a waiting writer."""

REMEMBERED_PACKS: Final = 64
"""Packs that are open, or wait for their upload: about 45 KiB each, for the names of their blocks."""

LOOK_AGAIN_S: Final = 0.25
"""While no node can be sent to, whether one can again is looked at so often."""


@dataclass(frozen=True, slots=True)
class ConfirmingSettings:
    """What an operator may choose.

    Attributes:
        patience_s: A write waits so long for nodes that answer before it fails.
        gather_s: Imports of one pack into one node begin at least so far apart; those who come meanwhile share one.
    """

    patience_s: float = 10.0
    gather_s: float = 0.05


@dataclass(slots=True)
class _Holder:
    """What a node has of a pack.

    Attributes:
        blocks: From the pack's first one on.
        copies: Of each of them, at least.
        begun_s: When the last import began.
        task: Sends to it.
    """

    blocks: int = 0
    copies: int = 0
    begun_s: float = float("-inf")
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Placing:
    """An open pack on its way. ``wanted``: blocks that somebody waits for; ``names``: of its blocks, as far as read."""

    pack_id: PackId
    strategy: Strategy
    wanted: int = 0
    names: list[BlockId] = field(default_factory=list)
    naming: asyncio.Lock = field(default_factory=asyncio.Lock)
    holders: dict[str, _Holder] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, whenever an import ended."""
    failure: Exception | None = None
    """Why the last import could not be made, where no node is to blame."""
    taken_until_s: float = float("-inf")
    """Somebody uploads the sealed pack meanwhile."""
    final: bool = False
    """Its final root has all its copies, or it is gone."""

    def progress(self) -> int:
        """Grows with whatever a node has more."""
        return sum(one.blocks * one.copies for one in self.holders.values())

    def tell(self) -> None:
        """Wake who waits."""
        self.changed.set()
        self.changed = asyncio.Event()


class Confirmer(Ahead):
    """Puts blocks of this process's open packs on nodes. Task-safe; belongs to one event loop."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        packs: PackStore,
        index: Index,
        commits: CommitQueue,
        workers: Workers,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        keys: StoreKeys,
        geometry: Geometry,
        sealer: RootSealer,
        limiter: Limiter,
        epoch: Callable[[], int],
        settings: ConfirmingSettings,
    ) -> None:
        """``limiter``: bounds what goes out altogether. ``epoch``: the store's present one."""
        self._nodes = nodes
        self._packs = packs
        self._index = index
        self._commits = commits
        self._workers = workers
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry
        self._keys = keys
        self._geometry = geometry
        self._sealer = sealer
        self._limiter = limiter
        self._epoch = epoch
        self._settings = settings
        self._placings: dict[PackId, _Placing] = {}
        self._closed = False

    # ------------------------------------------------------------------ for who waits

    async def place(self, pack_id: PackId, blocks: int, copies: int, whole: Iterable[str] = ()) -> bool:
        """Return when ``copies`` copies of the pack's first ``blocks`` blocks are on nodes. These must be durable here.

        ``False``: meanwhile the pack's final root got as many copies as it shall have, or the pack is gone: look again.

        Args:
            whole: Nodes that hold the pack's final root, once for each copy.

        Raises:
            NodeUnavailable: Too few nodes take them; some may have.
            NoisefsError: The pack cannot be read, or the index takes no row.
        """
        placing = self._placing(pack_id)
        placing.wanted = max(placing.wanted, blocks)
        for name, held in Counter(whole).items():
            placing.holders.setdefault(name, _Holder(placing.wanted, held))
        give_up_s = self._clock.monotonic_s() + self._settings.patience_s
        before = placing.progress()
        while (confirmed := self._confirmed(placing, blocks)) < copies:
            if placing.final:
                return False
            if self._closed:
                raise NodeUnavailable("all", "confirming a write", "the server is shutting down")
            changed = placing.changed
            if (taken_s := placing.taken_until_s - self._clock.monotonic_s()) > 0:
                with contextlib.suppress(TimeoutError):
                    await within(self._clock, taken_s, _set(changed))
            elif self._send_to(placing, self._targets(placing, blocks, copies)):
                await changed.wait()
                if placing.failure is not None:
                    raise placing.failure
            else:
                self._nodes.missed.set()
                await self._clock.sleep(LOOK_AGAIN_S)
            now_s = self._clock.monotonic_s()
            if (progress := placing.progress()) > before:
                before, give_up_s = progress, now_s + self._settings.patience_s
            elif now_s >= give_up_s:
                raise NodeUnavailable("all", "confirming a write", f"{confirmed} of {copies} copies in time")
        return True

    def send_ahead(self, pack_id: PackId, blocks: int, copies: int, at_least: int) -> None:
        """The open pack has so many blocks now, and whoever will wait for them has more to come: send what there is,
        if it is at least so much more than was sent before. They need not be durable here yet.
        """
        placing = self._placing(pack_id)
        taken = placing.taken_until_s > self._clock.monotonic_s()
        if blocks - placing.wanted >= at_least and not (taken or self._closed):
            placing.wanted = blocks
            self._send_to(placing, self._targets(placing, blocks, copies))

    # ------------------------------------------------------------------ for who uploads the sealed pack

    async def hand_over(self, pack_id: PackId) -> Mapping[str, int]:
        """Send nothing more of it for half of the patience; who waits for it waits for the upload so long."""
        placing = self._placing(pack_id)
        placing.taken_until_s = self._clock.monotonic_s() + self._settings.patience_s / 2
        while any(one.task for one in placing.holders.values()):
            await placing.changed.wait()
        return self.held(pack_id)

    def names(self, pack_id: PackId) -> Sequence[BlockId]:
        """As far as they were sent."""
        placing = self._placings.get(pack_id)
        return () if placing is None else placing.names

    def held(self, pack_id: PackId) -> Mapping[str, int]:
        """Blocks, from the first one on, that nodes hold pinned for this pack."""
        placing = self._placings.get(pack_id)
        return {} if placing is None else {name: one.blocks for name, one in placing.holders.items() if one.blocks}

    def take_back(self, pack_id: PackId) -> None:
        """Whoever waits for it sends it again."""
        placing = self._placings.get(pack_id)
        if placing is not None:
            placing.taken_until_s = float("-inf")
            placing.tell()

    def forget(self, pack_id: PackId) -> None:
        """Nobody asks for it any more; who waits looks at the pack's own row."""
        placing = self._placings.pop(pack_id, None)
        if placing is not None:
            placing.final = True
            placing.tell()

    async def close(self) -> None:
        """Break off what is being sent. Who waits for it gets ``NodeUnavailable``."""
        self._closed = True
        tasks = [one.task for placing in self._placings.values() for one in placing.holders.values() if one.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _placing(self, pack_id: PackId) -> _Placing:
        placing = self._placings.get(pack_id)
        if placing is None:
            strategy = strategy_named(self._geometry.strategy, pack_id=pack_id, prf_key=self._keys.prf)
            placing = self._placings[pack_id] = _Placing(pack_id, strategy)
            self._forget_idle()
        return placing

    def _forget_idle(self) -> None:
        """Forget the oldest packs: another process may upload what this one fills, and tells nobody here."""
        for pack_id in list(self._placings)[:-REMEMBERED_PACKS]:
            if not any(one.task for one in self._placings[pack_id].holders.values()):
                del self._placings[pack_id]

    # ------------------------------------------------------------------ who gets it

    def _confirmed(self, placing: _Placing, blocks: int) -> int:
        """Copies of the first so many blocks, on nodes that count."""
        return len(self._nodes.counted(_repeated(placing.holders, blocks)))

    def _targets(self, placing: _Placing, blocks: int, copies: int) -> dict[str, int]:
        """Nodes that shall hold the pack, and how many copies each: those that have begun go on where they can."""
        begun = [
            name
            for name, one in placing.holders.items()
            if one.blocks >= blocks or (one.blocks and self._nodes.is_open(name))
            for _ in range(max(1, one.copies))
        ]
        held = self._nodes.counted(begun)
        count = blocks + 1
        fit = self._nodes.places(count * self._geometry.block_bytes, count)
        places = {one.name: one for one in (*fit, *self._nodes.places_of(held))}
        return place(placing.pack_id, places.values(), copies, held=held)

    def _send_to(self, placing: _Placing, targets: Mapping[str, int]) -> bool:
        """Let everybody who lacks something be sent to; whether anybody is."""
        sending = False
        for name, copies in targets.items():
            node = self._nodes.get(name)
            one = placing.holders.setdefault(name, _Holder())
            if copies > one.copies and one.copies:
                one.blocks = 0  # it has fewer copies than it shall: all of it goes there once more
            if one.task is None and one.blocks < placing.wanted and node is not None and self._nodes.is_ready(name):
                one.task = asyncio.create_task(self._send(placing, node, one, copies))
            sending = sending or one.task is not None
        return sending

    # ------------------------------------------------------------------ sending

    async def _send(self, placing: _Placing, node: Node, one: _Holder, copies: int) -> None:
        """Send what is wanted until the node has it, or fails."""
        placing.failure = None
        try:
            while one.blocks < placing.wanted and not placing.final:
                await self._pause(one)
                await self._import(placing, node, one, copies)
            if one.copies < copies:
                await self._clock.sleep(LOOK_AGAIN_S)  # a cluster some of whose peers are down
        except LinksMissing as exc:
            if not one.blocks:
                self._nodes.failed(node.name, exc)
            log.warning("confirm.links_missing", extra={"node": node.name, "had": one.blocks})
            one.blocks = one.copies = 0
        except NodeUnavailable as exc:
            self._nodes.failed(node.name, exc)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is handed to everybody who waits
            log.warning("confirm.failed", extra={"pack": placing.pack_id.hex(), "cause": str(exc)})
            placing.failure = exc
        finally:
            one.task = None
            placing.tell()

    async def _pause(self, one: _Holder) -> None:
        wait_s = one.begun_s + self._settings.gather_s - self._clock.monotonic_s()
        if wait_s > 0:
            await self._clock.sleep(wait_s)
        one.begun_s = self._clock.monotonic_s()

    async def _import(self, placing: _Placing, node: Node, one: _Holder, copies: int) -> None:
        """One interim root: everything that is wanted now and that the node has not."""
        first, upto = one.blocks, placing.wanted
        read: dict[int, memoryview] = {}
        await self._name(placing, upto, read if upto - first <= KEPT_BLOCKS else None)
        masks = placing.strategy.masks_before(first, upto - first)
        new = tuple(placing.names[first:upto])
        links = (*new, *(placing.names[at] for at in masks))
        sequence = self._index.sequence()
        meta = RootMeta(
            RootKind.INTERIM,
            placing.pack_id,
            first,
            len(new),
            sequence,
            created_us=self._clock.now_us(),
            epoch=self._epoch(),
        )
        raw = self._sealer.seal(links, meta, nonce=self._entropy.secret(NONCE_BYTES))
        row = Interim(root_id(raw), (node.name,))
        await self._commits.run(lambda tx: _note(tx, placing.pack_id, row))

        async def fill(number: int, places: list[memoryview]) -> None:
            at = first + number
            if all(position in read for position in range(at, at + len(places))):
                for position, place in enumerate(places, at):
                    place[:] = read[position]
            else:
                await self._workers.run(Lane.DISK, self._packs.read, placing.pack_id, at, places)

        stream = Stream(raw, new, self._geometry.block_bytes, BATCH, fill)
        car = stream.car(self._limiter)
        try:
            # Half of the patience, so that there is time for another node in place of one that hangs.
            patience_s = self._settings.patience_s / 2 + car.size_bytes / SLOWEST_BYTES_PER_S
            confirmed = await within(self._clock, patience_s, node.import_car(car, copies=copies))
        except TimeoutError as exc:
            raise NodeUnavailable(node.name, "importing blocks", "no answer in time") from exc
        except NodeUnavailable:
            if stream.failure is not None:
                raise stream.failure from None
            raise
        one.copies = confirmed if not first else min(one.copies, confirmed)
        one.blocks = upto
        self._nodes.worked(node.name, size_bytes=car.size_bytes, blocks=len(new))
        self._telemetry.count(Count.NODE_SENT, car.size_bytes, (node.name,))
        placing.tell()

    async def _name(self, placing: _Placing, upto: int, read: dict[int, memoryview] | None) -> None:
        """Compute the names of the pack's first so many blocks, where they are not known yet.

        Blocks that have to be read for it are noted in ``read``.
        """
        async with placing.naming:
            names = placing.names
            while (first := len(names)) < upto:
                count = min(NAMED_AT_ONCE, upto - first)
                found, blocks = await self._workers.run(Lane.DISK, self._name_blocks, placing.pack_id, first, count)
                names += found
                if read is not None:
                    read.update(enumerate(blocks, first))

    def _name_blocks(self, pack_id: PackId, first: int, count: int) -> tuple[list[BlockId], list[memoryview]]:
        size = self._geometry.block_bytes
        room = memoryview(bytearray(count * size))
        places = [room[nth * size : (nth + 1) * size] for nth in range(count)]
        self._packs.read(pack_id, first, places)
        return [compute_block_id(place) for place in places], places


def _repeated(holders: Mapping[str, _Holder], blocks: int) -> Iterable[str]:
    """Names of those who hold the first so many blocks, once for each copy."""
    for name, one in holders.items():
        if one.blocks >= blocks:
            for _ in range(one.copies):
                yield name


def _note(tx: Writing, pack_id: PackId, row: Interim) -> None:
    tx.put(Table.INTERIMS, interim_key(pack_id, row.root), encode(row))


async def _set(event: asyncio.Event) -> None:
    await event.wait()
