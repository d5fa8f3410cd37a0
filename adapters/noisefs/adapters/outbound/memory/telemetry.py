"""Measurements in memory, for tests to read."""

import threading
from collections import defaultdict

from noisefs.core.ports.telemetry import Counter, Gauge, Histogram, Telemetry


class MemoryTelemetry(Telemetry):
    """Keeps every value. Thread-safe. A wrong number of labels is an error here, so that tests find it."""

    def __init__(self) -> None:
        """Nothing measured yet."""
        self._lock = threading.Lock()
        self._counters: defaultdict[tuple[Counter, tuple[str, ...]], float] = defaultdict(float)
        self._gauges: dict[tuple[Gauge, tuple[str, ...]], float] = {}
        self._observed: defaultdict[tuple[Histogram, tuple[str, ...]], list[float]] = defaultdict(list)

    def count(self, counter: Counter, amount: float = 1, labels: tuple[str, ...] = ()) -> None:
        """Add ``amount`` to a counter."""
        assert amount >= 0, f"{counter} cannot go down"
        _check(counter, labels)
        with self._lock:
            self._counters[counter, labels] += amount

    def gauge(self, gauge: Gauge, value: float, labels: tuple[str, ...] = ()) -> None:
        """Set a gauge."""
        _check(gauge, labels)
        with self._lock:
            self._gauges[gauge, labels] = value

    def observe(self, histogram: Histogram, value: float, labels: tuple[str, ...] = ()) -> None:
        """Add one observation to a histogram."""
        _check(histogram, labels)
        with self._lock:
            self._observed[histogram, labels].append(value)

    def counted(self, counter: Counter, labels: tuple[str, ...] | None = None) -> float:
        """A counter's value; over all labels if none are given."""
        with self._lock:
            return sum(v for (c, its), v in self._counters.items() if c is counter and labels in (None, its))

    def gauged(self, gauge: Gauge, labels: tuple[str, ...] = ()) -> float | None:
        """A gauge's value, or ``None`` if it was never set."""
        with self._lock:
            return self._gauges.get((gauge, labels))

    def observed(self, histogram: Histogram, labels: tuple[str, ...] = ()) -> list[float]:
        """Every observation, in order."""
        with self._lock:
            return list(self._observed.get((histogram, labels), ()))


def _check(metric: Counter | Gauge | Histogram, labels: tuple[str, ...]) -> None:
    names = metric.value[2]
    assert len(labels) == len(names), f"{metric} has the labels {names}, got {labels}"
