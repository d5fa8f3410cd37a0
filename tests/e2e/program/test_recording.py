"""``noisefs cache record`` on a running server: every worker's reads, no names, and a whole file however it ends."""

import csv
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import boto3
import pytest

from tests.e2e.program.test_serving import dav
from tests.e2e.program.test_workers import workers_of
from tests.support.server import ACCESS_KEY, END_LIMIT_S, PROGRAM, SECRET_KEY, RunningServer, clean_environment, noisefs

pytestmark = pytest.mark.e2e

SEGMENT = 131072
SIZES = {"large-secret": 3 * SEGMENT + 5, "small-secret": 700}


def filled(server: RunningServer) -> None:
    """Two objects."""
    assert dav(server.webdav, "MKCOL", "/shared-secret")[0] == 201
    for name, size in SIZES.items():
        assert dav(server.webdav, "PUT", f"/shared-secret/{name}", os.urandom(size))[0] == 201


def read_all(server: RunningServer, times: int) -> None:
    """Each object by both protocols, those over WebDAV on connections of their own, so that all workers get some."""
    client = boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )
    for name, size in [*SIZES.items()] * times:
        assert len(client.get_object(Bucket="shared-secret", Key=name)["Body"].read()) == size
        assert len(dav(server.webdav, "GET", f"/shared-secret/{name}")[1]) == size
    client.close()


def recording(server: RunningServer, file: Path, *flags: str) -> subprocess.Popen[str]:
    """A recorder."""
    return subprocess.Popen(
        [str(PROGRAM), "cache", "record", str(file), "--data", str(server.data), "--json", *flags],
        env=clean_environment(None),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def when_written(server: RunningServer, recorder: subprocess.Popen[str], part: Path) -> None:
    """Read until the recorder has written something."""
    while not part.exists() or not part.stat().st_size:
        assert recorder.poll() is None, recorder.communicate()
        read_all(server, 10)


def ended(recorder: subprocess.Popen[str]) -> dict[str, object]:
    """What it says at its end."""
    out, errors = recorder.communicate(timeout=END_LIMIT_S)
    assert recorder.returncode == 0, errors
    answer: dict[str, object] = json.loads(out)
    return answer


def rows_of(file: Path) -> list[dict[str, str]]:
    """Of a trace that is not compressed."""
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def simulated(file: Path, json_file: Path) -> Sequence[dict[str, object]]:
    """Rows of a replay."""
    done = noisefs("cache", "simulate", str(file), "--policies", "lru,s3fifo", "--sizes", "3", "--json", str(json_file))
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, object]] = json.loads(json_file.read_text())
    return rows


@pytest.mark.parametrize("workers", ["1", "2"])
def test_reads_of_all_workers_and_protocols_are_recorded_and_can_be_simulated(tmp_path: Path, workers: str) -> None:
    file = tmp_path / "trace.csv"
    with RunningServer(tmp_path / "data", "--workers", workers) as server:
        filled(server)
        recorder = recording(server, file, "--reads", "400")
        while recorder.poll() is None:
            read_all(server, 5)
        answer = ended(recorder)
    assert (answer["cells"], answer["lost"], answer["ended_by"]) == (400, 0, "reads")
    rows = rows_of(file)
    assert len(rows) == 400
    assert {row["protocol"] for row in rows} == {"s3", "webdav"}
    assert len({row["id"] for row in rows}) == 5, "four cells and a small object"
    assert len({row["object"] for row in rows}) == 2
    assert {(int(row["position"]), int(row["size"])) for row in rows} >= {(0, SEGMENT + 16), (0, 700 + 16)}
    times = [float(row["time"]) for row in rows]
    assert times == sorted(times)
    assert "secret" not in file.read_text()
    (lru, *_) = simulated(file, tmp_path / "rows.json")
    assert (lru["policy"], lru["requests"]) == ("lru", 400)
    if workers == "2":
        assert [one["worker"] for one in answer["workers"]] == [0, 1]  # type: ignore[attr-defined]  # JSON
        assert all(one["cells"] for one in answer["workers"])  # type: ignore[attr-defined]  # JSON


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_that_is_stopped_is_whole(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "trace.csv.zst"
    with RunningServer(tmp_path / "data") as server:
        filled(server)
        recorder = recording(server, file)
        when_written(server, recorder, tmp_path / ".trace.csv.zst.part")
        recorder.send_signal(number)
        answer = ended(recorder)
        again = recording(server, tmp_path / "again.csv", "--for", "0.1s")  # nobody listens any more
        assert ended(again)["ended_by"] == "duration"
    assert answer["ended_by"] == "signal"
    (row, *_) = simulated(file, tmp_path / "rows.json")
    assert row["requests"] == answer["cells"]


def test_a_server_that_ends_ends_the_recording(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv.zst"
    with RunningServer(tmp_path / "data", "--workers", "2") as server:
        filled(server)
        recorder = recording(server, file)
        when_written(server, recorder, tmp_path / ".trace.csv.zst.part")
    answer = ended(recorder)
    assert answer["ended_by"] == "server"
    (row, *_) = simulated(file, tmp_path / "rows.json")
    assert row["requests"] == answer["cells"]


def test_a_killed_recorder_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    with RunningServer(tmp_path / "data") as server:
        filled(server)
        recorder = recording(server, file)
        when_written(server, recorder, tmp_path / ".trace.csv.part")
        second = recording(server, tmp_path / "second.csv")
        out, _ = second.communicate(timeout=END_LIMIT_S)
        assert (second.returncode, "another recording" in out) == (4, True)
        recorder.kill()
        recorder.communicate()
        assert not file.exists()
        assert not (tmp_path / "second.csv").exists()


def test_a_worker_that_dies_ends_no_recording(tmp_path: Path) -> None:
    """The one that takes its place is listened to as well."""
    file = tmp_path / "trace.csv"
    with RunningServer(tmp_path / "data", "--workers", "2") as server:
        filled(server)
        recorder = recording(server, file, "--reads", "3000")
        part = tmp_path / ".trace.csv.part"
        when_written(server, recorder, part)
        before = workers_of(server)
        os.kill(before[1], signal.SIGKILL)
        while len(workers_of(server)) < 2 or before[1] in workers_of(server):
            with suppress(OSError):  # a connection to the one that died
                dav(server.webdav, "PROPFIND", "/")
        while recorder.poll() is None:
            read_all(server, 5)
        answer = ended(recorder)
    assert (answer["cells"], answer["ended_by"]) == (3000, "reads")
    times = [float(row["time"]) for row in rows_of(file)]
    assert times == sorted(times)
