"""Mask strategies: the fixed choices of DESIGN.md section 3, and what is refused."""

import pytest

from noisefs.core.domain.geometry import STRATEGIES
from noisefs.core.domain.ids import PackId
from noisefs.core.domain.masking import Chain, Fresh, RunPlan, Strategy, Uniform, strategy_named
from noisefs.core.domain.masking.chain import band_seed
from noisefs.core.domain.masking.strategy import merged
from noisefs.core.domain.masking.xor import require_distinct, xor_into
from noisefs.core.errors import InvalidArgument, RandomizerReuse

PACK = PackId(b"p" * 16)
KEY = bytes(32)


def named(name: str) -> Strategy:
    return strategy_named(name, pack_id=PACK, prf_key=KEY)


def no_noise(_into: memoryview) -> None:
    raise AssertionError("this strategy needs no noise")


def test_every_strategy_of_the_geometry_exists_under_its_name() -> None:
    assert [named(name).name for name in STRATEGIES] == list(STRATEGIES)


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="chain"):
        named("twist")


def test_chain_masks_cell_0_with_seeds_0_and_3() -> None:
    chain = Chain()
    plan = chain.plan(4, 8)
    assert plan == RunPlan(position=4, count=8, seed=0, stride=1, total_blocks=8)
    assert chain.randomizers(4, 0) == (0, 3)


def test_chain_bands_change_where_the_formula_says() -> None:
    assert [cell for cell in range(1, 507) if band_seed(cell) != band_seed(cell - 1)] == [127, 254, 381]


def test_chain_keeps_cell_0_on_seed_0_when_that_is_its_own() -> None:
    """Seed 3 is the block before it already, and neutral, so the tuple does not stand on its object alone."""
    chain, own = Chain(), frozenset({0})
    assert chain.plan(4, 8, own) == RunPlan(4, 1, 0, 1, 1)
    assert chain.plan(5, 8, own) == RunPlan(5, 8, 3, 1, 8)


def test_chain_stays_on_seed_3_over_bands_that_are_all_own() -> None:
    plan = Chain().plan(5, 507, frozenset({0, 1, 2}))
    assert plan is not None
    assert (plan.seed, plan.count) == (3, 506)


@pytest.mark.parametrize("position", range(4, 512))
def test_chain_manifest_uses_neither_the_band_seed_nor_seed_3(position: int) -> None:
    seed, before = Chain().manifest_randomizers(position)
    assert before == position - 1
    assert seed not in {band_seed(position - 4), 3}


def test_chain_reads_a_run_with_its_seed_and_the_block_before() -> None:
    chain = Chain()
    assert chain.needed(100, 3, 0) == [(0, 1), (99, 4)]
    assert chain.needed(100, 3, 0, {0, 101}) == [(99, 2), (102, 1)]
    assert chain.needed(4, 1, 0) == [(0, 1), (3, 2)]


def test_fresh_brings_two_noise_blocks_for_each_cell() -> None:
    fresh = Fresh()
    plan = fresh.plan(6, 2)
    assert plan == RunPlan(position=8, count=2, seed=0, stride=3, total_blocks=6)
    assert plan.start == 6
    assert fresh.needed(8, 2, 0) == [(6, 6)]
    noise = iter([b"\1" * 8 + b"\2" * 8, b"\3" * 8 + b"\4" * 8])

    def fill(into: memoryview) -> None:
        into[:] = next(noise)

    out = bytearray(48)
    fresh.mask_run(RunPlan(2, 2, 0, 3, 6), memoryview(b"\xf0" * 16), memoryview(out), _nowhere, fill)
    assert [out[at] for at in range(0, 48, 8)] == [1, 2, 0xF3, 3, 4, 0xF7]


def _nowhere(position: int) -> memoryview:
    raise AssertionError(position)


def test_uniform_depends_on_pack_and_key() -> None:
    pairs = {
        tuple(Uniform(pack_id, key).randomizers(at, 0) for at in range(100, 120))
        for pack_id in (PACK, PackId(b"q" * 16))
        for key in (KEY, b"k" * 32)
    }
    assert len(pairs) == 4


