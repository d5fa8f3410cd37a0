"""Port ``Presence``: the processes that use one store on this machine, and what each of them is reading.

A process is alive while it holds its lock; what a dead one published is void. Nothing here survives a restart, or needs
to. All methods block for some microseconds of file system work: call them from a worker lane, except
``instance_id``.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection

from noisefs.core.domain.ids import BodyId, InstanceId, PackId


class Presence(ABC):
    """This process among the others. Thread-safe."""

    @property
    @abstractmethod
    def instance_id(self) -> InstanceId:
        """Id of this process: random, new at every start, alive until ``close``."""

    @abstractmethod
    def lock_store(self) -> None:
        """Take the store for this process and the workers it starts, until ``close``. Taking it twice does nothing.

        Raises:
            StoreBusy: Another server or command has it.
        """

    @abstractmethod
    def is_alive(self, instance_id: InstanceId) -> bool:
        """Whether that process still runs. A process is alive in its own eyes."""

    @abstractmethod
    def lead(self) -> bool:
        """Whether this process runs the background jobs: the first to ask, until it closes or ends.

        Ask again before every job: jobs are safe when two run, but it is a waste.
        """

    @abstractmethod
    def publish_reads(self, bodies: Collection[BodyId], packs: Collection[PackId]) -> None:
        """Replace what others see of this process: bodies being read and the packs they lie in."""

    @abstractmethod
    def others_read(self) -> tuple[set[BodyId], set[PackId]]:
        """Bodies and packs that other live processes are reading.

        Raises:
            StorageFailed: A process changes its list faster than it can be read; ask again later.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of every lock. Closing twice does nothing."""
