"""Telemetry takes every metric with its labels and keeps what it was told."""

import pytest

from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.core.ports.telemetry import Counter, Gauge, Histogram


def _labels(metric: Counter | Gauge | Histogram) -> tuple[str, ...]:
    return tuple(f"a {name}" for name in metric.value[2])


@pytest.mark.parametrize("counter", list(Counter))
def test_counters_add_up(counter: Counter) -> None:
    telemetry = MemoryTelemetry()
    assert telemetry.counted(counter) == 0
    telemetry.count(counter, labels=_labels(counter))
    telemetry.count(counter, 2.5, _labels(counter))
    assert telemetry.counted(counter) == telemetry.counted(counter, _labels(counter)) == 3.5


@pytest.mark.parametrize("gauge", list(Gauge))
def test_gauges_keep_the_last_value(gauge: Gauge) -> None:
    telemetry = MemoryTelemetry()
    assert telemetry.gauged(gauge, _labels(gauge)) is None
    telemetry.gauge(gauge, 3, _labels(gauge))
    telemetry.gauge(gauge, 1, _labels(gauge))
    assert telemetry.gauged(gauge, _labels(gauge)) == 1


@pytest.mark.parametrize("histogram", list(Histogram))
def test_histograms_keep_observations(histogram: Histogram) -> None:
    telemetry = MemoryTelemetry()
    telemetry.observe(histogram, 0.5, _labels(histogram))
    telemetry.observe(histogram, 0.25, _labels(histogram))
    assert telemetry.observed(histogram, _labels(histogram)) == [0.5, 0.25]


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
