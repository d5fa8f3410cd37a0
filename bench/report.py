"""Tables for people (Markdown) and figures for programs (JSON)."""

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.ceiling import Ceiling
from bench.cells import CELLS
from bench.rounds import Measure, medians

_OURS = "noisefs"
# Targets over S3: ahead of every peer here, ahead of MinIO there, 0.6 x versitygw elsewhere.
_AHEAD_OF_ALL = {"put4k", "get4k", "range", "list", "delete4k"}
_AHEAD_OF_MINIO = {"put4k", "put70k", "put1m", "put64m", "get1m"}
_SHARE_OF_VERSITYGW = 0.6
# Over WebDAV: ahead of rclone everywhere, and this share of what Apache does.
_SHARE_OF_APACHE = {"dav-put4k": 1.0, "dav-list": 1.0, "dav-list20k": 1.0, "dav-put1m": 0.8, "dav-put64m": 0.8}
_FIRST_BYTE_MS = {"dav-list20k": 100.0}


def _figure(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}".lstrip("0")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def comparison(found: Sequence[Measure], protocol: str, show: Callable[[Measure], str]) -> str:
    """One table: a row per cell of ``protocol``, a column per server."""
    peers = list(dict.fromkeys(one.peer for one in found))
    by_place = {(one.cell, one.peer): one for one in found}
    cells = [cell for cell in CELLS if cell.protocol == protocol and any(one.cell == cell.name for one in found)]
    peers = [peer for peer in peers if any((cell.name, peer) in by_place for cell in cells)]
    if not cells:
        return ""
    rows = []
    for cell in cells:
        shown = [show(by_place[cell.name, peer]) if (cell.name, peer) in by_place else "–" for peer in peers]
        rows.append([cell.title, *shown])
    return _table([protocol, *peers], rows)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """One target: our rate over the rate it is held against, or the time allowed over the time taken."""

    cell: str
    against: str
    ratio: float
    wanted: float

    @property
    def reached(self) -> bool:
        """Whether the ratio is at least what is wanted."""
        return self.ratio >= self.wanted


def verdicts(found: Sequence[Measure]) -> list[Verdict]:
    """The speed targets that this run can judge; peers whose answers were wrong do not count."""
    rates = {(one.cell, one.peer): one.ops_per_s for one in found if not one.errors}
    judged = []
    for cell in CELLS:
        ours = rates.get((cell.name, _OURS))
        if ours is None:
            continue
        peers = {peer: rate for (name, peer), rate in rates.items() if name == cell.name and not peer.startswith(_OURS)}
        if cell.name in _AHEAD_OF_ALL and peers:
            best = max(peers, key=peers.__getitem__)
            judged.append(Verdict(cell.name, best, ours / peers[best], 1.0))
        if cell.name in _AHEAD_OF_MINIO and "minio" in peers:
            judged.append(Verdict(cell.name, "minio", ours / peers["minio"], 1.0))
        if cell.name not in _AHEAD_OF_ALL and "versitygw" in peers:
            judged.append(Verdict(cell.name, "versitygw", ours / peers["versitygw"], _SHARE_OF_VERSITYGW))
        if "rclone-webdav" in peers:
            judged.append(Verdict(cell.name, "rclone-webdav", ours / peers["rclone-webdav"], 1.0))
        if cell.name in _SHARE_OF_APACHE and "apache-dav" in peers:
            judged.append(Verdict(cell.name, "apache-dav", ours / peers["apache-dav"], _SHARE_OF_APACHE[cell.name]))
    for one in found:
        limit_ms = _FIRST_BYTE_MS.get(one.cell)
        if one.peer == _OURS and limit_ms and one.first_ms:
            judged.append(Verdict(one.cell, f"first byte in {limit_ms:g} ms", limit_ms / one.first_ms, 1.0))
    return judged


def markdown(
    measures: Sequence[Measure], ceilings: Sequence[Ceiling], versions: dict[str, str], seconds: float, rounds: int
) -> str:
    """The whole report."""
    found = medians(measures)
    parts = [
        f"# Benchmark, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        (
            f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}; medians of {rounds} "
            f"interleaved rounds of {seconds:g} s a cell, one server alive at a time, same disk, same client."
        ),
        "\n".join(f"- {name}: {version}" for name, version in versions.items()),
    ]
    titles: list[tuple[str, Callable[[Measure], str]]] = [
        ("Operations per second (server CPU ms per operation)", _rate),
        ("Latency p50 / p99, ms", lambda one: f"{_figure(one.p50_ms)} / {_figure(one.p99_ms)}"),
        ("First byte of the answer, p50, ms", lambda one: _figure(one.first_ms) if one.first_ms else "–"),
        ("MiB per second", lambda one: _figure(one.mib_per_s) if one.mib_per_s else "–"),
        (
            "Server CPU seconds per GiB, deferred work included",
            lambda one: _figure(one.cpu_s_per_gib) if one.cpu_s_per_gib else "–",
        ),
        (
            "Deferred: server CPU ms per operation after the last answer",
            lambda one: _figure(one.deferred_cpu_ms) if one.deferred_cpu_ms else "–",
        ),
        ("Peak RSS, MiB", lambda one: _figure(one.peak_rss_mib)),
        ("Client's share of one core", lambda one: f"{one.client_share:.0%}"),
    ]
    for title, show in titles:
        tables = [text for text in (comparison(found, protocol, show) for protocol in ("s3", "webdav")) if text]
        parts += [f"## {title}", *tables]
    if judged := verdicts(found):
        rows = [
            [v.cell, v.against, f"{v.ratio:.2f}", f"{v.wanted:.2f}", "yes" if v.reached else "**no**"] for v in judged
        ]
        parts += ["## Targets", _table(["cell", "against", "ratio", "wanted", "reached"], rows)]
    if wrong := [one for one in found if one.errors]:
        rows = [[one.cell, one.peer, f"{one.errors:.0f}", one.note.replace("|", "/")[:160]] for one in wrong]
        parts += ["## Wrong answers", _table(["cell", "server", "count", "first"], rows)]
    if ceilings:
        rows = [[one.shape, _figure(one.ops_per_s), _figure(one.client_cpu_us)] for one in ceilings]
        parts += [
            "## The client's own ceiling (against a server that only answers)",
            _table(["shape", "ops/s", "client CPU µs/op"], rows),
        ]
    return "\n\n".join(parts) + "\n"


def _rate(one: Measure) -> str:
    return f"{_figure(one.ops_per_s)} ({_figure(one.server_cpu_ms)})" + (" !" if one.errors else "")


def write(
    folder: Path,
    *,
    measures: Sequence[Measure],
    ceilings: Sequence[Ceiling],
    versions: dict[str, str],
    seconds: float,
    rounds: int,
) -> Path:
    """Write ``<time>.md`` and ``<time>.json`` into ``folder``; returns the Markdown's path."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    content = {
        "versions": versions,
        "seconds": seconds,
        "rounds": rounds,
        "medians": [dataclasses.asdict(one) for one in medians(measures)],
        "measures": [dataclasses.asdict(one) for one in measures],
        "verdicts": [dataclasses.asdict(one) | {"reached": one.reached} for one in verdicts(medians(measures))],
        "ceiling": [dataclasses.asdict(one) for one in ceilings],
    }
    (folder / f"{stem}.json").write_text(json.dumps(content, indent=1) + "\n")
    page = folder / f"{stem}.md"
    page.write_text(markdown(measures, ceilings, versions, seconds, rounds))
    return page
