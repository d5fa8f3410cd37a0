"""Every source of randomness keeps the promises of the port."""

import threading

import pytest

from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.core.ports.entropy import Entropy


@pytest.fixture(params=[SystemEntropy, SeededEntropy])
def entropy(request: pytest.FixtureRequest) -> Entropy:
    """Every adapter."""
    made: Entropy = request.param()
    return made


def _noise(entropy: Entropy, size: int) -> bytes:
    data = bytearray(size)
    entropy.noise(memoryview(data))
    return bytes(data)


def test_secrets_have_their_length_and_never_repeat(entropy: Entropy) -> None:
    secrets = [entropy.secret(16) for _ in range(100)]
    assert {len(secret) for secret in secrets} == {16}
    assert len(set(secrets)) == 100


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 4096, 131_072, 131_087, 131_088, 300_000])
def test_noise_fills_the_whole_buffer_and_nothing_else(entropy: Entropy, size: int) -> None:
    data = bytearray(size + 20)
    entropy.noise(memoryview(data)[10 : 10 + size])
    assert data[:10] == data[10 + size :] == bytes(10)
    if size >= 64:
        pieces = [bytes(data[k : k + 16]) for k in range(10, size - 6, 16)]
        assert len(set(pieces)) == len(pieces)
        assert bytes(16) not in pieces


def test_noise_has_as_many_ones_as_zeros_in_every_bit(entropy: Entropy) -> None:
    data = _noise(entropy, 1 << 16)
    for bit in range(8):
        ones = sum(byte >> bit & 1 for byte in data)
        assert abs(ones - len(data) / 2) < 6 * (len(data) ** 0.5) / 2  # six standard deviations


def test_threads_get_different_noise(entropy: Entropy) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(_noise(entropy, 4096))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 4


def test_the_same_seed_gives_the_same_bytes() -> None:
    def taken(seed: int) -> tuple[bytes, bytes]:
        entropy = SeededEntropy(seed)
        return entropy.secret(16), _noise(entropy, 100)

    assert taken(7) == taken(7) != taken(8)
