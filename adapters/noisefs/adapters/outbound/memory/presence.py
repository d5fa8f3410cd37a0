"""Processes that only exist in one test."""

from collections.abc import Collection
from dataclasses import dataclass, field

from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.errors import StoreBusy
from noisefs.core.ports.presence import Presence


@dataclass
class Neighbourhood:
    """What processes on one machine share: give the same one to each ``MemoryPresence``."""

    alive: dict[InstanceId, tuple[set[BodyId], set[PackId]]] = field(default_factory=dict)
    leader: InstanceId | None = None
    owner: InstanceId | None = None

    def crash(self) -> None:
        """Every process ends at once; new ones may start."""
        self.alive.clear()
        self.leader = self.owner = None


class MemoryPresence(Presence):
    """One imagined process. Calls are single steps, and so thread-safe."""

    def __init__(self, instance_id: InstanceId, neighbourhood: Neighbourhood | None = None) -> None:
        """Come alive, alone or among others."""
        self._instance_id = instance_id
        self._shared = neighbourhood if neighbourhood is not None else Neighbourhood()
        self._shared.alive[instance_id] = (set(), set())

    @property
    def instance_id(self) -> InstanceId:
        """Id of this process."""
        return self._instance_id

    def lock_store(self) -> None:
        """Take the store for this process."""
        if self._shared.owner not in (None, self._instance_id):
            raise StoreBusy("another process has the store")
        self._shared.owner = self._instance_id

    def is_alive(self, instance_id: InstanceId) -> bool:
        """Whether that process still runs."""
        return instance_id in self._shared.alive

    def lead(self) -> bool:
        """Whether this process runs the background jobs."""
        if self._shared.leader is None and self.is_alive(self._instance_id):
            self._shared.leader = self._instance_id
        return self._shared.leader == self._instance_id

    def publish_reads(self, bodies: Collection[BodyId], packs: Collection[PackId]) -> None:
        """Replace what others see of this process."""
        if self.is_alive(self._instance_id):
            self._shared.alive[self._instance_id] = (set(bodies), set(packs))

    def others_read(self) -> tuple[set[BodyId], set[PackId]]:
        """Bodies and packs that other live processes are reading."""
        others = [reads for instance_id, reads in list(self._shared.alive.items()) if instance_id != self._instance_id]
        return set().union(*(bodies for bodies, _ in others)), set().union(*(packs for _, packs in others))

    def close(self) -> None:
        """Let go of every lock."""
        shared = self._shared
        shared.alive.pop(self._instance_id, None)
        if shared.leader == self._instance_id:
            shared.leader = None
        if shared.owner == self._instance_id:
            shared.owner = None
