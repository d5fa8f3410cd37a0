"""The parts of the checks that need no server."""

import cProfile
import os
from pathlib import Path

from bench.disk import sync_ms
from bench.findings import Finding, write
from bench.mixes import MIXES, generate
from bench.profiling import _from_pstats, _from_stacks
from bench.space import disk_bytes


def test_mixes_are_the_same_every_time_and_scale() -> None:
    whole, tenth = generate(1.0), generate(0.1)
    assert whole == generate(1.0)
    assert set(whole) == set(MIXES)
    for name, sizes in tenth.items():
        assert list(sizes) == list(whole[name])[: len(sizes)]


def test_a_finding_tells_whether_its_promise_holds(tmp_path: Path) -> None:
    page = write(tmp_path, Finding("x", "A title", ["what", "value"], [["a", 1.5], ["b", 2.0]], holds=False))
    assert page.read_text().splitlines()[:5] == ["## A title", "", "**DOES NOT HOLD**", "", "| what | value |"]
    assert "| a | 1.5 |" in page.read_text()
    assert page.with_suffix(".json").exists()


def test_stacks_become_own_and_whole_shares(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_text("thread (0x1);outer (a.py:1);inner (a.py:7) 3\nthread (0x1);outer (a.py:2) 1\n")
    rows = {str(name): (own, whole) for name, own, whole in _from_stacks(raw)}
    assert rows["outer (a.py)"] == (25, 100)
    assert rows["inner (a.py)"] == (75, 75)


def test_a_profile_of_cprofile_is_read_too(tmp_path: Path) -> None:
    profile = cProfile.Profile()
    profile.runcall(sorted, range(1000))
    profile.dump_stats(tmp_path / "raw")
    assert any("sorted" in str(row[0]) for row in _from_pstats(tmp_path / "raw"))


def test_a_sync_takes_time_and_leaves_nothing(tmp_path: Path) -> None:
    assert sync_ms(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_disk_bytes_count_blocks_not_lengths(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        os.ftruncate(file.fileno(), 1 << 30)
    (tmp_path / "full").write_bytes(bytes(1 << 20))
    assert 1 << 20 <= disk_bytes(tmp_path) < 1 << 21