def test_uniform_reaches_the_whole_pack() -> None:
    """Randomizers come from anywhere: every seed is used, and late cells use early and late blocks alike."""
    uniform = Uniform(PACK, KEY)
    used = [at for position in range(4, 512) for at in uniform.randomizers(position, 0)]
    assert set(range(4)) <= set(used)
    late = [at for position in range(400, 512) for at in uniform.randomizers(position, 0)]
    assert sum(at < 200 for at in late) > 50
    assert sum(at >= 200 for at in late) > 50


@pytest.mark.parametrize(("pack_id", "key"), [(b"short", KEY), (PACK, b"short")])
def test_uniform_refuses_other_lengths(pack_id: bytes, key: bytes) -> None:
    with pytest.raises(InvalidArgument):
        Uniform(PackId(pack_id), key)


@pytest.mark.parametrize(("name", "blocks"), [("chain", 3), ("uniform", 3), ("fresh", -1)])
def test_no_cell_goes_before_the_seeds(name: str, blocks: int) -> None:
    with pytest.raises(InvalidArgument):
        named(name).plan(blocks, 1)
    with pytest.raises(InvalidArgument):
        named(name).plan(10, 0)


@pytest.mark.parametrize(("name", "position"), [("chain", 3), ("uniform", 3), ("uniform", 512), ("fresh", 1)])
def test_positions_without_two_earlier_blocks_are_refused(name: str, position: int) -> None:
    with pytest.raises(InvalidArgument):
        named(name).randomizers(position, 0)
    with pytest.raises(InvalidArgument):
        named(name).manifest_randomizers(position)


def test_chain_refuses_a_seed_it_does_not_have() -> None:
    with pytest.raises(InvalidArgument):
        Chain().randomizers(10, 4)


def test_equal_randomizers_are_refused_by_position() -> None:
    """A run row that says seed 3 for cell 0 would use block 3 twice."""
    cells = memoryview(bytes(16))
    with pytest.raises(RandomizerReuse):
        Chain().mask_run(RunPlan(4, 1, 3, 1, 1), cells, memoryview(bytearray(16)), lambda _at: cells, no_noise)


@pytest.mark.parametrize("name", ["chain", "uniform"])
def test_equal_randomizers_are_refused_by_content(name: str) -> None:
    same = memoryview(b"s" * 64)
    plan = named(name).plan(4, 1)
    assert plan is not None
    with pytest.raises(RandomizerReuse):
        named(name).mask_run(plan, memoryview(bytes(64)), memoryview(bytearray(64)), lambda _at: same, no_noise)
    with pytest.raises(RandomizerReuse):
        named(name).mask_manifest(5, memoryview(bytes(64)), memoryview(bytearray(64)), lambda _at: same)


