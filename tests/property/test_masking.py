"""Laws of the mask strategies: closed packs, no pair twice, exact round trips. DESIGN.md section 3."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.domain.geometry import PACK_BLOCKS, STRATEGIES
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.masking import Chain, RunPlan, Strategy, strategy_named

BLOCK = 24
OWN = [frozenset(own) for size in range(4) for own in itertools.combinations(range(3), size)]
"""Every set of seeds that may hold a body's own bytes: seed 3 is always neutral."""

names = st.sampled_from(STRATEGIES)
pack_ids = st.binary(min_size=16, max_size=16).map(PackId)
wishes = st.lists(st.tuples(st.integers(1, 12), st.sampled_from(OWN)), max_size=120)


ANY_PACK = PackId(bytes(16))


def named(name: str, pack_id: PackId = ANY_PACK) -> Strategy:
    return strategy_named(name, pack_id=pack_id, prf_key=bytes(range(32)))


def planned(strategy: Strategy, wanted: list[tuple[int, frozenset[int]]]) -> tuple[list[RunPlan], int]:
    """Runs of a pack that is filled as wished, and its blocks before the manifest."""
    runs = []
    blocks = strategy.seeds
    for count, own in wanted:
        plan = strategy.plan(blocks, count, own)
        if plan is None:
            break
        assert plan.start == blocks
        assert 1 <= plan.count <= count
        assert plan.total_blocks == plan.count * plan.stride
        runs.append(plan)
        blocks += plan.total_blocks
        assert blocks < PACK_BLOCKS, "the manifest must still fit"
    return runs, blocks


def cells_of(runs: list[RunPlan]) -> list[tuple[int, int]]:
    return [(plan.position + i * plan.stride, plan.seed) for plan in runs for i in range(plan.count)]


@given(name=names, pack_id=pack_ids, wanted=wishes)
def test_packs_are_closed_and_never_use_a_pair_twice(
    name: str, pack_id: PackId, wanted: list[tuple[int, frozenset[int]]]
) -> None:
    strategy = named(name, pack_id)
    runs, blocks = planned(strategy, wanted)
    cells = cells_of(runs)
    if not cells:
        return

    pairs = [(position, strategy.randomizers(position, seed)) for position, seed in cells]
    pairs.append((blocks, strategy.manifest_randomizers(blocks)))

    for position, (one, two) in pairs:
        assert 0 <= one < position
        assert 0 <= two < position
        assert one != two
    assert len({frozenset(pair) for _, pair in pairs}) == len(pairs)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_short_packs_manifest_takes_no_pair_a_cell_there_could_have_had(name: str) -> None:
    """Every fill level, every set of own seeds: a cell that lay at the manifest's place used another pair."""
    strategy = named(name)
    for position in range(strategy.seeds + strategy.stride, PACK_BLOCKS):
        manifest = frozenset(strategy.manifest_randomizers(position))
        for cell in range(strategy.seeds + strategy.stride - 1, position + 1):
            for own in OWN:
                plan = strategy.plan(cell - strategy.stride + 1, 1, own)
                if plan is not None:
                    assert frozenset(strategy.randomizers(cell, plan.seed)) != manifest


@pytest.mark.parametrize("own", OWN)
def test_a_chain_cell_has_a_randomizer_that_is_not_its_own_bodys(own: frozenset[int]) -> None:
    """Promise 2: even where all but the neutral seed hold the body's bytes."""
    strategy = named("chain")
    for blocks in range(strategy.seeds, PACK_BLOCKS - 1):
        plan = strategy.plan(blocks, 1, own)
        assert plan is not None
        pair = strategy.randomizers(plan.position, plan.seed)
        assert any(at < strategy.seeds and at not in own for at in pair)


@pytest.mark.parametrize("own", OWN)
def test_chain_runs_end_where_the_seed_changes_and_fill_the_pack(own: frozenset[int]) -> None:
    strategy = named("chain")
    runs, blocks = planned(strategy, [(507, own)] * 507)
    assert blocks == PACK_BLOCKS - 1
    assert sum(plan.count for plan in runs) == strategy.cells_max == 507
    assert all(a.seed != b.seed for a, b in itertools.pairwise(runs))
    assert len(runs) <= 5


@pytest.mark.parametrize(("name", "cells"), [("chain", 507), ("uniform", 507), ("fresh", 170)])
def test_full_packs_hold_as_many_cells_as_promised(name: str, cells: int) -> None:
    strategy = named(name)
    runs, blocks = planned(strategy, [(8, OWN[0])] * 600)
    assert sum(plan.count for plan in runs) == strategy.cells_max == cells
    assert strategy.plan(blocks, 1) is None


