"""Port ``Node``: a place on the network that keeps blocks under pinned roots.

A root is a small block that links others; pinning it keeps all of them. What is stored is noise, and what a root says
beyond its links is sealed: a node learns how many blocks came together, and nothing else. A node is one Kubo daemon
(it holds one copy of what it pins) or a cluster that spreads copies itself.

Everything here may fail at any time: a node can be down, hang, lie or lose data. Every method ends within a bounded
time. Whoever reads a block verifies its digest. All methods are coroutines of the event loop; none of them computes.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from noisefs.core.domain.ids import BlockId, RootId, StoreId


@dataclass(frozen=True, slots=True)
class Car:
    """A CARv1 stream (IPLD specification "CARv1") of known length, that can be sent more than once.

    ``parts`` gives its bytes from the start, in pieces that are void once the next one is asked for. It ends with the
    root, so that a stream that breaks off pins nothing.
    """

    root: RootId
    size_bytes: int
    blocks: int
    parts: Callable[[], AsyncIterator[bytes | memoryview]]


@dataclass(frozen=True, slots=True)
class NodeState:
    """What a node says of itself. ``None``: it does not say.

    Attributes:
        usable: It answers, lets us in, and is of a version we know.
        reason: Why it is not usable, or what is to be minded.
        version: Of its program.
        peer_id: Its identity in the swarm: two addresses of one node have the same.
        free_bytes, free_inodes: Where its repository lies.
        repo_bytes: What its repository takes.
        peers: How many others it is connected with.
        public: Whether it takes part in the public network (no swarm key, public bootstrap or routing).
    """

    usable: bool
    reason: str = ""
    version: str = ""
    peer_id: str = ""
    free_bytes: int | None = None
    free_inodes: int | None = None
    repo_bytes: int | None = None
    peers: int | None = None
    public: bool | None = None


class Node(ABC):
    """One node. Task-safe."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What rows, logs and metrics call it; never changes, holds no secret."""

    @property
    @abstractmethod
    def zone(self) -> str:
        """Copies are spread over zones first. Nodes without one are each a zone of their own."""

    @property
    @abstractmethod
    def managed(self) -> bool:
        """Whether it is ours alone, so that its garbage may be collected."""

    @property
    @abstractmethod
    def copies_at_most(self) -> int:
        """How many copies of one root it can hold: 1, or as many as a cluster has peers."""

    @abstractmethod
    async def state(self) -> NodeState:
        """Ask it how it is. Never raises."""

    @abstractmethod
    async def import_car(self, car: Car, *, copies: int = 1) -> int:
        """Store the blocks of a stream and pin its root, with all it links; returns how many copies are confirmed.

        Links may lead to blocks that are not in the stream, where the node has them already.

        Raises:
            LinksMissing: It does not have every block that the root links: nothing is pinned.
            NodeUnavailable: No answer, a broken one, or none in time: nobody knows whether it is pinned.
            NodeRefused: It does not let us in.
            NodeFull: No space is left there.
        """

    @abstractmethod
    async def pin(self, root: RootId, *, copies: int = 1) -> int:
        """Pin a root that other nodes of its swarm hold: it fetches what it lacks. Returns the confirmed copies.

        Raises:
            NodeUnavailable: It could not be fetched in time.
            NodeRefused, NodeFull: As above.
        """

    @abstractmethod
    async def copies(self, roots: Sequence[RootId]) -> dict[RootId, int]:
        """How many copies of each of these it holds pinned, 0 included. It asks nobody else.

        Raises:
            NodeUnavailable, NodeRefused: As above.
        """

    @abstractmethod
    def pins(self) -> AsyncIterator[RootId]:
        """Every pinned root of the codec that ours have, whoever pinned it, in no order.

        Raises:
            NodeUnavailable, NodeRefused: As above, at any step.
        """

    @abstractmethod
    async def unpin(self, roots: Sequence[RootId]) -> None:
        """Let go of these, in one call where it can be. What is not pinned is passed over.

        Raises:
            NodeUnavailable, NodeRefused: As above; some may be unpinned.
        """

    @abstractmethod
    async def block(self, block_id: BlockId | RootId, *, timeout_s: float) -> bytes:
        """The bytes under this name, **unverified**: a node with bit rot answers with wrong ones.

        Raises:
            NodeUnavailable: No answer in time, or it does not have the block and found nobody who has.
            NodeRefused: As above.
        """

    async def read_into(self, block_id: BlockId, into: memoryview, *, timeout_s: float) -> bool:
        """The same for a block whose length is known, put where its bytes belong; tells whether it has that length.

        When this returns, or raises, nothing is written into ``into`` any more.

        Raises:
            NodeUnavailable, NodeRefused: As above.
        """
        block = await self.block(block_id, timeout_s=timeout_s)
        if len(block) != len(into):
            return False
        into[:] = block
        return True

    @abstractmethod
    async def has(self, block_ids: Sequence[BlockId | RootId]) -> list[bool]:
        """Whether it holds each block itself, without asking others."""

    @abstractmethod
    async def discard(self, block_ids: Sequence[BlockId | RootId]) -> None:
        """Remove blocks that no pin keeps; the others stay, and what is not there is passed over.

        For blocks that a node has damaged: Kubo keeps the bytes it has when it is sent better ones. So unpin every root
        that links such a block, discard it, and import again.

        Raises:
            NodeUnavailable, NodeRefused: As above; some may be removed.
        """

    @abstractmethod
    async def collect_garbage(self) -> None:
        """Give back the space of what is not pinned. Only for ``managed`` nodes.

        Raises:
            NodeUnavailable, NodeRefused: As above.
        """

    # ------------------------------------------------------------------ heads

    @abstractmethod
    async def put_head(self, store_id: StoreId, name: str, data: bytes) -> None:
        """Keep a head under a new name, durably. One of that name is never replaced.

        Raises:
            FileExists: There is one, with other bytes.
            NodeUnavailable, NodeRefused, NodeFull: As above.
        """

    @abstractmethod
    async def heads(self, store_id: StoreId) -> list[str]:
        """Names of the heads it keeps for this store.

        Raises:
            NodeUnavailable, NodeRefused: As above.
        """

    @abstractmethod
    async def stores(self) -> list[StoreId]:
        """The stores it keeps heads for."""

    @abstractmethod
    async def head(self, store_id: StoreId, name: str) -> bytes:
        """The bytes of a head.

        Raises:
            FileNotInStore: There is none of that name.
            NodeUnavailable, NodeRefused: As above.
        """

    @abstractmethod
    async def drop_head(self, store_id: StoreId, name: str) -> None:
        """Remove a head. Nothing happens where there is none."""

    @abstractmethod
    async def close(self) -> None:
        """Release connections."""
