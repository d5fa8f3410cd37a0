"""What this side cannot do: damage, what is out of reach, what is full."""

from noisefs.core.errors.families import CapacityExceeded, IntegrityError, Unavailable

# ---------------------------------------------------------------- integrity


class SegmentDamaged(IntegrityError):
    """A segment's tag does not verify."""

    def __init__(self, body_id: bytes, segment: int) -> None:
        super().__init__(f"segment {segment} of body {body_id.hex()} is damaged: its tag does not verify")
        self.body_id = body_id
        self.segment = segment


class PackDamaged(IntegrityError):
    """A pack's file is short, or its manifest does not open."""

    def __init__(self, pack_id: bytes, reason: str) -> None:
        super().__init__(f"pack {pack_id.hex()} is damaged: {reason}")
        self.pack_id = pack_id
        self.reason = reason


class HeadDamaged(IntegrityError):
    """The store's head is no head, is damaged, or was tampered with."""


class IndexDamaged(IntegrityError):
    """The index fails its integrity check, or a row in it cannot be decoded."""


class SnapshotDamaged(IntegrityError):
    """A snapshot is cut off, changed, or its key is gone."""

    def __init__(self, snapshot: str, reason: str) -> None:
        super().__init__(f"snapshot {snapshot!r} cannot be used: {reason}")
        self.snapshot = snapshot
        self.reason = reason


class RootDamaged(IntegrityError):
    """A root on a node is not this store's, or was changed."""


class RandomizerReuse(IntegrityError):
    """Two operands of one tuple are the same block and would cancel out."""


# ---------------------------------------------------------------- unavailable


class BlockUnavailable(Unavailable):
    """A block that the index names cannot be had now."""

    def __init__(self, pack_id: bytes, position: int) -> None:
        super().__init__(f"block {position} of pack {pack_id.hex()} cannot be read")
        self.pack_id = pack_id
        self.position = position


class NodeUnavailable(Unavailable):
    """A node of the network gives no answer, a broken one, or none in time."""

    def __init__(self, node: str, doing: str, cause: object) -> None:
        super().__init__(f"node {node}: {doing}: {cause}")
        self.node = node


class NodeRefused(NodeUnavailable):
    """A node does not let us in, or does not know how to do what is asked."""


class LinksMissing(NodeUnavailable):
    """A node does not have every block that a root links."""


class NodeFull(NodeUnavailable):
    """A node has no space left, or too little."""


class EventRefused(Unavailable):
    """A receiver of events does not take a message, or gives no answer in time."""

    def __init__(self, target: str, cause: object) -> None:
        super().__init__(f"target {target}: {cause}")
        self.target = target


class EventRejected(EventRefused):
    """A receiver of events says that it will never take this message; others it may."""


class StoreSuperseded(Unavailable):
    """Another gateway goes on with this store: here nothing is written any more."""


class PackPoisoned(Unavailable):
    """An fsync of this pack failed: nothing more is written to it, and its waiters fail."""

    def __init__(self, pack_id: bytes) -> None:
        super().__init__(f"writing to pack {pack_id.hex()} failed; the bytes were not kept")
        self.pack_id = pack_id


class StorageFailed(Unavailable):
    """The disk answered with an error. The message names the operation and the cause."""


class IndexClosed(Unavailable):
    """The index stopped writes after a failed fsync: restart the server."""


class Draining(Unavailable):
    """The server is shutting down."""


class OutcomeUnknown(Unavailable):
    """The write may or may not be visible: the last step failed after the commit."""


class RequestTimeout(Unavailable):
    """The client sent nothing for too long."""


# ---------------------------------------------------------------- capacity


class DiskFull(CapacityExceeded):
    """No space is left beyond the reserve."""


class ReadOnlyStore(CapacityExceeded):
    """The data folder cannot be written."""


class SlowDown(CapacityExceeded):
    """A bounded backlog is full: try again shortly."""

    retryable = True


class QuotaExceeded(CapacityExceeded):
    """A bucket or its owner would hold more than allowed."""

    def __init__(self, whose: str, limit: str) -> None:
        super().__init__(f"the quota of {limit} of the {whose} is used up")
        self.whose = whose


class TooMany(CapacityExceeded):
    """A count limit is reached (buckets, locks, properties)."""
