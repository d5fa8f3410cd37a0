"""Every presence keeps the promises of the port."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from noisefs.adapters.outbound.memory.presence import MemoryPresence, Neighbourhood
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.presence import FilePresence
from noisefs.core.domain.ids import BodyId, InstanceId, PackId
from noisefs.core.errors import StoreBusy
from noisefs.core.ports.presence import Presence
from tests.support.simulated_disk import SimulatedDisk

Start = Callable[[int], Presence]


def _id(number: int) -> InstanceId:
    return InstanceId(bytes([number]) * 16)


@pytest.fixture(params=["memory", "files", "simulated"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts processes on one store."""
    neighbourhood, disk = Neighbourhood(), LocalDisk() if request.param == "files" else SimulatedDisk()
    started: list[Presence] = []

    def make(number: int) -> Presence:
        if request.param == "memory":
            started.append(MemoryPresence(_id(number), neighbourhood))
        else:
            started.append(FilePresence(disk, str(tmp_path / "locks"), _id(number)))
        return started[-1]

    yield make
    for presence in started:
        presence.close()


def test_a_process_is_alive_from_its_start_to_its_end(start: Start) -> None:
    first, second = start(1), start(2)
    assert first.instance_id == _id(1)
    assert first.is_alive(_id(1))
    assert first.is_alive(_id(2))
    assert not first.is_alive(_id(3))
    second.close()
    second.close()
    assert not first.is_alive(_id(2))
    assert not second.is_alive(_id(2))


def test_one_process_leads_until_it_ends(start: Start) -> None:
    first, second = start(1), start(2)
    assert first.lead()
    assert first.lead()
    assert not second.lead()
    first.close()
    assert second.lead()
    assert not first.lead()


def test_the_store_belongs_to_one(start: Start) -> None:
    first, second = start(1), start(2)
    first.lock_store()
    first.lock_store()
    with pytest.raises(StoreBusy):
        second.lock_store()
    first.close()
    second.lock_store()


def test_others_see_what_a_live_process_reads(start: Start) -> None:
    first, second, third = start(1), start(2), start(3)
    bodies = {BodyId(bytes([n]) * 16) for n in range(3)}
    packs = {PackId(bytes([n]) * 16) for n in range(50, 52)}
    second.publish_reads(bodies, packs)
    third.publish_reads([BodyId(b"b" * 16)], [])
    assert first.others_read() == (bodies | {b"b" * 16}, packs)
    assert second.others_read() == ({b"b" * 16}, set())


def test_what_is_published_replaces_what_was(start: Start) -> None:
    first, second = start(1), start(2)
    assert first.others_read() == (set(), set())
    second.publish_reads([BodyId(bytes([n]) * 16) for n in range(200)], [])
    second.publish_reads([], [PackId(b"p" * 16)])
    assert first.others_read() == (set(), {b"p" * 16})
    second.publish_reads([], [])
    assert first.others_read() == (set(), set())


def test_what_a_dead_process_published_is_void(start: Start) -> None:
    first, second = start(1), start(2)
    second.publish_reads([BodyId(b"b" * 16)], [PackId(b"p" * 16)])
    second.close()
    second.publish_reads([BodyId(b"c" * 16)], [])
    assert first.others_read() == (set(), set())
