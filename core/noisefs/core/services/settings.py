"""What is chosen for a running store, and who is told of its packs."""

from collections.abc import Callable
from dataclasses import dataclass, field

from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.caching.fixed.s3fifo import S3Fifo
from noisefs.core.domain.ids import PackId
from noisefs.core.services.caching.entry import PolicyOf
from noisefs.core.services.events.delivery import EventSettings
from noisefs.core.services.namespace.limits import NamespaceLimits

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What an operator may choose for a running store.

    Attributes:
        hot_bytes: Cells kept in memory.
        policy_of: Who decides which cells a tier keeps.
        prefetch_waste: What may be fetched ahead in vain, as a share of what readers took from nodes.
        write_buffer_bytes: Plaintext of all uploads under way.
        read_buffer_bytes: Plaintext of all downloads under way.
        inline_max_bytes: Sealed small objects that may wait in the index for the packer; writes slow down beyond.
        inline_wake_bytes: The packer starts at once when this much waits.
        packer_every_s, reaper_every_s, cleaner_every_s, pace_every_s, checkpoint_every_s, expiry_every_s: Pauses of
            the background jobs.
        lifecycle_day_s: Length of a day where lifecycle rules are carried out.
        durability: The class of new buckets.
        several_processes: Other processes serve the same store.
        limits: Of the namespace.
        events: How events are told.
    """

    hot_bytes: int = 512 * _MIB
    policy_of: PolicyOf = S3Fifo
    prefetch_waste: float = 0.1
    write_buffer_bytes: int = 16 * _MIB
    read_buffer_bytes: int = 16 * _MIB
    inline_max_bytes: int = 512 * _MIB
    inline_wake_bytes: int = 16 * _MIB
    packer_every_s: float = 5.0
    reaper_every_s: float = 0.5
    cleaner_every_s: float = 3.0
    pace_every_s: float = 0.5
    checkpoint_every_s: float = 20.0
    expiry_every_s: float = 300.0
    lifecycle_day_s: float = 86_400.0
    durability: str = LOCAL
    several_processes: bool = False
    limits: NamespaceLimits = field(default_factory=NamespaceLimits)
    events: EventSettings = field(default_factory=EventSettings)


@dataclass(frozen=True, slots=True)
class PackNews:
    """Who wants to know of packs. Both are called on the event loop and only note it."""

    sealed: Callable[[], None]
    dropped: Callable[[PackId], None]
