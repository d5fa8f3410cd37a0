"""The attacks of :mod:`tests.support.adversary` on packs that a whole store wrote to a real disk, and cleaned."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from noisefs.core.domain.geometry import STRATEGIES, Geometry
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.packs.manifest import RunEntry
from noisefs.core.domain.records import Extent
from noisefs.core.services.store import Store
from tests.support.adversary import fingerprints, pair_advantage, shared_windows, undone
from tests.support.bodies import drop_body, get_body, put_body
from tests.support.faults import packs_of
from tests.support.hoard import OpenedPack, opened
from tests.support.stores import KEYS, local_store

S = 131072
CHANCE = 5.0
"""Standard deviations within which a guess counts as chance: 6e-7 a score. The entropy here is the system's."""
PAIRS = 150

pytestmark = pytest.mark.usefixtures("small_packs")


@pytest.fixture
def small_packs() -> Iterator[None]:
    """Packs of 24 blocks."""
    with packs_of(24):
        yield


def telling(size: int, seed: int) -> bytes:
    """Bytes as telling as they get: one short line over and over, another one for each body."""
    line = b"%d: the same words again and again. " % seed
    return (line * (size // len(line) + 1))[:size]


def sealed_packs(folder: Path, geometry: Geometry) -> dict[PackId, OpenedPack]:
    """Every sealed pack, from its file alone (and, for what only the owner knows, the keys)."""
    found = {}
    size = geometry.block_bytes
    for path in sorted(folder.rglob("*.pack")):
        data = path.read_bytes()
        blocks = [data[at : at + size] for at in range(0, len(data), size)]
        pack_id = PackId(bytes.fromhex(path.stem))
        found[pack_id] = opened(pack_id, blocks, KEYS, geometry)
    return found


def stored(packs: list[OpenedPack]) -> list[bytes]:
    """Blocks but for the seeds: which packs share seeds is no secret."""
    return [block for pack in packs for block in pack.blocks[pack.strategy.seeds :]]


def cells(packs: list[OpenedPack]) -> list[bytes]:
    """Every pack undone, in order, without a key."""
    return [cell for pack in packs for cell in undone(pack.strategy, pack.blocks)]


def owners(pack: OpenedPack) -> Iterator[tuple[bytes, bytes]]:
    """Blocks that hold a segment, with the body it is of."""
    for entry in pack.manifest.entries:
        if isinstance(entry, RunEntry):
            for number in range(entry.count):
                yield pack.blocks[entry.position + number * entry.stride], entry.body_id


@dataclass
class Loaded:
    """What lives in a store."""

    live: dict[int, tuple[Extent, ...]]

    @staticmethod
    def data(number: int) -> bytes:
        """Runs, slices, and both."""
        return telling((number % 5) * S + 9000 * (number % 3) + 1100, number)


async def load(store: Store, count: int = 24) -> Loaded:
    """Bodies written several at once, their slices packed; two in three then deleted."""
    live: dict[int, tuple[Extent, ...]] = {}

    async def put(number: int) -> None:
        live[number] = await put_body(store, Loaded.data(number))

    for start in range(0, count, 6):
        await asyncio.gather(*(put(number) for number in range(start, start + 6)))
    await store.packer.run(flush=True)
    await store.writer.rest()
    return Loaded(live)


async def thin_out(store: Store, loaded: Loaded) -> None:
    """Delete two in three."""
    for number in [n for n in loaded.live if n % 3]:
        await drop_body(store, loaded.live.pop(number))
    await store.reaper.run()


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_shuffled_blocks_of_a_real_store_do_not_say_which_belong_to_one_object(
    strategy: str, tmp_path: Path
) -> None:
    geometry = Geometry(strategy=strategy)
    async with local_store(tmp_path, geometry) as store:
        for start in range(0, 24, 6):
            await asyncio.gather(*(put_body(store, telling(9 * S, n)) for n in range(start, start + 6)))
        await store.writer.rest()
    chance = random.Random(1)
    held = [pair for pack in sealed_packs(tmp_path, geometry).values() for pair in owners(pack)]
    chance.shuffle(held)
    advantage = pair_advantage([block for block, _ in held], [owner for _, owner in held], chance, PAIRS)
    assert {name: z for name, z in advantage.items() if abs(z) > CHANCE} == {}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_cleaned_pack_of_a_real_store_cannot_be_matched_with_its_successor(
    strategy: str, tmp_path: Path
) -> None:
    geometry = Geometry(strategy=strategy)
    async with local_store(tmp_path, geometry) as store:
        loaded = await load(store)
        first = sealed_packs(tmp_path, geometry)
        await thin_out(store, loaded)
        generations = [list(first.values())]
        for _ in range(2):  # a cleaner's output is cleaned again
            packs, rows = await store.cleaner._survey()
            for pack in packs:
                await store.writer.avoid(pack.pack_id, rows[pack.pack_id].seeds)
                await store.cleaner_writer.avoid(pack.pack_id, rows[pack.pack_id].seeds)
                store.seeds.forget(pack.pack_id, rows[pack.pack_id].seeds)
                await store.cleaner._mover.empty(pack.pack_id, rows[pack.pack_id])
            await store.cleaner_writer.rest()
            await store.cleaner.run(everything=True)
            generations.append(list(sealed_packs(tmp_path, geometry).values()))
        for number, extents in loaded.live.items():
            assert await get_body(store, extents) == Loaded.data(number)
    old, middle, new = generations
    assert not {pack.pack_id for pack in old} & {pack.pack_id for pack in middle}
    assert not {pack.pack_id for pack in middle} & {pack.pack_id for pack in new}
    for before, after in ((old, middle), (middle, new), (old, new)):
        assert shared_windows(stored(before), stored(after)) == 0
        assert shared_windows(cells(before), cells(after)) == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_no_pack_of_a_real_store_shares_a_cell_with_another_or_lies_bare(strategy: str, tmp_path: Path) -> None:
    """Bodies of equal plaintext, in several packs."""
    geometry = Geometry(strategy=strategy)
    async with local_store(tmp_path, geometry) as store:
        for _ in range(3):
            await asyncio.gather(*(put_body(store, telling(2 * S + 9000, 7)) for _ in range(3)))
            await store.packer.run(flush=True)
            await store.writer.rest()
    packs = list(sealed_packs(tmp_path, geometry).values())
    assert len(packs) >= 3
    for look in (stored, cells):
        windows = [np.unique(np.concatenate([fingerprints(data) for data in look([pack])])) for pack in packs]
        assert len(np.unique(np.concatenate(windows))) == sum(map(len, windows))
    assert shared_windows(cells(packs), stored(packs)) == 0
