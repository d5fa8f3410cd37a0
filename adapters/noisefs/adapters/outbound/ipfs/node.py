"""One Kubo daemon as a node, through its RPC (Kubo's docs, "RPC API v0") and its trustless gateway."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

from noisefs.adapters.outbound.ipfs.answers import PinList, check_import, failure, id_text, row_of
from noisefs.adapters.outbound.ipfs.client import HttpNode, check_url, rpc_path
from noisefs.adapters.outbound.ipfs.heads import MfsHeads
from noisefs.adapters.outbound.ipfs.limits import Credentials, NodeLimits
from noisefs.adapters.outbound.ipfs.multipart import CarBody
from noisefs.adapters.outbound.ipfs.probe import Probe
from noisefs.adapters.outbound.ipfs.straight import NotStraight, StraightReader
from noisefs.adapters.outbound.ipfs.together import few_at_once
from noisefs.core.domain.ids import BlockId, RootId, StoreId
from noisefs.core.domain.nodes.car import MAX_SECTION_BYTES
from noisefs.core.domain.nodes.root import links_of
from noisefs.core.errors import LinksMissing, NodeUnavailable, RootDamaged
from noisefs.core.ports.nodes import Car, Node, NodeState
from noisefs.core.ports.telemetry import Counter, Telemetry

log = logging.getLogger(__name__)

ASK_EACH: Final = 32
"""Up to so many roots are asked for by name; for more the whole list costs less."""
UNPIN_BATCH: Final = 512
"""30 KiB of names in a URL, of which Go's server takes 1 MiB."""
UNPIN_ROUNDS: Final = 3

_NOT_PINNED: Final = ("not pinned",)
_KEPT: Final = b'"Error":"pinned'
_NOT_FOUND: Final = ("not found locally", "could not find")
_RAW: Final = {"Accept": "application/vnd.ipld.raw"}
_GATEWAY: Final = "gateway"
_OK: Final = 200


