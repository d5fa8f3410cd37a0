"""``noisefs take-over``."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from noisefs.gateway.cli import output
from noisefs.gateway.cli.exit_codes import FOUND
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json


def take_over(
    *,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Do it: what the other gateway wrote since is lost to this store."),
    ] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Go on here with a store that another gateway has taken: this one stopped writing. Stop both servers first.

    Without --accept-loss it only says why this gateway does not write, and ends with 6. With it, the state of this data
    folder goes onto the nodes under a new epoch; another gateway that still runs on the store stops writing, and what
    it wrote is lost here: read what you need from it first. To go on with the other one instead, remove this folder.
    """
    from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
    from noisefs.gateway import logs, taking_over
    from noisefs.gateway.config.load import load
    from noisefs.gateway.folder import Folder

    folder = Folder(data.absolute())
    folder.require_store()
    loaded = load(config).config
    logs.configure("warning")
    with Console(stderr=True).status("comparing heads on nodes"):
        taken = asyncio.run(taking_over.take_over(folder, loaded, PrometheusTelemetry(), accept_loss=accept_loss))
    report = {
        "clean": not taken.rival.reason or (taken.done and taken.on_nodes and not taken.lacking),
        "taken_over": taken.done,
        "other_gateway": taken.rival.reason or None,
        "newest_head": taken.rival.newest,
        "epoch": taken.epoch,
        "on_nodes": taken.on_nodes,
        "under_replicated": taken.lacking,
        "warnings": taken.rival.warnings,
    }
    output.show(report, as_json=as_json)
    if not report["clean"]:
        raise typer.Exit(FOUND)
