"""Port ``Telemetry``: numbers for whoever watches. Names end in a unit, then ``_total`` for counters.

Labels come from closed sets, never from keys. Calls are cheap and never raise.
"""

from abc import ABC, abstractmethod
from enum import Enum


class _Metric(Enum):
    """Hashed by identity: the hash of ``Enum`` is a Python function, and a small request looks up six metrics."""

    __hash__ = object.__hash__


class Counter(_Metric):
    """Only ever grows. Value: the metric's name, help text, label names."""

    REQUESTS = ("noisefs_requests_total", "Requests answered", ("protocol", "operation", "status"))
    BYTES_IN = ("noisefs_received_bytes_total", "Body bytes received", ("protocol",))
    BYTES_OUT = ("noisefs_sent_bytes_total", "Body bytes sent", ("protocol",))
    CELLS_SEALED = ("noisefs_cells_sealed_total", "Cells sealed, by who sealed them", ("by",))
    CELLS_OPENED = ("noisefs_cells_opened_total", "Segments and slices opened", ())
    BLOCK_READS = (
        "noisefs_block_reads_total",
        "Blocks read from a store or tier, seeds and masks included",
        ("tier",),
    )
    PACK_BYTES = ("noisefs_pack_written_bytes_total", "Bytes appended to packs, by who wrote them", ("by",))
    PLAIN_BYTES = ("noisefs_plaintext_written_bytes_total", "Plaintext bytes of acknowledged writes", ())
    PACKS_DROPPED = ("noisefs_packs_dropped_total", "Packs removed after cleaning", ())
    CLEANER_MOVED = ("noisefs_cleaner_moved_bytes_total", "Live bytes moved by the cleaner", ())
    PACKER_MOVED = ("noisefs_packer_moved_bytes_total", "Inline bytes moved into packs", ())
    COMMITS = ("noisefs_index_commits_total", "Index commits, each with one sync", ())
    AUTH_FAILURES = ("noisefs_auth_failures_total", "Failed logins", ("protocol", "reason"))
    INTEGRITY_ERRORS = (
        "noisefs_integrity_errors_total",
        "Segments, manifests or rows that did not verify",
        ("kind",),
    )
    HIDDEN_NAMES = (
        "noisefs_webdav_hidden_names_total",
        "Keys left out of a listing that WebDAV cannot express",
        (),
    )
    LIFECYCLE = ("noisefs_lifecycle_actions_total", "What lifecycle rules removed, by action", ("action",))
    ACCESS_LOG = ("noisefs_access_log_lines_total", "Lines of buckets' access logs, by what came of them", ("outcome",))
    EVENTS = ("noisefs_events_total", "Events of objects, by target and what came of them", ("target", "outcome"))
    JOB_FAILURES = ("noisefs_job_failures_total", "Background jobs that ended with an error", ("job",))
    NODE_FAILURES = ("noisefs_node_failures_total", "Calls of a node that failed", ("node",))
    NODE_CALLS = ("noisefs_node_calls_total", "Requests sent to a node, by what they asked for", ("node", "call"))
    NODE_READS = ("noisefs_node_block_reads_total", "Blocks asked of a node, by what came of it", ("node", "outcome"))
    NODE_SENT = ("noisefs_node_sent_bytes_total", "Bytes of packs and files sent to a node", ("node",))
    COPIES_MADE = ("noisefs_copies_made_total", "Copies confirmed by nodes, by how they came there", ("by",))
    PACKS_EVICTED = ("noisefs_packs_evicted_total", "Packs that left this machine's disk and are on nodes only", ())
    BLOCKS_DAMAGED = (
        "noisefs_node_damaged_blocks_total",
        "Blocks that a node had wrong, or lacked although it pins them, when a copy was found damaged",
        ("node",),
    )
    BLOCKS_MENDED = ("noisefs_node_mended_blocks_total", "Blocks that a node got right again", ("node",))
    BLOCKS_VERIFIED = ("noisefs_node_verified_blocks_total", "Blocks read from a node to verify them", ("node",))
    READS = (
        "noisefs_reads_total",
        "Reads of objects, where there are nodes: whether blocks had to come from them",
        ("network",),
    )
    CELL_READS = (
        "noisefs_cell_reads_total",
        "Cells and slices read, by the tier that had them",
        ("tier",),
    )
    NETWORK_BLOCKS = (
        "noisefs_network_blocks_total",
        "Blocks fetched from nodes: cells that were wanted, seeds and other masks for them, and why",
        ("kind", "why"),
    )
    CACHE_MOVES = ("noisefs_cache_moves_total", "Cells promoted from disk to memory, and demoted", ("move",))
    CACHE_READ_BYTES = ("noisefs_cache_read_bytes_total", "Bytes read from the disk cache", ())
    CACHE_WRITES = ("noisefs_cache_writes_total", "Cells offered to the disk cache, by what came of it", ("outcome",))
    CACHE_WRITTEN_BYTES = ("noisefs_cache_written_bytes_total", "Bytes written to the disk cache", ())
    PREFETCHED = (
        "noisefs_prefetched_cells_total",
        "Cells fetched ahead of a reader, by what came of them",
        ("outcome",),
    )
    TRAININGS = ("noisefs_cache_trainings_total", "Models trained for a tier, by what came of it", ("tier", "outcome"))
    POLICY_CHANGES = (
        "noisefs_cache_policy_changes_total",
        "How often a policy took charge of a tier",
        ("tier", "policy"),
    )
    PEER_READS = ("noisefs_peer_cells_total", "Cells asked of another process, by what came of it", ("outcome",))
    UNPINNED = ("noisefs_unpinned_roots_total", "Roots that a node let go of", ("node",))