@settings(max_examples=60)
@given(name=names, pack_id=pack_ids, wanted=wishes, seed=st.integers(0, 2**32), data=st.data())
def test_any_stretch_of_any_run_unmasks_from_the_blocks_named_as_needed(
    name: str, pack_id: PackId, wanted: list[tuple[int, frozenset[int]]], seed: int, data: st.DataObject
) -> None:
    strategy = named(name, pack_id)
    rng = random.Random(seed)
    runs, _ = planned(strategy, wanted)
    blocks, cells = filled(strategy, runs, rng)
    if not runs:
        return
    which = data.draw(st.integers(0, len(runs) - 1))
    plan = runs[which]
    first = data.draw(st.integers(0, plan.count - 1))
    count = data.draw(st.integers(1, plan.count - first))
    position = plan.position + first * plan.stride
    have = set(data.draw(st.lists(st.integers(0, 511), max_size=5)))

    ranges = strategy.needed(position, count, plan.seed, have)

    assert all(start + length < after for (start, length), (after, _) in itertools.pairwise(ranges)), (
        "merged, ascending"
    )
    named_blocks = {at for start, length in ranges for at in range(start, start + length)}
    assert not named_blocks & have

    def block_at(at: int) -> memoryview:
        assert at in named_blocks | have
        return memoryview(blocks[at])

    out = bytearray(count * BLOCK)
    strategy.unmask(position, count, plan.seed, block_at, memoryview(out))
    assert out == cells[which][first * BLOCK : (first + count) * BLOCK]

    if isinstance(strategy, Chain):
        together = bytearray(b"".join(blocks[position - 1 : position + count]))
        mask = memoryview(blocks[plan.seed])
        again = bytearray(len(out))
        Chain.unmask_contiguous(memoryview(together), mask, memoryview(again))
        assert again == out
        Chain.unmask_contiguous(memoryview(together), mask, memoryview(together)[BLOCK:])
        assert together[BLOCK:] == out


@settings(max_examples=40)
@given(name=names, pack_id=pack_ids, wanted=wishes, seed=st.integers(0, 2**32))
def test_the_manifest_unmasks_at_every_fill_level(
    name: str, pack_id: PackId, wanted: list[tuple[int, frozenset[int]]], seed: int
) -> None:
    strategy = named(name, pack_id)
    rng = random.Random(seed)
    runs, position = planned(strategy, wanted)
    if not runs:
        return
    blocks, _ = filled(strategy, runs, rng)
    cell, block, again = rng.randbytes(BLOCK), bytearray(BLOCK), bytearray(BLOCK)

    def block_at(at: int) -> memoryview:
        return memoryview(block) if at == position else memoryview(blocks[at])

    strategy.mask_manifest(position, memoryview(cell), memoryview(block), block_at)
    strategy.unmask_manifest(position, block_at, memoryview(again))

    assert again == cell


@given(pack_id=pack_ids, positions=st.lists(st.integers(4, 511), min_size=1, max_size=20))
def test_uniform_pairs_do_not_depend_on_who_asks_in_which_order(pack_id: PackId, positions: list[int]) -> None:
    one, other = named("uniform", pack_id), named("uniform", pack_id)
    manifests = [one.manifest_randomizers(position) for position in positions]
    pairs = [one.randomizers(position, 0) for position in positions]

    assert [other.randomizers(position, 0) for position in sorted(positions)] == [
        pair for _, pair in sorted(zip(positions, pairs, strict=True))
    ]
    assert [other.manifest_randomizers(position) for position in positions] == manifests


def filled(strategy: Strategy, runs: list[RunPlan], rng: random.Random) -> tuple[list[bytes], list[bytes]]:
    """Blocks of a pack with these runs, and the cells of each run."""
    blocks = [rng.randbytes(BLOCK) for _ in range(strategy.seeds)]
    cells = []

    def noise(into: memoryview) -> None:
        into[:] = rng.randbytes(len(into))

    def block_at(at: int) -> memoryview:
        return memoryview(blocks[at])

    for plan in runs:
        cells.append(rng.randbytes(plan.count * BLOCK))
        out = bytearray(plan.total_blocks * BLOCK)
        strategy.mask_run(plan, memoryview(cells[-1]), memoryview(out), block_at, noise)
        blocks.extend(bytes(out[at : at + BLOCK]) for at in range(0, len(out), BLOCK))
    return blocks, cells
