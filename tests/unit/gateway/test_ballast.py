"""Space is given up on a full disk and taken back on one with room."""

from pathlib import Path

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.core.ports.disk import Free
from noisefs.gateway.ballast import LOW_BYTES, Ballast

SIZE = 1 << 20


class Crowded(LocalDisk):
    """A real disk that says how much room it has."""

    def __init__(self) -> None:
        self.free_bytes = 1 << 40

    def free(self, path: str) -> Free:
        """What the test wants."""
        return Free(self.free_bytes, 1 << 20)


def test_the_ballast_follows_the_room_on_the_disk(tmp_path: Path) -> None:
    """Held, released when the disk is full, held again when there is room for it and more."""
    disk = Crowded()
    file = tmp_path / "ballast"
    ballast = Ballast(disk, str(file), SIZE, InlineWorkers(), ManualClock())
    ballast.tend()
    assert file.stat().st_size == SIZE
    disk.free_bytes = LOW_BYTES - 1
    ballast.tend()
    assert not file.exists()
    disk.free_bytes = LOW_BYTES
    ballast.tend()
    assert file.stat().st_size == SIZE


def test_no_ballast_where_none_is_wanted(tmp_path: Path) -> None:
    """``store.reserve_bytes = 0`` holds nothing back."""
    ballast = Ballast(Crowded(), str(tmp_path / "ballast"), 0, InlineWorkers(), ManualClock())
    ballast.tend()
    assert not (tmp_path / "ballast").exists()
