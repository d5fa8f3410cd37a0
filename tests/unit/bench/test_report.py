"""Medians, targets and tables."""

import dataclasses
import json
from pathlib import Path

from bench import report
from bench.rounds import Measure, medians, percentile
from bench.servers import parse_metrics


def measure(cell: str, peer: str, rate: float, number: int = 0, errors: int = 0) -> Measure:
    return Measure(
        cell=cell,
        peer=peer,
        round=number,
        count=100,
        ops_per_s=rate,
        mib_per_s=rate / 256,
        p50_ms=1,
        p99_ms=2,
        server_cpu_ms=0.1,
        deferred_cpu_ms=0,
        cpu_s_per_gib=1,
        peak_rss_mib=50,
        client_share=0.1,
        errors=errors,
        note="bad" if errors else "",
    )


def test_medians_are_per_cell_and_server_and_add_up_errors() -> None:
    found = medians([measure("put4k", "noisefs", rate, errors=rate == 900) for rate in (100, 900, 300)])
    assert len(found) == 1
    assert (found[0].ops_per_s, found[0].errors, found[0].note) == (300, 1, "bad")


def test_percentiles_stay_inside() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 51
    assert percentile(values, 0.99) == 100
    assert percentile([7.0], 0.99) == 7.0


def test_targets_are_judged_against_the_best_peer_minio_and_versitygw() -> None:
    found = [
        measure("put4k", "noisefs", 500),
        measure("put4k", "noisefs-2", 9000),
        measure("put4k", "minio", 400),
        measure("put4k", "versitygw", 1000),
        measure("put64m", "noisefs", 7),
        measure("put64m", "versitygw", 10),
    ]
    judged = {(one.cell, one.against): one for one in report.verdicts(found)}
    assert set(judged) == {("put4k", "versitygw"), ("put4k", "minio"), ("put64m", "versitygw")}
    assert not judged["put4k", "versitygw"].reached
    assert judged["put4k", "minio"].reached
    assert judged["put64m", "versitygw"].reached


def test_webdav_has_targets_of_its_own() -> None:
    found = [
        measure("dav-put1m", "noisefs", 85),
        measure("dav-put1m", "apache-dav", 100),
        measure("dav-put1m", "rclone-webdav", 90),
        dataclasses.replace(measure("dav-list20k", "noisefs", 5), first_ms=50.0),
        dataclasses.replace(measure("dav-list20k", "apache-dav", 4), first_ms=1.0),
        dataclasses.replace(measure("dav-list20k", "wsgidav", 50), first_ms=1.0),
    ]
    judged = {(one.cell, one.against): (one.ratio, one.wanted, one.reached) for one in report.verdicts(found)}
    assert judged == {
        ("dav-put1m", "rclone-webdav"): (85 / 90, 1.0, False),
        ("dav-put1m", "apache-dav"): (0.85, 0.8, True),
        ("dav-list20k", "apache-dav"): (1.25, 1.0, True),
        ("dav-list20k", "first byte in 100 ms"): (2.0, 1.0, True),
    }


def test_a_peer_that_answered_wrongly_is_no_target() -> None:
    found = [measure("get4k", "noisefs", 5), measure("get4k", "minio", 50, errors=1)]
    assert report.verdicts(found) == []


def test_both_files_are_written(tmp_path: Path) -> None:
    measures = [measure("put4k", "noisefs", 500), measure("dav-get4k", "apache-dav", 400, errors=3)]
    page = report.write(
        tmp_path, measures=measures, ceilings=[], versions={"noisefs": "noisefs 0.1"}, seconds=1, rounds=1
    )
    text = page.read_text()
    assert "| PUT 4 KiB, 8 conn. | 500 (.100) |" in text
    assert "## Wrong answers" in text
    assert json.loads(page.with_suffix(".json").read_text())["medians"][0]["ops_per_s"] == 500


def test_metrics_are_summed_by_name() -> None:
    text = '# HELP x y\nx_total{tier="hot"} 2\nx_total{tier="warm"} 3.5\ny 1\n'
    assert parse_metrics(text) == {'x_total{tier="hot"}': 2, 'x_total{tier="warm"}': 3.5, "x_total": 5.5, "y": 1}
