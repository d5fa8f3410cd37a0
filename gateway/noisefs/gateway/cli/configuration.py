"""``noisefs config``."""

import asyncio
import sys
from typing import Annotated, Final

import typer

from noisefs.gateway.cli import output
from noisefs.gateway.cli.options import Assignments, ConfigFile, Json

configuration: Final = typer.Typer(no_args_is_help=True, help="The configuration: file < environment < flags.")


@configuration.command("show")
def show_config(*, config: ConfigFile = None, assignments: Assignments = None, as_json: Json = False) -> None:
    """Show every setting as it is in force, and where it was set. Secrets are hidden."""
    from noisefs.gateway.config.load import load
    from noisefs.gateway.config.show import as_json as config_json
    from noisefs.gateway.config.show import as_toml

    loaded = load(config, assignments=assignments or ())
    if as_json:
        output.print_json(config_json(loaded))
    else:
        sys.stdout.write(as_toml(loaded))


@configuration.command("check")
def check_config(*, config: ConfigFile = None, assignments: Assignments = None, as_json: Json = False) -> None:
    """Check the configuration, files it points to and nodes included, without serving.

    Ends with 2 where something is wrong. A node that does not answer now is told, and is no mistake.
    """
    from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
    from noisefs.gateway.config.load import load
    from noisefs.gateway.networking import ask_nodes
    from noisefs.gateway.tls import check_exposure, server_context

    loaded = load(config, assignments=assignments or ())
    server_context(loaded.config.tls)
    check_exposure(loaded.config)
    found: dict[str, object] = {"ok": True, "fields_set": len(loaded.origins)}
    if loaded.config.ipfs.nodes:
        states = asyncio.run(ask_nodes(loaded.config.ipfs, PrometheusTelemetry()))
        found["nodes"] = {name: "ready" if state.usable else state.reason for name, state in states.items()}
    output.show(found, as_json=as_json)


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