def test_noise_that_repeats_itself_is_refused() -> None:
    def stuck(into: memoryview) -> None:
        into[:] = b"\7" * len(into)

    def halves(into: memoryview) -> None:
        into[:] = b"\7" * (len(into) // 2) + b"\x09" * (len(into) // 2)

    run = RunPlan(2, 1, 0, 3, 3)
    with pytest.raises(RandomizerReuse):
        Fresh().mask_run(run, memoryview(bytes(16)), memoryview(bytearray(48)), _nowhere, stuck)
    Fresh().mask_run(run, memoryview(bytes(16)), memoryview(bytearray(48)), _nowhere, halves)


def test_a_block_that_equals_the_seed_is_refused_in_the_middle_of_a_run() -> None:
    """A cell that equals the block before makes a block like the seed, which would cancel out in the next cell."""
    seed, before = memoryview(b"s" * 16), memoryview(b"b" * 16)
    with pytest.raises(RandomizerReuse):
        Chain().mask_run(
            RunPlan(10, 2, 0, 1, 2),
            memoryview(bytes(before) + bytes(16)),
            memoryview(bytearray(32)),
            lambda at: before if at == 9 else seed,
            no_noise,
        )


@pytest.mark.parametrize("name", STRATEGIES)
def test_buffers_of_wrong_lengths_are_refused(name: str) -> None:
    strategy = named(name)
    plan = strategy.plan(max(strategy.seeds, 3), 2)
    assert plan is not None
    block = memoryview(bytes(16))
    for cells, out in ((33, 16 * plan.total_blocks), (32, 16 * plan.total_blocks - 8), (0, 0)):
        with pytest.raises(InvalidArgument):
            strategy.mask_run(plan, memoryview(bytes(cells)), memoryview(bytearray(out)), lambda _at: block, no_noise)
    with pytest.raises(InvalidArgument):
        strategy.unmask(plan.position, 2, plan.seed, lambda _at: block, memoryview(bytearray(33)))


@pytest.mark.parametrize(("blocks", "seed", "out"), [(48, 16, 48), (48, 0, 48), (40, 16, 24)])
def test_unmask_contiguous_refuses_lengths_that_do_not_fit(blocks: int, seed: int, out: int) -> None:
    with pytest.raises(InvalidArgument):
        Chain.unmask_contiguous(memoryview(bytes(blocks)), memoryview(bytes(seed)), memoryview(bytearray(out)))


def test_xor_may_write_over_an_operand() -> None:
    one = bytearray(b"\x0f" * 8)
    xor_into(memoryview(one), memoryview(one), memoryview(b"\xff" * 8), memoryview(b"\x01" * 8))
    assert one == b"\xf1" * 8


@pytest.mark.parametrize("operands", [[b"a" * 8], [b"a" * 8, b"b" * 16], [b"a" * 4, b"b" * 4]])
def test_xor_refuses_what_it_cannot_combine(operands: list[bytes]) -> None:
    with pytest.raises(InvalidArgument):
        xor_into(memoryview(bytearray(len(operands[0]))), *(memoryview(operand) for operand in operands))


def test_blocks_that_only_begin_alike_are_distinct() -> None:
    require_distinct([memoryview(b"a" * 40), memoryview(b"a" * 39 + b"b")])
    with pytest.raises(RandomizerReuse):
        require_distinct([memoryview(b"a" * 40), memoryview(b"b" * 40), memoryview(b"a" * 40)])


def test_ranges_are_merged() -> None:
    assert merged([5, 1, 2, 3, 7]) == [(1, 3), (5, 1), (7, 1)]
    assert merged([]) == []


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_masks_blocks_from_before_them_is_known(name: str) -> None:
    """A node that has the blocks and these can undo every mask, whatever seeds the runs had."""
    strategy = named(name)
    blocks = strategy.seeds
    starts = [0, blocks]
    runs = []
    for wanted in (1, 8, 3, 8, 8):
        plan = strategy.plan(blocks, wanted, frozenset({0}))
        assert plan is not None
        runs.append(plan)
        blocks += plan.total_blocks
        starts.append(blocks)
    for first in starts[:-1]:
        have = {*strategy.masks_before(first, blocks - first), *range(first, blocks)}
        for plan in runs:
            if plan.start >= first:
                for start, count in strategy.needed(plan.position, plan.count, plan.seed):
                    assert have.issuperset(range(start, start + count))


def test_chain_is_masked_from_before_by_its_seeds_and_one_block() -> None:
    assert Chain().masks_before(100, 20) == [0, 1, 2, 3, 99]
    assert Chain().masks_before(0, 20) == []


def test_a_chain_needs_what_the_law_of_strategies_says_it_needs() -> None:
    """It reckons with ranges where the law looks at every cell."""
    chain = Chain()
    for position in [*range(4, 12), 100, 509]:
        for count in (1, 2, 8):
            for seed in range(4):
                for have in (set[int](), {0, 1}, {seed}, {0, 1, 2, 3}, {position}):
                    assert chain.needed(position, count, seed, have) == Strategy.needed(
                        chain, position, count, seed, have
                    )
