"""``noisefs ipfs``."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from noisefs.gateway.cli import output
from noisefs.gateway.cli.asking import answer, run
from noisefs.gateway.cli.exit_codes import FOUND, LATER
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json

ipfs: Final = typer.Typer(no_args_is_help=True, help="Packs on IPFS nodes: how they stand, and mending them.")

STEP_S: Final = 2.0
"""Between two looks of a progress bar at how much is left."""
STUCK_S: Final = 60.0
"""A repair that brings nothing more about for so long is given up."""


_COLUMNS: Final = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


@ipfs.command("status")
def show_status(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Packs by how many copies they have, those that wait for nodes, and those that are on nodes only.

    By what nodes last said; `noisefs ipfs check` asks them.
    """
    answer(data, config, "ipfs.status", {}, as_json=as_json, doing="counting packs")


@ipfs.command("nodes")
def show_nodes(
    *,
    forget: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Forget a node that is not configured any more: what it holds does not count."
        ),
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List the nodes: state, version, zone, free space, packs they hold, roots they have still to let go of.

    To take a node out of use: `drain = true` in its configuration, wait until it holds no packs, remove it there, and
    `noisefs ipfs nodes --forget NAME`.
    """
    if forget is not None:
        answer(data, config, "ipfs.forget", {"name": forget}, as_json=as_json, doing="forgetting the node")
        return
    found = run(data, config, "ipfs.nodes", {}, doing="asking nodes")
    assert isinstance(found, Sequence)
    output.show(found if as_json else [_short(row) for row in found], as_json=as_json)


@ipfs.command("check")
def check(
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every block of every copy, and compare it with its name.")
    ] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Ask every node for every pack it should hold. Ends with 6 where some have too few copies, or damaged ones.

    Ends with 7 where nothing is wrong but that a node does not answer: what it holds counts for `ipfs.down_after_s`.
    With --verify nodes must give all that they hold, so it takes long. What is damaged is mended, from this disk or
    from other nodes. A server does the same slowly, all the time.
    """
    seen = _verify(data, config) if verify else {}
    found = run(data, config, "ipfs.check", {}, doing="asking every node for every pack")
    output.show({**_mapping(found), **seen}, as_json=as_json)
    if seen.get("found_damaged") or seen.get("unread"):
        raise typer.Exit(FOUND)
    wrong = any(_mapping(found)[name] for name in ("waiting_packs", "under_replicated", "damaged", "beyond_mending"))
    if _mapping(found)["nodes_silent"] and not wrong:
        raise typer.Exit(LATER)
    _end(found)


def _verify(data: Path, config: Path | None) -> dict[str, int]:
    """Read everything, piece by piece; how much was read, was damaged, and could not be read now."""
    seen = {"copies_read": 0, "found_damaged": 0, "unread": 0}
    with Progress(*_COLUMNS, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("reading copies", total=None)
        after: object = ""
        while after is not None:
            part = _mapping(run(data, config, "ipfs.verify", {"after": after, "wait_s": STEP_S}, quiet=True))
            seen["copies_read"] += part["copies"]
            seen["found_damaged"] += part["damaged"]
            seen["unread"] += part["unread"]
            progress.update(bar, total=part["files"], advance=part["done"])
            after = part["after"]
    return seen


@ipfs.command("repair")
def repair(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Give every pack the copies it shall have, and mend damaged ones, now. Ends with 6 where that cannot be done.

    A running server does this by itself all the time; this one waits for it, and lets nothing rest after a failure.
    """
    with Progress(*_COLUMNS, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("packs", total=None)
        most = least = -1
        since = time.monotonic()
        while True:
            found = run(data, config, "ipfs.repair", {"wait_s": STEP_S}, quiet=True)
            left = _mapping(found)["left"]
            most = max(most, left)
            if least < 0 or left < least:
                least, since = left, time.monotonic()
            progress.update(bar, total=most, completed=most - left)
            if not left or time.monotonic() - since > STUCK_S:
                break
    output.show(found, as_json=as_json)
    _end(found)


def _short(row: Mapping[str, Any]) -> dict[str, object]:  # Any: as below
    """What fits a terminal."""
    said = [text for text in (row["version"], row["reason"].removeprefix(f"node {row['node']}: ")) if text]
    return {name: row[name] for name in ("node", "state", "zone", "packs", "unpins")} | {
        "free GiB": None if row["free_bytes"] is None else row["free_bytes"] >> 30,
        "repo GiB": None if row["repo_bytes"] is None else row["repo_bytes"] >> 30,
        "says": ", ".join(said),
    }


def _mapping(found: object) -> Mapping[str, Any]:  # Any: numbers and truth values
    assert isinstance(found, Mapping)
    return found


def _end(found: object) -> None:
    if not _mapping(found)["clean"]:
        raise typer.Exit(FOUND)
