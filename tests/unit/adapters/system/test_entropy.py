"""What is particular to noise from AES-CTR: keys change, and a child never repeats its parent."""

import multiprocessing
import os

import pytest

from noisefs.adapters.outbound.system import entropy as module
from noisefs.adapters.outbound.system.entropy import SystemEntropy


def _noise(entropy: SystemEntropy, size: int) -> bytes:
    data = bytearray(size)
    entropy.noise(memoryview(data))
    return bytes(data)


def test_the_key_changes_before_too_much_noise_came_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[bytes] = []
    real = os.urandom
    monkeypatch.setattr(module, "REKEY_BYTES", 100_000)

    def noted(size: int) -> bytes:
        keys.append(real(size))
        return keys[-1]

    monkeypatch.setattr(os, "urandom", noted)
    entropy = SystemEntropy()
    for _ in range(10):
        _noise(entropy, 50_000)
    assert len(keys) >= 2 * 5
    assert len(set(keys)) == len(keys)


def _child(entropy: SystemEntropy, answers: "multiprocessing.SimpleQueue[bytes]") -> None:
    answers.put(_noise(entropy, 64))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_noise_of_its_own() -> None:
    entropy = SystemEntropy()
    _noise(entropy, 64)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_child, args=(entropy, answers))
    child.start()
    theirs = answers.get()
    child.join()
    assert theirs != _noise(entropy, 64)
