"""A node in memory: a verified fake that can also be down, hang, refuse, be full, lie and lose."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence

from noisefs.core.domain.ids import BlockId, RootId, StoreId
from noisefs.core.domain.nodes.car import read_car
from noisefs.core.domain.nodes.dag_cbor import Dag, Link, decode_dag
from noisefs.core.domain.nodes.root import ROOT_PREFIX
from noisefs.core.errors import (
    FileExists,
    FileNotInStore,
    InvalidArgument,
    LinksMissing,
    NodeFull,
    NodeRefused,
    NodeUnavailable,
)
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.nodes import Car, Node, NodeState

_DIGEST_AT = 4


class MemoryNode(Node):
    """Blocks, pins and heads that live as long as this object. Belongs to one event loop.

    Attributes:
        blocks: What it stores, by name.
        pinned: Its roots.
        kept_heads: By store and name.
        swarm: Nodes from which it fetches what it lacks; itself may be among them.
        down: Every call fails at once.
        hanging: Every call fails once ``patience_s`` (or its own limit) has passed on the clock.
        refusing: It lets nobody in.
        full: It takes no more bytes.
        damaged: Names of blocks that it answers with wrong bytes.
        free_bytes, free_inodes: What it says of its room.
        version: What it says of its program.
        public: What it says of its network.
        calls: How often each method was called.
    """

    def __init__(
        self,
        name: str = "memory",
        *,
        zone: str = "",
        managed: bool = False,
        copies_at_most: int = 1,
        clock: Clock | None = None,
        patience_s: float = 30.0,
    ) -> None:
        """An empty node, connected with nobody. Without a clock it hangs for no time."""
        self._name = name
        self._zone = zone or name
        self._managed = managed
        self._copies_at_most = copies_at_most
        self._clock = clock
        self._patience_s = patience_s
        self.blocks: dict[bytes, bytes] = {}
        self.pinned: dict[RootId, int] = {}
        self.kept_heads: dict[StoreId, dict[str, bytes]] = {}
        self.swarm: list[MemoryNode] = []
        self.down = False
        self.hanging = False
        self.refusing = False
        self.full = False
        self.damaged: set[bytes] = set()
        self.free_bytes: int | None = 1 << 40
        self.free_inodes: int | None = 1 << 30
        self.version = "0.43.0"
        self.public: bool | None = False
        self.calls: dict[str, int] = {}

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
        """As it was made."""
        return self._copies_at_most

    async def state(self) -> NodeState:
        """How it is."""
        try:
            await self._answer("state")
        except NodeUnavailable as exc:
            return NodeState(usable=False, reason=str(exc))
        return NodeState(
            usable=True,
            version=self.version,
            peer_id=f"memory-{self._name}",
            free_bytes=self.free_bytes,
            free_inodes=self.free_inodes,
            repo_bytes=sum(map(len, self.blocks.values())),
            peers=len(self._others()),
            public=self.public,
        )

    async def import_car(self, car: Car, *, copies: int = 1) -> int:
        """Take the stream, then pin."""
        await self._answer("import")
        raw = bytearray()
        async for part in car.parts():
            raw += part
        await self._answer("import", counted=False)
        if len(raw) != car.size_bytes:
            raise NodeUnavailable(self._name, "import", f"{len(raw)} bytes came of {car.size_bytes}")
        self._check_room("import")
        try:
            roots, sections = read_car(bytes(raw))
            for name, block in sections:
                if hashlib.sha256(block).digest() != name[_DIGEST_AT:]:
                    raise NodeUnavailable(self._name, "import", f"block {name.hex()} has another digest")
                self.blocks[name] = bytes(block)
        except InvalidArgument as exc:
            raise NodeUnavailable(self._name, "import", exc) from exc
        if roots != [car.root] or car.root not in self.blocks:
            raise NodeUnavailable(self._name, "import", "the stream has another root, or lacks it")
        return self._pin(car.root, copies)

    async def pin(self, root: RootId, *, copies: int = 1) -> int:
        """Fetch from the swarm, then pin."""
        await self._answer("pin")
        try:
            return self._pin(root, copies)
        except LinksMissing as exc:
            raise NodeUnavailable(self._name, "pin", exc) from exc

    async def copies(self, roots: Sequence[RootId]) -> dict[RootId, int]:
        """From the pins."""
        await self._answer("copies")
        return {root: self.pinned.get(root, 0) for root in roots}

    async def pins(self) -> AsyncIterator[RootId]:
        """The pins as they are at the start."""
        await self._answer("pins")
        for root in list(self.pinned):
            if root.startswith(ROOT_PREFIX):
                yield root

    async def unpin(self, roots: Sequence[RootId]) -> None:
        """Forget pins."""
        await self._answer("unpin")
        for root in roots:
            self.pinned.pop(root, None)

    async def block(self, block_id: BlockId | RootId, *, timeout_s: float) -> bytes:
        """From its blocks or the swarm."""
        await self._answer("block", timeout_s)
        block = self._find(block_id)
        if block is None:
            raise NodeUnavailable(self._name, "block", "nobody has it")
        return bytes([block[0] ^ 1]) + block[1:] if block_id in self.damaged else block

    async def has(self, block_ids: Sequence[BlockId | RootId]) -> list[bool]:
        """From its blocks."""
        await self._answer("has")
        return [block_id in self.blocks for block_id in block_ids]

    async def discard(self, block_ids: Sequence[BlockId | RootId]) -> None:
        """Forget these, unless a pin keeps them."""
        await self._answer("discard")
        for block_id in set(block_ids) - self._reached():
            self.blocks.pop(block_id, None)
            self.damaged.discard(block_id)

    def _reached(self) -> set[bytes]:
        reached: set[bytes] = set()
        for root in self.pinned:
            reached |= {root, *_links(self.blocks.get(root))}
        return reached

    async def collect_garbage(self) -> None:
        """Forget blocks under no pin."""
        await self._answer("collect_garbage")
        reached = self._reached()
        self.blocks = {name: block for name, block in self.blocks.items() if name in reached}

    async def put_head(self, store_id: StoreId, name: str, data: bytes) -> None:
        """Keep a head."""
        await self._answer("put_head")
        self._check_room("put_head")
        if self.kept_heads.setdefault(store_id, {}).setdefault(name, data) != data:
            raise FileExists(name)

    async def heads(self, store_id: StoreId) -> list[str]:
        """Names."""
        await self._answer("heads")
        return list(self.kept_heads.get(store_id, {}))

    async def stores(self) -> list[StoreId]:
        """Stores that had a head."""
        await self._answer("stores")
        return list(self.kept_heads)

    async def head(self, store_id: StoreId, name: str) -> bytes:
        """A head."""
        await self._answer("head")
        try:
            return self.kept_heads[store_id][name]
        except KeyError:
            raise FileNotInStore(name) from None

    async def drop_head(self, store_id: StoreId, name: str) -> None:
        """Forget a head."""
        await self._answer("drop_head")
        self.kept_heads.get(store_id, {}).pop(name, None)

    async def close(self) -> None:
        """Nothing to release."""

    async def _answer(self, call: str, wait_s: float | None = None, *, counted: bool = True) -> None:
        """Fail as the switches say."""
        self.calls[call] = self.calls.get(call, 0) + counted
        if self.hanging:
            if self._clock is not None:
                await self._clock.sleep(self._patience_s if wait_s is None else wait_s)
            raise NodeUnavailable(self._name, call, "no answer in time")
        if self.down:
            raise NodeUnavailable(self._name, call, "connection refused")
        if self.refusing:
            raise NodeRefused(self._name, call, "it does not let us in")

    def _check_room(self, call: str) -> None:
        if self.full:
            raise NodeFull(self._name, call, "no space left on device")

    def _pin(self, root: RootId, copies: int) -> int:
        missing = 0
        for name in (root, *_links(self._find(root))):
            block = self._find(name)
            if block is None:
                missing += 1
            else:
                self.blocks.setdefault(name, block)
        if missing:
            raise LinksMissing(self._name, "pin", f"{missing} blocks are not to be found")
        self.pinned[root] = min(copies, self._copies_at_most)
        return self.pinned[root]

    def _others(self) -> list["MemoryNode"]:
        return [node for node in self.swarm if node is not self and not (node.down or node.hanging)]

    def _find(self, name: bytes) -> bytes | None:
        for node in (self, *self._others()):
            if name in node.blocks:
                return node.blocks[name]
        return None


def _links(raw: bytes | None) -> Iterator[bytes]:
    """Names that a root links."""
    if raw is not None:
        yield from _links_in(decode_dag(raw))


def _links_in(value: Dag) -> Iterator[bytes]:
    if isinstance(value, Link):
        yield value.cid
    elif isinstance(value, dict):
        for item in value.values():
            yield from _links_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _links_in(item)
