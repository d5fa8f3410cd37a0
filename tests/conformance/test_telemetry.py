"""Telemetry takes every metric with its labels and keeps what it was told."""

from abc import ABC, abstractmethod

import pytest
from prometheus_client.parser import text_string_to_metric_families

from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
from noisefs.core.ports.telemetry import Counter, Gauge, Histogram, Telemetry

Metric = Counter | Gauge | Histogram


class Case(ABC):
    """An adapter, and a way to ask what it was told."""

    telemetry: Telemetry

    @abstractmethod
    def value(self, metric: Counter | Gauge, labels: tuple[str, ...]) -> float | None:
        """A counter's or gauge's value; ``None`` where nothing was told."""

    @abstractmethod
    def observations(self, histogram: Histogram, labels: tuple[str, ...]) -> tuple[int, float]:
        """How many there were, and their sum."""


class _Memory(Case):
    def __init__(self) -> None:
        self.telemetry: MemoryTelemetry = MemoryTelemetry()

    def value(self, metric: Counter | Gauge, labels: tuple[str, ...]) -> float | None:
        if isinstance(metric, Gauge):
            return self.telemetry.gauged(metric, labels)
        return self.telemetry.counted(metric, labels)

    def observations(self, histogram: Histogram, labels: tuple[str, ...]) -> tuple[int, float]:
        found = self.telemetry.observed(histogram, labels)
        return len(found), sum(found)


class _Prometheus(Case):
    """Asked as a scrape asks."""

    def __init__(self) -> None:
        self.telemetry: PrometheusTelemetry = PrometheusTelemetry()

    def _sample(self, metric: Metric, labels: tuple[str, ...], suffix: str = "") -> float | None:
        wanted = dict(zip(metric.value[2], labels, strict=True))
        for family in text_string_to_metric_families(self.telemetry.exposition().decode()):
            for sample in family.samples:
                if sample.name == metric.value[0] + suffix and sample.labels == wanted:
                    return sample.value
        return None

    def value(self, metric: Counter | Gauge, labels: tuple[str, ...]) -> float | None:
        return self._sample(metric, labels)

    def observations(self, histogram: Histogram, labels: tuple[str, ...]) -> tuple[int, float]:
        return int(self._sample(histogram, labels, "_count") or 0), self._sample(histogram, labels, "_sum") or 0.0


@pytest.fixture(params=[_Memory, _Prometheus], ids=["memory", "prometheus"])
def case(request: pytest.FixtureRequest) -> Case:
    """One of the adapters, new."""
    made: Case = request.param()
    return made


def _labels(metric: Metric, which: str = "a") -> tuple[str, ...]:
    return tuple(f'{which} "{name}"\\\n' for name in metric.value[2])


@pytest.mark.parametrize("counter", list(Counter))
def test_counters_add_up(case: Case, counter: Counter) -> None:
    labels = _labels(counter)
    assert not case.value(counter, labels)
    case.telemetry.count(counter, labels=labels)
    case.telemetry.count(counter, 2.5, labels)
    assert case.value(counter, labels) == 3.5


@pytest.mark.parametrize("gauge", list(Gauge))
def test_gauges_keep_the_last_value(case: Case, gauge: Gauge) -> None:
    labels = _labels(gauge)
    assert not case.value(gauge, labels)
    case.telemetry.gauge(gauge, 3, labels)
    case.telemetry.gauge(gauge, 1, labels)
    assert case.value(gauge, labels) == 1


@pytest.mark.parametrize("histogram", list(Histogram))
def test_histograms_keep_observations(case: Case, histogram: Histogram) -> None:
    labels = _labels(histogram)
    case.telemetry.observe(histogram, 0.5, labels)
    case.telemetry.observe(histogram, 0.25, labels)
    assert case.observations(histogram, labels) == (2, 0.75)


@pytest.mark.parametrize("metric", [next(it for it in kind if it.value[2]) for kind in (Counter, Gauge, Histogram)])
def test_labels_are_kept_apart(case: Case, metric: Metric) -> None:
    for which, amount in (("one", 1.0), ("other", 2.0)):
        labels = _labels(metric, which)
        if isinstance(metric, Counter):
            case.telemetry.count(metric, amount, labels)
        elif isinstance(metric, Gauge):
            case.telemetry.gauge(metric, amount, labels)
        else:
            case.telemetry.observe(metric, amount, labels)
    for which, amount in (("one", 1.0), ("other", 2.0)):
        labels = _labels(metric, which)
        found = case.observations(metric, labels)[1] if isinstance(metric, Histogram) else case.value(metric, labels)
        assert found == amount


def test_names_end_in_a_unit_and_labels_are_distinct() -> None:
    for metric in (*Counter, *Gauge, *Histogram):
        name, text, labels = metric.value[:3]
        assert name.startswith("noisefs_"), name
        assert text, name
        assert len(set(labels)) == len(labels), name
    assert all(counter.value[0].endswith("_total") for counter in Counter)


def test_a_wrong_number_of_labels_is_found_by_tests() -> None:
    with pytest.raises(AssertionError, match="labels"):
        MemoryTelemetry().count(Counter.REQUESTS, labels=("s3",))
