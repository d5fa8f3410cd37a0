"""A full disk: writes are refused before their first byte, deleting and cleaning still work."""

import pytest

from noisefs.adapters.outbound.memory.packs import MemoryPackStore
from noisefs.core.domain.records import Extent
from noisefs.core.errors import DiskFull
from noisefs.core.services.store import Store
from tests.support.bodies import content, drop_body, get_body, put_body
from tests.support.stores import MemoryParts

S = 131072


async def fill(store: Store, bodies: list[tuple[tuple[Extent, ...], int]]) -> None:
    """Put bodies until there is no space."""
    try:
        while True:
            n = len(bodies)
            bodies.append((await put_body(store, content(60 * S, n), piece=1 << 20), n))
    except DiskFull:
        return


async def test_cleaning_gives_space_back_on_a_full_disk() -> None:
    parts = MemoryParts()
    block = parts.geometry.block_bytes
    parts.packs = MemoryPackStore(block, capacity_bytes=7 * 512 * block, reserve_bytes=2 * 512 * block)
    store = parts.store()
    await store.start(background=False)
    bodies: list[tuple[tuple[Extent, ...], int]] = []
    await fill(store, bodies)
    await store.start(background=False)
    with pytest.raises(DiskFull, match="beyond the reserve"):
        await put_body(store, b"small")

    for extents, n in bodies:
        if n % 4:
            await drop_body(store, extents)
    await store.reaper.run()
    assert (await store.cleaner.run(everything=True)).packs_dropped >= 3
    await store.start(background=False)

    await put_body(store, content(60 * S, 1000), piece=1 << 20)
    for extents, n in bodies:
        if n % 4 == 0:
            assert await get_body(store, extents) == content(60 * S, n)
    await store.close()
