"""``noisefs cache record``: the file, and lines of several processes in one order. See also the e2e test."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from noisefs.core.domain.caching.replaying.trace import read_trace
from noisefs.core.errors import DiskFull, FileExists, InvalidRequest
from noisefs.gateway.cli.program import program
from noisefs.gateway.cli.recording import _Written
from noisefs.gateway.cli.trace_files import TraceFile, lines_of
from tests.support.server import noisefs

HEADER = "time,id,size,object,position,protocol,sequential\n"


def row(time_us: int, name: str = "a") -> tuple[int, str]:
    """A line, its time apart."""
    return time_us, f"{name},10,o,0,s3,0"


def written(
    *turns: tuple[list[tuple[int, str]], int | None], limit_us: int | None = None, most: int | None = None
) -> tuple[str, list[str]]:
    """What became of these turns: the end, and time and id of each line."""
    lines: list[str] = []
    out = _Written(lines.append, 1_000_000, limit_us, most)
    for rows, until_us in turns:
        out.add(rows, until_us)
    text = "".join(lines)
    assert text.startswith(HEADER)
    if out.rows:
        assert len(read_trace(text.splitlines()).accesses) == out.rows
    return out.done, [",".join(line.split(",")[:2]) for line in text.splitlines()[1:]]


def test_lines_of_several_processes_come_in_the_order_of_their_time() -> None:
    first = [row(1_500_000, "b"), row(1_100_000, "a"), row(1_900_000, "d")]
    second = [row(1_800_000, "c"), row(2_500_000, "f"), row(2_000_000, "e")]
    done, lines = written((first, 1_600_000), (second, 2_100_000))
    assert done == ""
    assert lines == ["0.100000,a", "0.500000,b", "0.800000,c", "0.900000,d", "1.000000,e"]


def test_who_tells_late_does_not_break_the_order() -> None:
    assert written(([row(1_500_000)], 2_000_000), ([row(1_200_000, "late")], None))[1] == [
        "0.500000,a",
        "0.500000,late",
    ]


def test_a_recording_ends_at_its_limits() -> None:
    rows = [row(1_000_000 + 100_000 * number, str(number)) for number in range(20)]
    done, lines = written((rows, 3_000_000), limit_us=1_000_000)
    assert (done, len(lines)) == ("duration", 11)
    done, lines = written((rows[:7], 1_700_000), (rows[7:], 3_000_000), most=9)
    assert (done, len(lines), lines[-1]) == ("reads", 9, "0.800000,8")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.zst"])
def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with TraceFile(path) as trace:
        trace.write("time,id,size\n")
        trace.write("0,a,1\n" * 10_000)
        assert not path.exists()
        trace.finish()
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert path.stat().st_mode & 0o777 == 0o600
    with lines_of(path) as lines:
        assert len(list(lines)) == 10_001


@pytest.mark.parametrize("name", ["t.csv", "t.csv.zst"])
def test_nothing_is_left_of_a_file_that_is_not_finished(tmp_path: Path, name: str) -> None:
    with suppress(KeyboardInterrupt), TraceFile(tmp_path / name) as trace:
        trace.write("0,a,1\n" * 100_000)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """No file may grow beyond this: as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.zst"])
def test_a_full_disk_leaves_no_file(tmp_path: Path, name: str) -> None:
    def fill() -> None:
        with TraceFile(tmp_path / name) as trace:
            for number in range(200_000):
                trace.write(f"{number},{hash(number * 7919)},1\n")
            trace.finish()

    with small_files(1 << 16), pytest.raises(DiskFull):
        fill()
    assert not list(tmp_path.iterdir())


def test_no_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with TraceFile(path) as trace:
        path.write_text("another")
        with pytest.raises(FileExists):
            trace.finish()
    with pytest.raises(FileExists):
        TraceFile(path)
    assert path.read_text() == "another"
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


def test_what_a_killed_recording_left_is_no_trace_and_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".t.csv.part").write_text("half of")
    with TraceFile(tmp_path / "t.csv") as trace:
        trace.write("whole")
        trace.finish()
    assert (tmp_path / "t.csv").read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["t.txt"], "ends in .csv or .csv.zst"),
        (["t.csv", "--for", "soon"], "a duration of 'soon'"),
        (["t.csv", "--for", "0s"], "a duration of '0s'"),
    ],
)
def test_bad_wishes_are_told(tmp_path: Path, arguments: list[str], message: str) -> None:
    data = tmp_path / "data"
    noisefs("init", "--data", str(data))
    done = CliRunner().invoke(program(), ["cache", "record", *arguments, "--data", str(data)])
    assert isinstance(done.exception, InvalidRequest)
    assert message in str(done.exception)


def test_without_a_server_there_is_nothing_to_record(tmp_path: Path) -> None:
    data, path = tmp_path / "data", tmp_path / "t.csv"
    noisefs("init", "--data", str(data))
    done = noisefs("cache", "record", str(path), "--data", str(data), "--json")
    assert (done.returncode, "no server runs" in done.stdout) == (7, True)
    assert not path.exists()
