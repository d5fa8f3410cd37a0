"""Whose turn it is not: what failed is left alone for a while of its own, so that it never holds up the others."""

from typing import Final

from noisefs.core.domain.backoff import pause_s
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy

FIRST_S: Final = 2.0
MOST_S: Final = 600.0


class Patience:
    """Failures by key. Belongs to one event loop. Nothing is kept of what never failed."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._failed: dict[bytes, tuple[int, float]] = {}

    def is_ready(self, key: bytes) -> bool:
        """Whether it may be tried now."""
        failed = self._failed.get(key)
        return failed is None or self._clock.monotonic_s() >= failed[1]

    def failed(self, key: bytes) -> float:
        """It failed once more; returns the seconds it is left alone now."""
        failures = self._failed.get(key, (0, 0.0))[0] + 1
        spread = int.from_bytes(self._entropy.secret(2), "big") / 65536
        rest_s = pause_s(failures, spread, first_s=FIRST_S, most_s=MOST_S)
        self._failed[key] = (failures, self._clock.monotonic_s() + rest_s)
        return rest_s

    def worked(self, key: bytes) -> None:
        """It did not fail."""
        self._failed.pop(key, None)

    def forgive(self) -> None:
        """Try everything again at once: there is a node more."""
        self._failed = {key: (failures, 0.0) for key, (failures, _until) in self._failed.items()}

    def keep_only(self, keys: set[bytes]) -> None:
        """Forget all others: they are no more."""
        self._failed = {key: failed for key, failed in self._failed.items() if key in keys}
