"""What packs give away to somebody who has no key. DESIGN.md section 1, promise 1."""

import random
import zlib

import pytest

from noisefs.core.domain.geometry import STRATEGIES
from tests.support.adversary import chi_square, pair_advantage, shared_windows, undone, xor
from tests.support.packs import Fault, Pack, Store

PAIRS = 400
CHANCE = 4.0
"""Standard deviations within which a guess counts as chance (6e-5 a score, and the seeds are fixed)."""


def text(rng: random.Random, size: int) -> bytes:
    """Bytes as telling as they get: one short line over and over, another one for each body."""
    line = b"%d: the same words again and again. " % rng.randrange(10**6)
    return (line * (size // len(line) + 1))[:size]


def filled_store(strategy: str = "chain", fault: Fault | None = None, seed: int = 1, blocks: int = 300) -> Store:
    """Packs of interleaved bodies of random lengths, with telling plaintext; seeds copied from earlier packs."""
    store = Store(seed, strategy, fault=fault)
    size = store.segment_bytes
    for _ in range(2):
        written = 0
        bodies = []
        while written < blocks:
            segments = store.rng.choice((0, 1, 3, 9, 30))
            bodies.append(
                store.body(text(store.rng, segments * size + store.rng.choice((0, 1, size // 3, size * 7 // 8))))
            )
            written += segments
        store.write(bodies)
        store.finish()
    return store


def cleaned(store: Store) -> tuple[list[Pack], list[Pack]]:
    """The first pack, and what it was moved to twice over (a cleaner's output is cleaned again)."""
    victim = store.packs[0]
    before = len(store.packs)
    store.clean(victim, 1)
    middle = store.packs[before:]
    for pack in middle:
        store.clean(pack, 2)
    return [victim], store.packs[before:]


def stored(packs: list[Pack]) -> list[bytes]:
    """Blocks but for the seeds: which packs share seeds is no secret."""
    return [block for pack in packs for block in pack.blocks[pack.strategy.seeds :]]


def cells(packs: list[Pack]) -> list[bytes]:
    """Every pack undone."""
    return [cell for pack in packs for cell in undone(pack.strategy, pack.blocks)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_shuffled_blocks_do_not_say_which_belong_to_one_object(strategy: str) -> None:
    store = filled_store(strategy)
    held = [(pack.blocks[at], owner) for pack in store.packs for at, owner in pack.owners.items()]
    store.rng.shuffle(held)

    advantage = pair_advantage([block for block, _ in held], [owner for _, owner in held], store.rng, PAIRS)

    assert {name: z for name, z in advantage.items() if abs(z) > CHANCE} == {}


def test_the_same_guesses_succeed_where_a_nonce_repeats_within_a_body() -> None:
    """The guesses are worth something: bare cells under one keystream a body are told apart."""
    rng = random.Random(2)
    blocks, owners = [], []
    for owner in range(20):
        pad, plain = rng.randbytes(4096), text(rng, 10 * 4096)
        for at in range(10):
            blocks.append(xor(plain[at * 4096 : (at + 1) * 4096], pad))
            owners.append(owner)

    advantage = pair_advantage(blocks, owners, rng, PAIRS)

    assert max(advantage.values()) > 5 * CHANCE


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_cleaned_pack_cannot_be_matched_with_its_successor(strategy: str) -> None:
    store = filled_store(strategy, blocks=150)
    old, new = cleaned(store)

    assert len(new) >= 2
    assert shared_windows(stored(old), stored(new)) == 0
    assert shared_windows(cells(old), cells(new)) == 0


@pytest.mark.parametrize("fault", [Fault.NOT_RESEALED, Fault.GENERATION_REPEATED])
def test_a_bad_cleaner_is_found_by_undoing_masks(fault: Fault) -> None:
    """The same comparison matches old and new when bytes move as they are, or a generation repeats."""
    store = filled_store(fault=fault, blocks=150)
    old, new = cleaned(store)

    assert shared_windows(stored(old), stored(new)) == 0, "masks hide it from whoever has no order"
    assert shared_windows(cells(old), cells(new)) > 1000


def test_a_slice_that_is_not_resealed_is_found_among_others() -> None:
    """One short slice is enough: its bytes turn up at another offset of another cell."""
    for fault, found in ((Fault.NOT_RESEALED, True), (None, False)):
        store = Store(3, fault=fault)
        store.write([store.body(store.rng.randbytes(200 + 37 * at)) for at in range(60)])
        store.finish()
        store.write([store.body(store.rng.randbytes(500))])
        store.clean(store.packs[0], 1)
        assert (shared_windows(cells(store.packs[:1]), cells(store.packs[1:])) > 0) is found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_pack_shares_bytes_with_another_one_once_undone(strategy: str) -> None:
    """Bodies of equal plaintext in several packs: neither blocks nor cells have a stretch in common."""
    store = Store(4, strategy)
    plain = text(store.rng, 40 * store.segment_bytes + 700)
    for _ in range(3):
        store.write([store.body(plain), store.body(plain)])
        store.finish()

    for at, one in enumerate(store.packs):
        for other in store.packs[at + 1 :]:
            assert shared_windows(stored([one]), stored([other])) == 0
            assert shared_windows(cells([one]), cells([other])) == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_cell_lies_bare(strategy: str) -> None:
    store = filled_store(strategy, blocks=150)

    assert shared_windows(cells(store.packs), stored(store.packs)) == 0


@pytest.mark.parametrize("fault", [Fault.SAME_RANDOMIZERS, Fault.EQUAL_SEEDS])
def test_randomizers_that_cancel_out_are_found(fault: Fault) -> None:
    """r1 = r2, by position or by content: a cell is found among the blocks as it is."""
    store = filled_store(fault=fault, blocks=150)

    assert shared_windows(cells(store.packs), stored(store.packs)) > 100


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_blocks_of_zeros_are_noise(strategy: str) -> None:
    """All-zero plaintext: byte counts of each block and of all are those of noise, and nothing compresses."""
    store = Store(5, strategy)
    store.write([store.body(bytes(60 * store.segment_bytes + 1000)), store.body(bytes(300))])
    store.finish()
    (pack,) = store.packs

    whole = b"".join(pack.blocks)
    assert all(chi_square(block) < 255 + 6 * 22.6 for block in pack.blocks)
    assert 255 - 5 * 22.6 < chi_square(whole) < 255 + 5 * 22.6
    assert len(zlib.compress(whole, 9)) > len(whole)
