"""Blocks of open packs onto nodes, before the commit that names them: what the classes above ``local`` wait for.

Promise: once :meth:`Confirmer.place` has returned, as many nodes as were asked for hold every block of the pack up to
the given one, pinned, and everything that masks them. Nothing is pinned that no row names: the row of an interim root
(``INTERIMS``) is durable before its stream begins, and stays until the pack's final root has all its copies, or the
pack is gone. A node that fails is replaced by another one; where there is none for ``patience_s``, the caller gets
``NodeUnavailable``, and nothing has become visible. What was confirmed on a node that does not count any more goes to
another one (:meth:`Confirmer.keep`), until the pack's final root takes over.

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
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from noisefs.core.domain.ids import BlockId, PackId
from noisefs.core.domain.masking import strategy_named
from noisefs.core.domain.nodes.placement import place
from noisefs.core.domain.records import Copies
from noisefs.core.errors import LinksMissing, NodeUnavailable
from noisefs.core.ports.index import Reading, Table
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.workers import Lane
from noisefs.core.services.network.confirming.interims import Interims
from noisefs.core.services.network.confirming.means import LOOK_AGAIN_S, Means
from noisefs.core.services.network.confirming.placings import Holder, Placing
from noisefs.core.services.network.nodes.within import within
from noisefs.core.services.network.placing.ahead import Ahead
from noisefs.core.services.packs.copies import copies_of

log = logging.getLogger(__name__)

REMEMBERED_PACKS: Final = 64
"""Packs that are open, or wait for their upload: about 45 KiB each, for the names of their blocks."""


class Confirmer(Ahead):
    """Puts blocks of this process's open packs on nodes. Task-safe; belongs to one event loop."""

    def __init__(self, means: Means, packs: PackStore) -> None:
        """``packs``: on this machine's disk."""
        self._means = means
        self._nodes = means.nodes
        self._clock = means.clock
        self._interims = Interims(means, packs)
        self._placings: dict[PackId, Placing] = {}
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
            placing.holders.setdefault(name, Holder(placing.wanted, held))
        give_up_s = self._clock.monotonic_s() + self._means.settings.patience_s
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
                before, give_up_s = progress, now_s + self._means.settings.patience_s
            elif now_s >= give_up_s:
                raise NodeUnavailable("all", "confirming a write", f"{confirmed} of {copies} copies in time")
        placing.owed[copies] = max(placing.owed.get(copies, 0), blocks)
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
        placing.taken_until_s = self._clock.monotonic_s() + self._means.settings.patience_s / 2
        while placing.sending:
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

    async def keep(self) -> None:
        """Send to others what was confirmed, where nodes that confirmed it do not count any more.

        Packs whose final root has all its copies, or that are gone, are forgotten, whoever uploaded them.
        """
        packs = {pack_id: bool(placing.owed) for pack_id, placing in self._placings.items()}
        done = await self._means.workers.run(Lane.DISK, self._means.index.read, partial(self._settled, packs))
        for pack_id in done:
            self.forget(pack_id)
        for placing in list(self._placings.values()):
            if placing.taken_until_s > self._clock.monotonic_s() or self._closed:
                continue
            for copies, blocks in placing.owed.items():
                if self._confirmed(placing, blocks) < copies:
                    self._send_to(placing, self._targets(placing, blocks, copies))

    def _settled(self, packs: Mapping[PackId, bool], tx: Reading) -> list[PackId]:
        """Of these packs, those that need nothing more. By pack: whether it was durable, so that it had a row."""
        return [
            pack_id
            for pack_id, durable in packs.items()
            if self._has_all(copies_of(tx, pack_id)) or (durable and tx.get(Table.PACKS, pack_id) is None)
        ]

    def _has_all(self, row: Copies | None) -> bool:
        return row is not None and bool(row.confirmed_us) and len(self._nodes.counted(row.nodes)) >= row.wanted

    async def close(self) -> None:
        """Break off what is being sent. Who waits for it gets ``NodeUnavailable``."""
        self._closed = True
        tasks = [one.task for placing in self._placings.values() for one in placing.holders.values() if one.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _placing(self, pack_id: PackId) -> Placing:
        placing = self._placings.get(pack_id)
        if placing is None:
            strategy = strategy_named(self._means.geometry.strategy, pack_id=pack_id, prf_key=self._means.keys.prf)
            placing = self._placings[pack_id] = Placing(pack_id, strategy)
            self._forget_idle()
        return placing

    def _forget_idle(self) -> None:
        """Forget the oldest packs: another process may upload what this one fills, and tells nobody here."""
        for pack_id in list(self._placings)[:-REMEMBERED_PACKS]:
            if not self._placings[pack_id].sending:
                del self._placings[pack_id]

    # ------------------------------------------------------------------ who gets it

    def _confirmed(self, placing: Placing, blocks: int) -> int:
        """Copies of the first so many blocks, on nodes that count."""
        return len(self._nodes.counted(placing.holding(blocks)))

    def _targets(self, placing: Placing, blocks: int, copies: int) -> dict[str, int]:
        """Nodes that shall hold the pack, and how many copies each: those that have begun go on where they can."""
        begun = [
            name
            for name, one in placing.holders.items()
            if one.blocks >= blocks or (one.blocks and self._nodes.is_open(name))
            for _ in range(max(1, one.copies))
        ]
        held = self._nodes.counted(begun)
        count = blocks + 1
        fit = self._nodes.places(count * self._means.geometry.block_bytes, count)
        places = {one.name: one for one in (*fit, *self._nodes.places_of(held))}
        return place(placing.pack_id, places.values(), copies, held=held)

    def _send_to(self, placing: Placing, targets: Mapping[str, int]) -> bool:
        """Let everybody who lacks something be sent to; whether anybody is."""
        sending = False
        for name, copies in targets.items():
            node = self._nodes.get(name)
            one = placing.holders.setdefault(name, Holder())
            if copies > one.copies and one.copies:
                one.blocks = 0  # it has fewer copies than it shall: all of it goes there once more
            if one.task is None and one.blocks < placing.wanted and node is not None and self._nodes.is_ready(name):
                one.task = asyncio.create_task(self._send(placing, node, one, copies))
            sending = sending or one.task is not None
        return sending

    # ------------------------------------------------------------------ sending

    async def _send(self, placing: Placing, node: Node, one: Holder, copies: int) -> None:
        """Send what is wanted until the node has it, or fails."""
        placing.failure = None
        try:
            while one.blocks < placing.wanted and not placing.final:
                one.begun_s = await self._means.gather(one.begun_s)
                await self._interims.send(placing, node, one, copies)
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


async def _set(event: asyncio.Event) -> None:
    await event.wait()
