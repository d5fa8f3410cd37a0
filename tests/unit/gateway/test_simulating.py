"""``noisefs cache simulate``."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from backports import zstd
from PIL import Image
from typer.testing import CliRunner

from noisefs.core.errors import InvalidRequest, Unavailable
from noisefs.gateway.cli.charts import check_chart, write_chart
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


def rows(*shares: float | None) -> list[dict[str, object]]:
    """Of one size, a row for each share."""
    names = ["lru", "s3fifo", "learned", "<&>", "belady"]
    return [{"size": "1%", "policy": name, "gap_closed": share} for name, share in zip(names, shares, strict=True)]


def test_a_chart_as_png_has_a_bar_for_each_share(tmp_path: Path) -> None:
    path = tmp_path / "chart.PNG"
    write_chart(path, "a trace", rows(0.0, -0.2, 0.5, None, 1.0))
    with Image.open(path) as image:
        assert image.format == "PNG"
        colours = {colour: count for count, colour in image.convert("RGB").getcolors(1 << 16) or []}
    lost, learned, others = (colours[colour] for colour in [(204, 85, 85), (51, 119, 170), (153, 170, 187)])
    assert abs(lost / learned - 0.4) < 0.02
    assert abs(others / learned - 2.0) < 0.02


def test_a_chart_as_svg_is_well_formed_whatever_names_there_are(tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    write_chart(path, "<trace>", rows(0.0, -9.9, 0.5, None, 1.0))
    assert len(ElementTree.parse(path).findall("{*}rect")) == 6


def test_charts_of_other_kinds_are_refused_before_the_replay(tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text(text())
    done = CliRunner().invoke(program(), ["cache", "simulate", str(trace), "--plot", str(tmp_path / "chart.pdf")])
    assert isinstance(done.exception, InvalidRequest)
    assert done.output == ""


def test_without_its_library_png_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "PIL.ImageFont", raising=False)
    with pytest.raises(Unavailable, match="install the extra `plot`"):
        check_chart(tmp_path / "chart.png")


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
