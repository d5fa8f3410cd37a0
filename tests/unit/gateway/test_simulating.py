"""``noisefs cache simulate``."""

import json
from pathlib import Path

import pytest
from backports import zstd
from typer.testing import CliRunner

from noisefs.core.errors import InvalidRequest
from noisefs.gateway.cli.program import program
from tests.support.cache_traces import zipf

POLICIES = ["lru", "s3fifo", "2q", "wtinylfu", "arc", "learned", "belady"]


def text() -> str:
    return "time,id,size\n" + "".join(f"{at},{key},4096\n" for at, key in enumerate(zipf(9000, 800, 1)))


def test_each_policy_and_size_is_a_row_between_lru_and_belady(tmp_path: Path) -> None:
    trace, rows_file, chart = tmp_path / "zipf.csv.zst", tmp_path / "rows.json", tmp_path / "zipf.svg"
    trace.write_bytes(zstd.compress(text().encode()))
    arguments = ["cache", "simulate", str(trace), "--sizes", "5%,100", "--json", str(rows_file), "--plot", str(chart)]
    done = CliRunner().invoke(program(), arguments)
    assert done.exit_code == 0, done.output
    rows = json.loads(rows_file.read_text())
    assert [(row["size"], row["policy"]) for row in rows] == [
        (size, name) for size in ("5%", "100") for name in POLICIES
    ]
    for row in rows:
        assert row["trace"] == "zipf.csv.zst"
        assert (row["requests"], row["seed"]) == (9000, 0)
        if row["policy"] in {"lru", "belady"}:
            assert row["gap_closed"] == (row["policy"] == "belady")
        assert row["gap_closed"] <= 1
    assert chart.read_text().startswith("<svg ")


def test_only_the_wanted_policies_are_replayed(tmp_path: Path) -> None:
    trace = tmp_path / "zipf.csv"
    trace.write_text(text())
    done = CliRunner().invoke(program(), ["cache", "simulate", str(trace), "--sizes", "10%", "--policies", "arc,2q"])
    assert done.exit_code == 0, done.output
    assert "arc" in done.output
    assert "learned" not in done.output


@pytest.mark.parametrize(
    ("name", "content", "more", "message"),
    [
        ("t.csv", b"time,id,size\n0,1,1\n1,1\n", [], "line 3: 2 fields"),
        ("t.csv", b"\xff\xfe", [], "is not text"),
        ("t.csv.zst", b"no zstd", [], "no complete Zstandard file"),
        ("t.csv", b"time,id,size\n0,1,1\n", ["--sizes", "x%"], "cache size of 'x%'"),
        ("t.csv", b"time,id,size\n0,1,1\n", ["--sizes", "-1"], "must be more than 0"),
        ("t.csv", b"time,id,size\n0,1,1\n", ["--policies", "mru"], "no policy 'mru'"),
    ],
)
def test_bad_input_is_told(tmp_path: Path, name: str, content: bytes, more: list[str], message: str) -> None:
    (tmp_path / name).write_bytes(content)
    done = CliRunner().invoke(program(), ["cache", "simulate", str(tmp_path / name), *more])
    assert isinstance(done.exception, InvalidRequest)
    assert message in str(done.exception)


def test_a_trace_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(program(), ["cache", "simulate", str(tmp_path / "none.csv")])
    assert isinstance(done.exception, InvalidRequest)
    assert "cannot be read" in str(done.exception)
