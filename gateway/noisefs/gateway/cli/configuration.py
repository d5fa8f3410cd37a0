"""``noisefs config``."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from noisefs.gateway.cli import output
from noisefs.gateway.cli.options import Assignments, ConfigFile, Json
from noisefs.gateway.folder import Folder, State

if TYPE_CHECKING:
    from noisefs.gateway.config.schema import Config

StoreData = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", envvar="NOISEFS_DATA", help="Data folder of a store.")
]

configuration: Final = typer.Typer(no_args_is_help=True, help="The configuration: file < environment < flags.")


@configuration.command("show")
def show_config(
    *, data: StoreData = None, config: ConfigFile = None, assignments: Assignments = None, as_json: Json = False
) -> None:
    """Show every setting as it is in force, and where it was set. Secrets are hidden.

    With --data, and where a server runs on that store: the settings that this server runs with.
    """
    from noisefs.gateway.config.load import load
    from noisefs.gateway.config.show import as_toml, shown

    running = None if data is None else _of_server(data)
    if running is None:
        loaded = load(config, assignments=assignments or ())
        values, origins = shown(loaded.config), loaded.origins
    else:
        values, origins = running, {}
    if as_json:
        output.print_json({"values": values, "set_by": dict(origins), "running": running is not None})
    else:
        sys.stdout.write(as_toml(values, origins))


@configuration.command("check")
def check_config(
    *, data: StoreData = None, config: ConfigFile = None, assignments: Assignments = None, as_json: Json = False
) -> None:
    """Check the configuration, files it points to and nodes included, without serving.

    With --data: also whether a store is or can be there, and whether the root key opens it. Ends with 2 where something
    of the configuration is wrong, 4 where the folder is not ours, 5 where the root key is another store's. A node that
    does not answer now is told, and is no mistake.
    """
    from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
    from noisefs.gateway.config.load import load
    from noisefs.gateway.networking import ask_nodes
    from noisefs.gateway.tls import check_exposure, server_context

    loaded = load(config, assignments=assignments or ())
    server_context(loaded.config.tls)
    check_exposure(loaded.config)
    found: dict[str, object] = {"ok": True, "fields_set": len(loaded.origins)}
    if data is not None:
        found["store"] = _check_store(Folder(data.absolute()), loaded.config)
    if loaded.config.ipfs.nodes:
        states = asyncio.run(ask_nodes(loaded.config.ipfs, PrometheusTelemetry()))
        found["nodes"] = {name: "ready" if state.usable else state.reason for name, state in states.items()}
    output.show(found, as_json=as_json)


def _of_server(data: Path) -> dict[str, object] | None:
    """The settings of the server that runs on this store; ``None``: none does."""
    from noisefs.adapters.inbound.admin.client import NoServer, ask

    folder = Folder(data.absolute())
    folder.state()
    try:
        found = ask(folder.socket, "config.show", {})
    except NoServer:
        return None
    assert isinstance(found, dict)
    return found


def _check_store(folder: Folder, config: "Config") -> str:
    """The id of the store, which the root key opens; or what the folder is."""
    state = folder.state()
    if state is not State.STORE:
        return {State.EMPTY: "none yet", State.UNFINISHED: "unfinished; it is made anew"}[state]
    from noisefs.gateway.ground import read_head

    return read_head(folder, config).store_id.hex()


@configuration.command("table")
def config_table(
    *, markdown: Annotated[bool, typer.Option("--markdown", help="As the table of the README.")] = False
) -> None:
    """List every setting with its default and purpose."""
    from rich.console import Console
    from rich.table import Table

    from noisefs.gateway.config.show import markdown_table, setting_rows

    if markdown:
        sys.stdout.write(markdown_table())
        return
    table = Table("setting", "default", "what it is for", box=None, pad_edge=False, header_style="bold")
    for name, _, default, purpose in setting_rows():
        table.add_row(name, default, purpose)
    Console().print(table)
