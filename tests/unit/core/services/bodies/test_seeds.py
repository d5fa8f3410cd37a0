"""Seeds at hand: those of the packs read last, within their bytes."""

from noisefs.core.domain.ids import PackId
from noisefs.core.services.bodies.seeds import LEAST_BYTES, SHARE, Seeds

SIZE = 1 << 20


def pack(number: int) -> PackId:
    """A pack's id."""
    return PackId(number.to_bytes(16, "big"))


def test_the_packs_read_last_keep_their_seeds_within_their_bytes() -> None:
    seeds = Seeds(0)
    most = LEAST_BYTES // SIZE
    for number in range(most):
        seeds.keep(pack(number), 4, {0: memoryview(bytes(SIZE)), 9: memoryview(b"no seed")})
    assert seeds.state() == (most, most, LEAST_BYTES, LEAST_BYTES)
    assert list(seeds.of(pack(0))) == [0]
    seeds.keep(pack(100), 4, {3: memoryview(bytes(SIZE))})
    assert seeds.of(pack(1)) == {}
    assert list(seeds.of(pack(0))) == [0]
    assert seeds.state().bytes <= LEAST_BYTES
    seeds.clear()
    assert seeds.state() == (0, 0, 0, LEAST_BYTES)


def test_a_kept_seed_is_a_copy_and_is_kept_once() -> None:
    seeds, block = Seeds(0), bytearray(SIZE)
    for _ in range(3):
        seeds.keep(pack(1), 4, {2: memoryview(block)})
    block[0] = 1
    assert seeds.of(pack(1))[2][0] == 0
    assert seeds.state().bytes == SIZE


def test_a_large_memory_keeps_more_seeds() -> None:
    assert Seeds(SHARE * 100 * SIZE).state().max_bytes == 100 * SIZE
