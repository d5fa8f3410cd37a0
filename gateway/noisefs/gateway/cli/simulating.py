"""``noisefs cache simulate``: replay a trace of reads through every policy."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from noisefs.core.errors import InvalidRequest
from noisefs.gateway.cli import output
from noisefs.gateway.cli.charts import check_chart, write_chart

if TYPE_CHECKING:
    from noisefs.core.domain.caching.replaying.trace import Trace

_LEARNED: Final = "learned"
_BELADY: Final = "belady"


def simulate(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="CSV or CSV.zst with the columns time,id,size.")],
    *,
    sizes: Annotated[
        str, typer.Option("--sizes", help="Cache sizes, in percent of the distinct objects or as numbers of them.")
    ] = "1%,10%",
    policies: Annotated[
        str | None, typer.Option("--policies", help="Of lru, s3fifo, 2q, wtinylfu, arc, learned; default: all.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the learned policy's random choices.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write one row per policy.")] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the rows, as .svg, or with the extra `plot` as .png."),
    ] = None,
) -> None:
    """Replay a trace through every policy, and print what share of the gap from LRU to Belady's bound each closes.

    Every object counts as 1, since Belady's bound is exact only then; missed bytes are told besides. The learned
    policy trains as it goes, from what it has seen. Sizes are shares of the number of distinct objects.
    """
    from noisefs.core.domain.caching.replaying.replay import FIXED

    known = [*FIXED, _LEARNED]
    chosen = known if policies is None else [name.strip() for name in policies.split(",")]
    for name in chosen:
        if name not in known:
            raise InvalidRequest(f"no policy {name!r}: there are {', '.join(known)}")
    if plot is not None:
        check_chart(plot)
    read = _read(trace)
    capacities = [(size.strip(), _capacity(size.strip(), read.objects)) for size in sizes.split(",")]
    rows: list[dict[str, object]] = []
    for size, capacity in capacities:
        rows.extend(_replay(trace.name, read, size, capacity, chosen, seed))
    shown = [{**row, "gap_closed": _percent(row["gap_closed"])} for row in rows]
    output.show(shown, as_json=False)
    if json_file is not None:
        json_file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if plot is not None:
        write_chart(plot, trace.name, rows)


def _percent(share: object) -> str:
    return f"{share * 100:.1f} %" if isinstance(share, float) else "-"


def _replay(
    name: str, trace: "Trace", size: str, capacity: int, policies: Sequence[str], seed: int
) -> Iterator[dict[str, object]]:
    from noisefs.adapters.outbound.lightgbm.trainer import LightGbmTrainer
    from noisefs.core.domain.caching.fixed.lru import Lru
    from noisefs.core.domain.caching.replaying.belady import belady_misses, next_reads
    from noisefs.core.domain.caching.replaying.replay import FIXED, Replayed, gap_closed, replay_fixed, replay_learned

    sizes = [access.size_bytes for access in trace.accesses]
    accesses = [access._replace(size_bytes=1) for access in trace.accesses]
    ids = trace.ids.tolist()
    best = belady_misses(ids, next_reads(trace.ids).tolist(), capacity)
    lru = replay_fixed(Lru(capacity), accesses, sizes)

    def row(policy: str, misses: int, missed_bytes: int | None, **more: object) -> dict[str, object]:
        return {
            "trace": name,
            "size": size,
            "policy": policy,
            "seed": seed,
            "requests": len(ids),
            "misses": misses,
            "gap_closed": gap_closed(misses, lru.misses, best),
            "missed_bytes": missed_bytes,
            **more,
        }

    for policy in policies:
        done: Replayed
        if policy == _LEARNED:
            done = replay_learned(capacity, accesses, sizes, seed, LightGbmTrainer().train)
        else:
            done = lru if policy == Lru.name else replay_fixed(FIXED[policy](capacity), accesses, sizes)
        yield row(policy, done.misses, done.missed_bytes)
    yield row(_BELADY, best, None)


def _capacity(size: str, objects: int) -> int:
    number = size.removesuffix("%")
    try:
        value = float(number)
    except ValueError:
        raise InvalidRequest(f"a cache size of {size!r}: a percentage or a number is wanted") from None
    capacity = int(objects * value / 100) if size.endswith("%") else int(value)
    if not 0 < value < float("inf"):
        raise InvalidRequest(f"a cache size of {size!r} must be more than 0")
    return max(1, capacity)


def _read(path: Path) -> "Trace":
    from noisefs.core.domain.caching.replaying.trace import read_trace
    from noisefs.gateway.cli.trace_files import lines_of

    try:
        with lines_of(path) as lines:
            return read_trace(lines)
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"{path} is not text: {exc.reason}") from exc
    except OSError as exc:
        raise InvalidRequest(f"{path} cannot be read: {exc.strerror or exc}") from exc