class Gauge(_Metric):
    """Goes up and down."""

    INLINE_BACKLOG = (
        "noisefs_inline_backlog_bytes",
        "Sealed bytes inline in the index that wait for the packer",
        (),
    )
    PACKS = ("noisefs_packs", "Packs by state", ("state",))
    STORED_BYTES = ("noisefs_stored_bytes", "Bytes of all pack files, open ones as long as they are", ())
    LIVE_BYTES = (
        "noisefs_live_bytes",
        "Bytes of cells and slices in packs that something refers to, tags included",
        (),
    )
    OPEN_UPLOADS = ("noisefs_open_uploads", "Multipart uploads that are open", ())
    OPEN_REQUESTS = ("noisefs_open_requests", "Requests under way", ("protocol",))
    FREE_BYTES = ("noisefs_free_bytes", "Bytes that may still be written before the reserve", ())
    INDEX_BYTES = ("noisefs_index_bytes", "Bytes of the index and its log", ())
    NODE_USABLE = ("noisefs_node_usable", "Whether a node answers and may be used: 1 or 0", ("node",))
    NODE_FREE_BYTES = ("noisefs_node_free_bytes", "Free bytes where a node keeps its blocks", ("node",))
    LOCAL_PACK_BYTES = ("noisefs_local_pack_bytes", "Bytes of packs on this machine's disk", ())
    UPLOAD_PACKS = ("noisefs_upload_backlog_packs", "Packs that never had all their copies on nodes", ())
    UPLOAD_BYTES = ("noisefs_upload_backlog_bytes", "Bytes of packs that never had all their copies on nodes", ())
    UNDER_REPLICATED = (
        "noisefs_under_replicated_packs",
        "Packs and files with fewer copies on nodes than they shall have",
        (),
    )
    DAMAGED_COPIES = (
        "noisefs_damaged_copies",
        "Copies of packs and files of which a node lacks blocks or has wrong ones: they are mended",
        (),
    )
    BEYOND_MENDING = (
        "noisefs_copies_beyond_mending",
        "Damaged copies that cannot be mended: nothing else has the right bytes, so objects may be lost",
        (),
    )
    SNAPSHOT_ON_NODES = (
        "noisefs_snapshot_on_nodes_timestamp_seconds",
        "When the newest snapshot was begun that a head on a node names: what came later may be lost with this machine",
        (),
    )
    EVENTS_WAITING = ("noisefs_events_waiting", "Events of objects that a target has still to be told", ("target",))
    CACHE_BYTES = ("noisefs_cache_bytes", "Bytes of cells and slices that a tier keeps, and of seeds", ("tier",))
    CACHE_IN_CHARGE = ("noisefs_cache_in_charge", "1 for the policy that decides in a tier", ("tier", "policy"))
    UNPINS_WAITING = ("noisefs_unpins_waiting_roots", "Roots that a node has still to let go of", ("node",))


class Histogram(_Metric):
    """A distribution; the value ends with the bucket bounds."""

    LATENCY = (
        "noisefs_request_duration_seconds",
        "Time from the request's first byte to the answer's last",
        ("protocol", "operation"),
        (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    )
    COMMIT_GROUP = (
        "noisefs_commit_group_size",
        "Writes that shared one index commit",
        (),
        (1, 2, 4, 8, 16, 32, 64, 128, 256),
    )


class Telemetry(ABC):
    """Sink of measurements. Thread-safe. ``labels`` are values in the order of the metric's label names."""

    @abstractmethod
    def count(self, counter: Counter, amount: float = 1, labels: tuple[str, ...] = ()) -> None:
        """Add ``amount`` to a counter."""

    @abstractmethod
    def gauge(self, gauge: Gauge, value: float, labels: tuple[str, ...] = ()) -> None:
        """Set a gauge."""

    @abstractmethod
    def observe(self, histogram: Histogram, value: float, labels: tuple[str, ...] = ()) -> None:
        """Add one observation to a histogram."""
