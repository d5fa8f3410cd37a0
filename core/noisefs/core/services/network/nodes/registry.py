"""The configured nodes: who is there, what each one said last, and who may be given something now.

Promise: a node that fails is left alone for a while, longer each time; one that comes back is used again without a
restart. Nobody here waits for a node but :meth:`Nodes.look`. Belongs to one event loop; questions may be asked from any
thread. Cost of a question: a look into a map.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from noisefs.core.domain.backoff import pause_s
from noisefs.core.domain.nodes.placement import Place, place
from noisefs.core.domain.records import Copies
from noisefs.core.errors import InvalidArgument, NodeFull, NodeUnavailable
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.nodes import Node, NodeState
from noisefs.core.ports.telemetry import Counter, Gauge, Telemetry

log = logging.getLogger(__name__)

FIRST_REST_S: Final = 1.0
MOST_REST_S: Final = 300.0
FULL_REST_S: Final = 60.0
"""A node that ran full is not tried again sooner: what makes room there is not quick."""

_REFUSED_PUBLIC: Final = "it is part of the public network, which the configuration does not allow"


@dataclass(slots=True)
class _Known:
    """A node and what is known of it."""

    node: Node
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    state: NodeState | None = None
    down_since_s: float = 0.0
    """When it was last seen usable, or first heard of."""
    failures: int = 0
    rest_until_s: float = 0.0
    closed: bool = False
    """Takes nothing new: its garbage is being collected."""
    sent_bytes: int = 0
    sent_blocks: int = 0
    """Put there since the start..."""
    told_bytes: int = 0
    told_blocks: int = 0
    """...and of this, what it knew of when it last said how much room it has."""


class Nodes:
    """The nodes by name.

    ``wake``: set where it should be looked at them at once. ``events``: set whenever a node becomes usable, or not.
    ``missed``: set where a write waits for more nodes than are open to it.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        clock: Clock,
        entropy: Entropy,
        telemetry: Telemetry,
        draining: Collection[str] = (),
        public: bool = False,
        min_free_bytes: int = 0,
        min_free_inodes: int = 0,
        down_after_s: float = 900.0,
    ) -> None:
        """Nobody is asked before :meth:`look`.

        Args:
            draining: Names of nodes that get nothing new, and whose copies do not count.
            public: Nodes that take part in the public network are used.
            min_free_bytes, min_free_inodes: What a node has to have left behind what it is given.
            down_after_s: What a node holds counts so long after it was last heard.

        Raises:
            InvalidArgument: Two nodes have one name, or ``draining`` names none of them.
        """
        self._known = {node.name: _Known(node, down_since_s=clock.monotonic_s()) for node in nodes}
        if len(self._known) != len(nodes):
            raise InvalidArgument("node names", [node.name for node in nodes], "each must be there once")
        unknown = set(draining) - set(self._known)
        if unknown:
            raise InvalidArgument("draining nodes", sorted(unknown), f"some of {sorted(self._known)}")
        self._clock = clock
        self._entropy = entropy
        self._telemetry = telemetry
        self._draining = frozenset(draining)
        self._public = public
        self._min_free_bytes = min_free_bytes
        self._min_free_inodes = min_free_inodes
        self._down_after_s = down_after_s
        self.wake = asyncio.Event()
        self.missed = asyncio.Event()
        self.events: list[asyncio.Event] = []

    # ------------------------------------------------------------------ who there is

    @property
    def names(self) -> list[str]:
        """Of all configured nodes."""
        return list(self._known)

    def all(self) -> list[Node]:
        """All configured nodes, in the order of the configuration."""
        return [known.node for known in self._known.values()]

    def get(self, name: str) -> Node | None:
        """The node of this name, or ``None``: rows may name some that are not configured any more."""
        known = self._known.get(name)
        return known.node if known else None

    def state(self, name: str) -> NodeState | None:
        """What it said last; ``None`` before it was first asked. A public one that is not allowed is not usable."""
        known = self._known.get(name)
        return known.state if known else None

    def is_draining(self, name: str) -> bool:
        """Whether it shall be emptied."""
        return name in self._draining

    # ------------------------------------------------------------------ who may be asked

    def is_ready(self, name: str) -> bool:
        """Whether it answered when it was last looked at, and is not left alone after a failure."""
        known = self._known.get(name)
        return known is not None and _is_usable(known) and self._clock.monotonic_s() >= known.rest_until_s

    def is_open(self, name: str) -> bool:
        """Whether it is ready, and its garbage is not being collected: that holds up whatever is put there."""
        return self.is_ready(name) and not self._known[name].closed

    def usable(self) -> list[Node]:
        """Nodes that are ready, in the order of the configuration."""
        return [known.node for name, known in self._known.items() if self.is_ready(name)]

    def readable(self, names: Iterable[str] | None = None) -> list[Node]:
        """Nodes worth asking for a block, the likelier ones first: ready ones, unheard ones, those that failed lately.

        ``names``: only these. One that is known to be down, or not allowed, is not among them.
        """
        chosen = self._known if names is None else dict.fromkeys(name for name in names if name in self._known)
        fit = [name for name in chosen if self._known[name].state is None or _is_usable(self._known[name])]
        return [self._known[name].node for name in sorted(fit, key=lambda name: not self.is_ready(name))]

    def places(self, size_bytes: int, blocks: int) -> list[Place]:
        """Nodes that may be given something of this size now."""
        return [
            self._place(known)
            for name, known in self._known.items()
            if self.is_ready(name)
            and name not in self._draining
            and not known.closed
            and self._has_room(known, size_bytes, blocks)
        ]

    def targets(self, key: bytes, row: Copies | None, wanted: int, size_bytes: int, blocks: int) -> dict[str, int]:
        """Nodes to put copies on now, each with the copies that it shall have then; none where there are enough.

        One that has a damaged copy gets no other: that one is mended.
        """
        held = self.counted(row.nodes) if row is not None else []
        damaged = row.damaged if row is not None else ()
        keeping = [replace(one, copies_at_most=held.count(one.name)) for one in self.places_of(held)]
        fit = (one for one in self.places(size_bytes, blocks) if one.name not in damaged)
        goal = place(key, [*fit, *keeping], wanted, held=held)
        return {name: copies for name, copies in goal.items() if copies > held.count(name)}

    def counted(self, holders: Iterable[str]) -> list[str]:
        """Of names that hold a copy (once for each copy), those that count: two addresses of one node count once.

        What a node that is draining, not configured or long down holds does not count.
        """
        counted: list[str] = []
        by_identity: dict[str, str] = {}
        for name in holders:
            known = self._known.get(name)
            if known is None or name in self._draining or self.is_lost(name):
                continue
            if by_identity.setdefault(self._place(known).identity or name, name) == name:
                counted.append(name)
        return counted

    def is_lost(self, name: str) -> bool:
        """Whether it was not usable for so long that what it holds does not count any more."""
        known = self._known.get(name)
        if known is None:
            return True
        return not _is_usable(known) and self._clock.monotonic_s() - known.down_since_s > self._down_after_s

    def places_of(self, names: Iterable[str]) -> list[Place]:
        """Configured nodes of these names, as places."""
        return [self._place(self._known[name]) for name in dict.fromkeys(names) if name in self._known]

    def changing(self, name: str) -> asyncio.Lock:
        """Held while something is put on this node, let go of, or collected there: one at a time."""
        return self._known[name].changing

    # ------------------------------------------------------------------ what happens to them

    def failed(self, name: str, cause: NodeUnavailable) -> None:
        """A call failed: leave it alone for a while, and look at it."""
        known = self._known[name]
        known.failures += 1
        spread = int.from_bytes(self._entropy.secret(2), "big") / 65536
        rest_s = pause_s(known.failures, spread, first_s=FIRST_REST_S, most_s=MOST_REST_S)
        if isinstance(cause, NodeFull):
            rest_s = max(rest_s, FULL_REST_S)
        known.rest_until_s = self._clock.monotonic_s() + rest_s
        self._telemetry.count(Counter.NODE_FAILURES, 1, (name,))
        log.warning("node.failed", extra={"node": name, "cause": str(cause), "rest_s": round(rest_s, 1)})
        self.wake.set()

    def worked(self, name: str, *, size_bytes: int = 0, blocks: int = 0) -> None:
        """A call succeeded, after which it holds so much more."""
        known = self._known[name]
        known.failures = 0
        known.rest_until_s = 0.0
        known.sent_bytes += size_bytes
        known.sent_blocks += blocks

    def close_to_new(self, name: str, *, closed: bool) -> None:
        """Give it nothing new for now, or do again."""
        self._known[name].closed = closed
        if not closed:
            self._tell()

    async def look(self) -> None:
        """Ask every node how it is, all at once. Never fails; each call is bounded by its adapter."""
        await asyncio.gather(*(self._look_at(known) for known in self._known.values()))

    async def close(self) -> None:
        """Release their connections."""
        await asyncio.gather(*(known.node.close() for known in self._known.values()))

    async def _look_at(self, known: _Known) -> None:
        sent_bytes, sent_blocks = known.sent_bytes, known.sent_blocks
        state = await known.node.state()
        if state.public and state.usable and not self._public:
            state = replace(state, usable=False, reason=_REFUSED_PUBLIC)
        before = known.state
        # What was sent while it answered may be in its figures or not: count it twice rather than not at all.
        known.told_bytes, known.told_blocks = sent_bytes, sent_blocks
        known.state = state
        if state.usable:
            known.down_since_s = self._clock.monotonic_s()
        self._telemetry.gauge(Gauge.NODE_USABLE, float(state.usable), (known.node.name,))
        if state.free_bytes is not None:
            self._telemetry.gauge(Gauge.NODE_FREE_BYTES, state.free_bytes, (known.node.name,))
        if before is None or before.usable != state.usable:
            fields = {"node": known.node.name, "version": state.version, "reason": state.reason}
            log.log(logging.INFO if state.usable else logging.WARNING, "node.state", extra=fields)
            self._tell()

    def _tell(self) -> None:
        for event in self.events:
            event.set()

    def _has_room(self, known: _Known, size_bytes: int, blocks: int) -> bool:
        state = known.state
        if state is None:
            return False
        free_bytes, free_inodes = state.free_bytes, state.free_inodes
        unseen_bytes, unseen_blocks = known.sent_bytes - known.told_bytes, known.sent_blocks - known.told_blocks
        return (free_bytes is None or free_bytes - unseen_bytes - size_bytes >= self._min_free_bytes) and (
            free_inodes is None or free_inodes - unseen_blocks - blocks >= self._min_free_inodes
        )

    def _place(self, known: _Known) -> Place:
        identity = known.state.peer_id if known.state else ""
        return Place(known.node.name, known.node.zone, identity, known.node.copies_at_most)


def _is_usable(known: _Known) -> bool:
    return known.state is not None and known.state.usable
