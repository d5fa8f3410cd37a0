"""``noisefs audit``, ``scrub``, ``clean``, ``snapshot`` and ``rebuild-index``; ``snapshot restore`` is elsewhere."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from noisefs.gateway.cli import output
from noisefs.gateway.cli.asking import answer
from noisefs.gateway.cli.exit_codes import FOUND, LATER
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json

audits: Final = typer.Typer(no_args_is_help=True, help="Count whether the store keeps its promises.")
snapshots: Final = typer.Typer(no_args_is_help=True, help="Snapshots of the index, to go back to.")


@audits.command("space")
def audit_space(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Stored bytes against live ones.

    Stored: all pack files, open ones as long as they are. Live: cells and slices in them that something refers to.
    What small objects have in the index (inline, tiny) and the index itself are in neither, and shown apart.
    """
    _check(answer(data, config, "audit.space", {}, as_json=as_json))


@audits.command("tuples")
def audit_tuples(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Whether every run of cells leans on somebody else's block, and every data block serves two tuples.

    Reads the manifests of all sealed packs, of those on nodes only from there. Ends with 6 where a promise is broken.
    """
    _check(answer(data, config, "audit.tuples", {}, as_json=as_json, doing="reading manifests"))


@audits.command("orphans")
def audit_orphans(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """What refers to something that is not there, and what is there without anything referring to it.

    Ends with 6 where something is found.
    """
    _check(answer(data, config, "audit.orphans", {}, as_json=as_json, doing="comparing index and packs"))


def scrub(
    *,
    network: Annotated[
        bool, typer.Option("--network", help="Also read packs that are on nodes only, from there.")
    ] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Read and verify every byte of the store, and name the objects that are damaged.

    Takes as long as reading all packs. What is on nodes only is counted and not read, unless --network is given.
    Ends with 6 where damage is found.
    """
    asked = {"network": network}
    _check(answer(data, config, "scrub", asked, as_json=as_json, doing="reading and verifying everything"))


def clean(
    *,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Also free packs that a rebuilt index does not know: their bytes are lost."),
    ] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Give back all the space that deleted bytes still take, now rather than when it is worth it."""
    answer(data, config, "clean", {"accept_loss": accept_loss}, as_json=as_json, doing="cleaning")


@snapshots.command("create")
def create_snapshot(
    *,
    full: Annotated[bool, typer.Option("--full", help="Begin a new set, even if none is due.")] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Take a snapshot of the index now. A running server also takes one every `snapshots.every_s`.

    With nodes it goes there too, with all that was written before it. Ends with 7 where none took it.
    """
    found = answer(data, config, "snapshot.create", {"full": full}, as_json=as_json, doing="taking a snapshot")
    if isinstance(found, Mapping) and found.get("on_nodes") is False:
        output.warn("no node took all of it: the snapshot is on this disk only")
        raise typer.Exit(LATER)


@snapshots.command("list")
def list_snapshots(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """List the snapshots, the oldest first."""
    answer(data, config, "snapshot.list", {}, as_json=as_json)


def rebuild_index(
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Keep the old index beside the new one; it has keys of deleted objects.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a lost or damaged index anew. Stop the server first.

    It comes from the newest snapshot, the log of commits behind it, and the manifests of the packs.

    Lists what is newer than that and lost. Packs with bytes the new index does not know stay, until
    `noisefs clean --accept-loss`. The old index is overwritten and removed once the new one was checked, as it has
    keys of deleted objects; where something is lost it is kept in DIR under another name.
    Ends with 6 where something is lost.
    """
    rebuild(data, config, None, keep_old=keep_old, as_json=as_json)


def rebuild(data: Path, config_file: Path | None, upto: str | None, *, keep_old: bool, as_json: bool) -> None:
    """Make the index anew, print what came back, and end with 6 where something is lost."""
    from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
    from noisefs.gateway import logs, rebuilding
    from noisefs.gateway.config.load import load
    from noisefs.gateway.folder import Folder

    folder = Folder(data.absolute())
    folder.require_store()
    config = load(config_file).config
    logs.configure("warning")
    with Console(stderr=True).status("rebuilding the index"):
        rebuilt = asyncio.run(rebuilding.rebuild(folder, config, PrometheusTelemetry(), upto, keep_old=keep_old))
    restored, found = rebuilt.restored, rebuilt.reconciled
    report = {
        "clean": rebuilt.whole,
        "snapshots": [info.name for info in restored.chain],
        "commit": restored.upto,
        "commits_lost": restored.lost,
        "snapshots_unusable": [f"{name}: {reason}" for name, reason in restored.unusable],
        "objects_lost": found.objects_lost,
        "runs_relocated": found.runs_relocated,
        "slices_relocated": found.slices_relocated,
        "packs": found.packs,
        "packs_unreadable": found.packs_unreadable,
        "packs_quarantined": found.packs_quarantined,
        "old_index": None if rebuilt.old_index is None else str(rebuilt.old_index),
    }
    output.show(report, as_json=as_json)
    _check(report)


def _check(found: object) -> None:
    if isinstance(found, Mapping) and not found["clean"]:
        raise typer.Exit(FOUND)