class KuboNode(Node):
    """A daemon: it holds one copy of what it pins."""

    def __init__(
        self,
        api: str,
        *,
        gateway: str = "",
        name: str = "",
        zone: str = "",
        managed: bool = False,
        credentials: Credentials | None = None,
        limits: NodeLimits | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            api: Address of its RPC, ``http://host:5001``; without credentials.
            gateway: Address of its trustless gateway, which reads blocks for half the cost. Not authorized.
            name: What it is called; the RPC's host and port by default.
            zone: Where it stands; the name by default.
            managed: Whether it is ours alone.
            credentials: For the RPC.
            limits: How long it may take.
            telemetry: Counts calls, if given.

        Raises:
            InvalidArgument: An address is no plain HTTP address.
        """
        base = check_url("api", api)
        self._name = name or base.partition("://")[2]
        self._zone = zone or self._name
        self._managed = managed
        self._limits = limits or NodeLimits()
        self._rpc = HttpNode(self._name, base, limits=self._limits, credentials=credentials, telemetry=telemetry)
        self._telemetry = telemetry
        self._gateway: HttpNode | None = None
        self._straight: StraightReader | None = None
        self._is_straight = False
        """It is a plain server, and tells the length of what it answers."""
        if gateway:
            at = check_url("gateway", gateway)
            self._gateway = HttpNode(self._name, at, limits=self._limits, telemetry=telemetry)
            if at.startswith("http://"):
                self._straight = StraightReader(self._name, at, connect_s=self._limits.connect_s)
                self._is_straight = True
        self._probe = Probe(self._rpc, self._gateway)
        self._heads = MfsHeads(self._rpc)

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def zone(self) -> str:
        """Its zone."""
        return self._zone

    @property
    def managed(self) -> bool:
        """Whether it is ours alone."""
        return self._managed

    @property
    def copies_at_most(self) -> int:
        """One."""
        return 1

    async def state(self) -> NodeState:
        """Six short questions at once."""
        return await self._probe.state()

    async def import_car(self, car: Car, *, copies: int = 1) -> int:  # noqa: ARG002 - one is all it can
        """One request that stores and pins; two more, and one for each link, only if links are missing.

        A node that lacks links looks for them in its swarm. It is given ``links_s`` for that.
        """
        doing = "dag/import"
        path = rpc_path(doing, pin_roots=True, allow_big_block=True)
        body = CarBody(car, stall_s=self._limits.stall_s, answer_s=self._limits.links_s)
        try:
            rows = [row async for row in self._rpc.rows(path, doing, begin_s=self._limits.answer_s, body=body)]
        except NodeUnavailable as exc:
            if body.failure is not None:
                raise body.failure from exc
            if body.sent and type(exc) is NodeUnavailable:
                await self.raise_for_missing_links(car.root, doing)
            raise
        check_import(self._name, doing, car.root, rows)
        return 1

    async def import_blocks(self, car: Car) -> None:
        """Store the blocks of a stream and pin nothing: a collection of garbage takes them.

        Raises:
            NodeUnavailable, NodeRefused, NodeFull: As for ``import_car``.
        """
        doing = "dag/import"
        path = rpc_path(doing, pin_roots=False, stats=True, allow_big_block=True)
        body = CarBody(car, stall_s=self._limits.stall_s, answer_s=self._limits.answer_s)
        try:
            rows = [row async for row in self._rpc.rows(path, doing, begin_s=self._limits.answer_s, body=body)]
        except NodeUnavailable as exc:
            raise body.failure or exc from exc
        if not any(isinstance(stats := row.get("Stats"), dict) and stats.get("BlockCount") for row in rows):
            raise NodeUnavailable(self._name, doing, "the answer does not tell what was stored")

    async def raise_for_missing_links(self, root: RootId, doing: str) -> None:
        """Find out whether a pin that did not end lacks links, as far as that can be told.

        Raises:
            LinksMissing: It does.
            NodeUnavailable: It cannot be told.
        """
        raw = await self._block_of_its_own(root)
        try:
            links = links_of(raw) if raw is not None else ()
        except RootDamaged:
            return
        missing = (await self.has(links)).count(False)
        if missing:
            raise LinksMissing(self._name, doing, f"{missing} of {len(links)} links are not to be found")

    async def _block_of_its_own(self, name: BlockId | RootId) -> bytes | None:
        path = rpc_path("block/get", [id_text(name)], offline=True)
        return await self._rpc.whole("POST", path, "block/get", at_most=MAX_SECTION_BYTES, unless=_NOT_FOUND)

    async def pin(self, root: RootId, *, copies: int = 1) -> int:  # noqa: ARG002 - one is all it can
        """One request, for as long as it advances."""
        doing = "pin/add"
        path = rpc_path(doing, [id_text(root)], progress=True)
        seen = -1
        try:
            async with asyncio.timeout(self._limits.fetch_s), asyncio.timeout(self._limits.stall_s) as stall:
                async for row in self._rpc.rows(path, doing, begin_s=self._limits.stall_s):
                    if id_text(root) in (row.get("Pins") or ()):  # type: ignore[operator]  # checked by use
                        return 1
                    progress = row.get("Progress")
                    if isinstance(progress, int) and progress > seen:
                        seen = progress
                        stall.reschedule(asyncio.get_running_loop().time() + self._limits.stall_s)
        except TimeoutError as exc:
            raise NodeUnavailable(self._name, doing, f"it found {max(seen, 0)} blocks and no more") from exc
        raise NodeUnavailable(self._name, doing, "it could not be fetched")

    async def copies(self, roots: Sequence[RootId]) -> dict[RootId, int]:
        """One request if all of few are pinned; else one for each of them, or the list of all pins."""
        wanted = dict.fromkeys(roots, 0)
        if not wanted:
            return wanted
        if len(wanted) > ASK_EACH:
            async with aclosing(self._list_pins()) as pinned:
                async for root in pinned:
                    if root in wanted:
                        wanted[root] = 1
            return wanted
        if await self._pinned(list(wanted)):
            return dict.fromkeys(wanted, 1)
        if len(wanted) > 1:
            alone = await few_at_once(wanted, lambda root: self._pinned([root]))
            return {root: int(pinned) for root, pinned in zip(wanted, alone, strict=True)}
        return wanted

    async def _pinned(self, roots: Sequence[RootId]) -> bool:
        path = rpc_path("pin/ls", [id_text(root) for root in roots], type="recursive", offline=True)
        return await self._rpc.whole("POST", path, "pin/ls", unless=_NOT_PINNED) is not None

    def pins(self) -> AsyncIterator[RootId]:
        """One request. Cost: the node gathers the list in its memory, some 300 bytes a pin; we do not."""
        return self._list_pins()

    async def _list_pins(self) -> AsyncGenerator[RootId, None]:
        doing = "pin/ls"
        path = rpc_path(doing, type="recursive", offline=True)
        found = PinList()
        async with self._rpc.stream("POST", path, doing, begin_s=self._limits.list_s) as pieces:
            async for piece in pieces:
                for root in found.feed(piece):
                    yield root
        if not found.whole():
            raise NodeUnavailable(self._name, doing, "the list of pins is cut short")

    async def unpin(self, roots: Sequence[RootId]) -> None:
        """One request for each 512; where some are not pinned, Kubo stops there, and one more asks which are left."""
        for start in range(0, len(roots), UNPIN_BATCH):
            left = list(dict.fromkeys(roots[start : start + UNPIN_BATCH]))
            for _ in range(UNPIN_ROUNDS):
                path = rpc_path("pin/rm", [id_text(root) for root in left], offline=True)
                if await self._rpc.whole("POST", path, "pin/rm", unless=_NOT_PINNED) is not None:
                    break
                left = [root for root, copies in (await self.copies(left)).items() if copies]
                if not left:
                    break
            else:
                raise NodeUnavailable(self._name, "pin/rm", "somebody else pins and unpins the same roots")

    async def block(self, block_id: BlockId | RootId, *, timeout_s: float) -> bytes:
        """One request, to the gateway where it works."""
        if self._gateway is not None and self._probe.gateway_works:
            raw = await self._gateway.whole(
                "GET", _raw_path(block_id), _GATEWAY, wait_s=timeout_s, at_most=MAX_SECTION_BYTES, headers=_RAW
            )
        else:
            path = rpc_path("block/get", [id_text(block_id)], timeout=f"{max(1, round(timeout_s * 1000))}ms")
            raw = await self._rpc.whole("POST", path, "block/get", wait_s=timeout_s, at_most=MAX_SECTION_BYTES)
        assert raw is not None
        return raw

    async def read_into(self, block_id: BlockId, into: memoryview, *, timeout_s: float) -> bool:
        """One request, to the gateway where it works: for a third of the cost of :meth:`block`."""
        straight = self._straight
        if straight is None or not (self._is_straight and self._probe.gateway_works):
            return await super().read_into(block_id, into, timeout_s=timeout_s)
        if self._telemetry is not None:
            self._telemetry.count(Counter.NODE_CALLS, 1, (self._name, _GATEWAY))
        try:
            answer = await straight.get(_raw_path(block_id), _RAW["Accept"], into, _GATEWAY, wait_s=timeout_s)
        except NotStraight as exc:
            log.info("gateway.not_straight", extra={"node": self._name, "cause": str(exc)})
            self._is_straight = False
            return await super().read_into(block_id, into, timeout_s=timeout_s)
        if answer.status != _OK:
            raise failure(self._name, _GATEWAY, answer.status, answer.error)
        return answer.length == len(into)

    async def has(self, block_ids: Sequence[BlockId | RootId]) -> list[bool]:
        """One request a block, 32 at once."""
        return await few_at_once(block_ids, self._has)

    async def _has(self, block_id: BlockId | RootId) -> bool:
        path = rpc_path("block/stat", [id_text(block_id)], offline=True)
        return await self._rpc.whole("POST", path, "block/stat", unless=_NOT_FOUND) is not None

    async def discard(self, block_ids: Sequence[BlockId | RootId]) -> None:
        """One request for each 512."""
        doing = "block/rm"
        for start in range(0, len(block_ids), UNPIN_BATCH):
            names = [id_text(name) for name in dict.fromkeys(block_ids[start : start + UNPIN_BATCH])]
            raw = await self._rpc.whole("POST", rpc_path(doing, names, force=True), doing)
            for line in (raw or b"").splitlines():
                if _KEPT not in line:
                    row_of(self._name, doing, line)

    async def collect_garbage(self) -> None:
        """One request, for as long as it shows signs of life."""
        doing = "repo/gc"
        path = rpc_path(doing, stream_errors=True)
        sweep_s = self._limits.sweep_s
        async for _ in self._rpc.rows(path, doing, begin_s=sweep_s, stall_s=sweep_s):
            pass

    async def put_head(self, store_id: StoreId, name: str, data: bytes) -> None:
        """Three requests."""
        await self._heads.put(store_id, name, data)

    async def heads(self, store_id: StoreId) -> list[str]:
        """One request."""
        return await self._heads.names(store_id)

    async def stores(self) -> list[StoreId]:
        """One request."""
        return await self._heads.stores()

    async def head(self, store_id: StoreId, name: str) -> bytes:
        """One request."""
        return await self._heads.get(store_id, name)

    async def drop_head(self, store_id: StoreId, name: str) -> None:
        """One request."""
        await self._heads.drop(store_id, name)

    async def close(self) -> None:
        """Close its connections."""
        await self._rpc.close()
        if self._straight is not None:
            self._straight.close()
        if self._gateway is not None:
            await self._gateway.close()


def _raw_path(block_id: BlockId | RootId) -> str:
    return f"/ipfs/{id_text(block_id)}?format=raw"
