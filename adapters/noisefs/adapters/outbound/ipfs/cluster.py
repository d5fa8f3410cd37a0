"""An ipfs-cluster as one node that spreads copies over its peers (ipfs-cluster's docs, "REST API").

Blocks enter through the Kubo of one peer in one stream, as for a single node, but unpinned; then the cluster is told
how many copies are wanted, chooses peers and lets each fetch what it lacks. Only what a peer reports as pinned counts.
A cluster does not move pins when a peer dies (``disable_repinning``): whoever sees too few copies pins again, and with
the number of copies as the least replication factor the cluster then allocates new peers.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from statistics import median_low
from typing import Final, cast

from noisefs.adapters.outbound.ipfs.answers import Json, id_text, parse_root_id, parse_version
from noisefs.adapters.outbound.ipfs.client import HttpNode, check_url
from noisefs.adapters.outbound.ipfs.limits import Credentials, NodeLimits
from noisefs.adapters.outbound.ipfs.node import KuboNode
from noisefs.adapters.outbound.ipfs.together import few_at_once, together
from noisefs.core.domain.ids import BlockId, RootId, StoreId
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.nodes import Car, Node, NodeState
from noisefs.core.ports.telemetry import Telemetry

OLDEST: Final = (1, 0)
ASK_BATCH: Final = 40
"""Names in one URL: the daemon takes 4 KiB of header by default."""
FIRST_LOOK_S: Final = 0.05
LAST_LOOK_S: Final = 2.0
"""How often a pin under way is looked at: at first, and in the end."""

_PINNED: Final = "pinned"
_ELSEWHERE: Final = "remote"
_NOT_ARRIVED: Final = (_ELSEWHERE, "unpinned", "undefined", "unpinning", "unpin_queued")
"""What a chosen peer says that has not heard of the order: a lost message is repeated after a minute by default."""
_QUEUED: Final = ("pin_queued", "queued")
"""It has not begun: a peer fetches ten packs at once by default."""
_UNDER_WAY: Final = (*_NOT_ARRIVED, *_QUEUED, "pinning", "unexpectedly_unpinned")
"""What a chosen peer says while there is hope."""
_UNKNOWN: Final = ("unpinned", "undefined", "cluster_error")
_TOO_FEW_PEERS: Final = ("not enough peers", "need at least")
_NOT_THERE: Final = ("not found", "not part of", "uncommitted to state")


class ClusterNode(Node):
    """A cluster, spoken to through the REST of one peer and the RPC of that peer's Kubo."""

    def __init__(
        self,
        api: str,
        peer: KuboNode,
        *,
        name: str = "",
        zone: str = "",
        credentials: Credentials | None = None,
        limits: NodeLimits | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            api: Address of its REST, ``http://host:9094``; without credentials.
            peer: The Kubo of one of its peers: blocks and heads go through it. Called as this node is, for its errors;
                closed with it.
            name: What it is called; host and port by default.
            zone: Where it stands; the name by default.
            credentials: For the REST.
            limits: How long it may take.
            telemetry: Counts calls, if given.

        Raises:
            InvalidArgument: The address is no plain HTTP address.
        """
        base = check_url("api", api)
        self._name = name or base.partition("://")[2]
        self._zone = zone or self._name
        self._limits = limits or NodeLimits()
        self._rest = HttpNode(self._name, base, limits=self._limits, credentials=credentials, telemetry=telemetry)
        self._peer = peer
        self._peers = 1

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
        """Never: its peers may hold what others pinned."""
        return False

    @property
    def copies_at_most(self) -> int:
        """As many as it had peers when it was last asked how it is."""
        return self._peers

    async def state(self) -> NodeState:
        """How its Kubo is, how many peers it has, and the room of its median peer."""
        wait_s = self._limits.state_s
        try:
            peer, identity, space = await together(
                self._peer.state(), self._ask("/id", "id", wait_s), self._free_space(wait_s)
            )
        except NodeUnavailable as exc:
            return NodeState(usable=False, reason=str(exc))
        assert isinstance(peer, NodeState)
        assert isinstance(identity, Mapping)
        version = str(identity.get("version", ""))
        if (parse_version(version) or (0, 0)) < OLDEST:
            return replace(peer, usable=False, reason=f"ipfs-cluster {version!r} is too old: 1.0 is needed")
        peers = identity.get("cluster_peers")
        self._peers = max(1, len(peers) if isinstance(peers, list) else 1)
        return replace(
            peer,
            version=f"ipfs-cluster {version}, Kubo {peer.version}",
            peer_id=str(identity.get("id", "")),
            free_bytes=space if isinstance(space, int) else peer.free_bytes,
            free_inodes=None,
            peers=self._peers - 1,
        )

    async def import_car(self, car: Car, *, copies: int = 1) -> int:
        """One stream, one order, and looks at it until its copies are there."""
        await self._peer.import_blocks(car)
        try:
            return await self.pin(car.root, copies=copies)
        except NodeUnavailable as exc:
            if type(exc) is NodeUnavailable:
                await self._peer.raise_for_missing_links(car.root, "pin")
            raise

    async def pin(self, root: RootId, *, copies: int = 1) -> int:
        """One order, and looks at it until its copies are there or none is on its way any more.

        A new order that comes to nothing is withdrawn: Kubo would go on searching, and hold up collections of garbage.
        """
        before = (await self._statuses([root]))[root]
        pinned = list(before.values()).count(_PINNED)
        if pinned >= copies:
            return pinned  # an order more would make its peers begin anew
        allocated = await self._order(root, copies, copies)
        if allocated is None:
            allocated = await self._order(root, 1, copies) or []
        pinned = await self._wait_for_copies(root, allocated)
        if not pinned:
            said = ", ".join(sorted(set((await self._statuses([root]))[root].values())))
            if all(status in _UNKNOWN for status in before.values()):
                await self._unpin(root)
            raise NodeUnavailable(self._name, "pins/order", f"no peer has pinned it in time; they say: {said}")
        return pinned

    async def _wait_for_copies(self, root: RootId, allocated: Sequence[str]) -> int:
        """How many of the peers that were chosen have it in the end."""
        look_s, pinned = FIRST_LOOK_S, 0
        loop = asyncio.get_running_loop()
        arrived_at = loop.time() + self._limits.order_s
        try:
            async with asyncio.timeout(self._limits.fetch_s), asyncio.timeout(self._limits.links_s) as stall:
                while True:
                    peers = (await self._statuses([root]))[root]
                    statuses = [peers.get(peer, _ELSEWHERE) for peer in allocated]
                    before, pinned = pinned, statuses.count(_PINNED)
                    if not any(status in _UNDER_WAY for status in statuses):
                        return pinned
                    on_its_way = loop.time() < arrived_at and any(status in _NOT_ARRIVED for status in statuses)
                    if on_its_way or pinned > before or any(status in _QUEUED for status in statuses):
                        stall.reschedule(loop.time() + self._limits.links_s)
                    await asyncio.sleep(look_s)
                    look_s = min(2 * look_s, LAST_LOOK_S)
        except TimeoutError:
            return pinned

    async def _order(self, root: RootId, least: int, most: int) -> list[str] | None:
        """Ask for copies; the chosen peers, or ``None`` if the cluster has too few."""
        doing = "pins/order"
        path = f"/pins/ipfs/{id_text(root)}?replication-min={least}&replication-max={most}"
        raw = await self._rest.whole("POST", path, doing, unless=_TOO_FEW_PEERS if least > 1 else ())
        if raw is None:
            return None
        allocated = self._object(raw, doing).get("allocations")
        if not isinstance(allocated, list) or not allocated:
            raise NodeUnavailable(self._name, doing, "it does not tell which peers it has chosen")
        return [str(peer) for peer in allocated]

    async def copies(self, roots: Sequence[RootId]) -> dict[RootId, int]:
        """One request for each 40."""
        found: dict[RootId, int] = {}
        wanted = list(dict.fromkeys(roots))
        for start in range(0, len(wanted), ASK_BATCH):
            statuses = await self._statuses(wanted[start : start + ASK_BATCH])
            found |= {root: list(peers.values()).count(_PINNED) for root, peers in statuses.items()}
        return {root: found[root] for root in wanted}

    async def _statuses(self, roots: Sequence[RootId]) -> dict[RootId, dict[str, str]]:
        """What each peer says of each root."""
        doing = "pins/status"
        path = f"/pins?cids={','.join(id_text(root) for root in roots)}"
        found: dict[RootId, dict[str, str]] = {}
        async for row in self._rest.rows(path, doing, method="GET", begin_s=self._limits.answer_s):
            root, peers = parse_root_id(str(row.get("cid", ""))), row.get("peer_map")
            if root is None or not isinstance(peers, dict):
                raise NodeUnavailable(self._name, doing, "a row of another kind")
            found[root] = {name: str(peer.get("status")) for name, peer in peers.items() if isinstance(peer, dict)}
        if not set(roots) <= set(found):
            raise NodeUnavailable(self._name, doing, f"it told about {len(found)} of {len(roots)} roots")
        return found

    def pins(self) -> AsyncIterator[RootId]:
        """One request; what is wanted pinned, not what is."""
        return self._list_pins()

    async def _list_pins(self) -> AsyncGenerator[RootId, None]:
        path, doing = "/allocations?filter=pin", "allocations"
        async for row in self._rest.rows(path, doing, method="GET", begin_s=self._limits.list_s):
            root = parse_root_id(str(row.get("cid", "")))
            if root is not None:
                yield root

    async def unpin(self, roots: Sequence[RootId]) -> None:
        """One request for each. Its peers let go a moment later."""
        await few_at_once(dict.fromkeys(roots), self._unpin)

    async def _unpin(self, root: RootId) -> None:
        await self._rest.whole("DELETE", f"/pins/{id_text(root)}", "pins/drop", unless=_NOT_THERE)

    async def block(self, block_id: BlockId | RootId, *, timeout_s: float) -> bytes:
        """Through the Kubo, which fetches it from other peers."""
        return await self._peer.block(block_id, timeout_s=timeout_s)

    async def read_into(self, block_id: BlockId, into: memoryview, *, timeout_s: float) -> bool:
        """The same."""
        return await self._peer.read_into(block_id, into, timeout_s=timeout_s)

    async def has(self, block_ids: Sequence[BlockId | RootId]) -> list[bool]:
        """Whether the Kubo through which blocks enter holds them."""
        return await self._peer.has(block_ids)

    async def discard(self, block_ids: Sequence[BlockId | RootId]) -> None:
        """From the Kubo alone; other peers keep theirs."""
        await self._peer.discard(block_ids)

    async def collect_garbage(self) -> None:
        """One request, which makes every peer do it."""
        answer = await self._ask("/ipfs/gc", "ipfs/gc", self._limits.sweep_s, method="POST")
        for peer in _parts(answer.get("peer_map")):
            for part in (peer, *_parts(peer.get("keys"))):
                if part.get("error"):
                    raise NodeUnavailable(self._name, "ipfs/gc", part["error"])

    async def put_head(self, store_id: StoreId, name: str, data: bytes) -> None:
        """On the Kubo."""
        await self._peer.put_head(store_id, name, data)

    async def heads(self, store_id: StoreId) -> list[str]:
        """Of the Kubo."""
        return await self._peer.heads(store_id)

    async def stores(self) -> list[StoreId]:
        """Of the Kubo."""
        return await self._peer.stores()

    async def head(self, store_id: StoreId, name: str) -> bytes:
        """Of the Kubo."""
        return await self._peer.head(store_id, name)

    async def drop_head(self, store_id: StoreId, name: str) -> None:
        """On the Kubo."""
        await self._peer.drop_head(store_id, name)

    async def close(self) -> None:
        """Close its connections."""
        await self._rest.close()
        await self._peer.close()

    async def _free_space(self, wait_s: float) -> int | None:
        """Free bytes of the median peer, as far as they are told: a pack goes to those with most."""
        try:
            raw = await self._rest.whole("GET", "/monitor/metrics/freespace", "metrics", wait_s=wait_s)
            return median_low([int(metric["value"]) for metric in json.loads(raw or b"")])
        except (NodeUnavailable, ValueError, KeyError, TypeError, AttributeError):
            return None

    async def _ask(self, path: str, doing: str, wait_s: float, *, method: str = "GET") -> Json:
        return self._object(await self._rest.whole(method, path, doing, wait_s=wait_s), doing)

    def _object(self, raw: bytes | None, doing: str) -> Json:
        try:
            answer = json.loads(raw or b"")
        except ValueError as exc:
            raise NodeUnavailable(self._name, doing, "the answer is no JSON") from exc
        if not isinstance(answer, dict):
            raise NodeUnavailable(self._name, doing, "the answer is no object")
        return cast(Json, answer)


def _parts(value: object) -> list[Json]:
    """The objects in a list or in an object."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict)]
