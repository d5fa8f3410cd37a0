"""The program: its commands, and how it ends."""

import sys
from importlib.metadata import version as installed_version
from typing import Final

import typer

from noisefs.core.errors import NoisefsError
from noisefs.gateway.cli import exit_codes, output
from noisefs.gateway.cli.accounts import keys, users
from noisefs.gateway.cli.app_passwords import app_passwords
from noisefs.gateway.cli.buckets import buckets
from noisefs.gateway.cli.caching import cache
from noisefs.gateway.cli.configuration import configuration
from noisefs.gateway.cli.ipfs import ipfs
from noisefs.gateway.cli.moving import move
from noisefs.gateway.cli.options import Json
from noisefs.gateway.cli.recovering import recovery_sheet
from noisefs.gateway.cli.serving import init, serve
from noisefs.gateway.cli.sse_keys import sse_keys
from noisefs.gateway.cli.taking_over import take_over
from noisefs.gateway.cli.upkeep import audits, clean, rebuild_index, scrub, snapshots

_HELP: Final = f"""
NoiseFS Gateway: S3 and WebDAV over one namespace, every byte kept as sealed and masked blocks.

Start with `noisefs serve`: it makes a store in ./noisefs-data if there is none, and shows how to log in.
Every other command works while a server runs on the store, and takes effect within a second.

Exit codes:

{exit_codes.explained()}
"""


def version(*, as_json: Json = False) -> None:
    """Print the version."""
    number = installed_version("noisefs-gateway")
    if as_json:
        output.print_json({"version": number})
    else:
        sys.stdout.write(f"noisefs {number}\n")


def program() -> typer.Typer:
    """The command line."""
    app = typer.Typer(
        name="noisefs",
        help=_HELP,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(init)
    app.command()(serve)
    app.add_typer(users, name="user")
    app.add_typer(keys, name="key")
    app.add_typer(app_passwords, name="app-password")
    app.add_typer(buckets, name="bucket")
    app.add_typer(sse_keys, name="sse-key")
    app.command("mv")(move)
    app.add_typer(audits, name="audit")
    app.command()(scrub)
    app.command()(clean)
    app.add_typer(snapshots, name="snapshot")
    app.add_typer(ipfs, name="ipfs")
    app.add_typer(cache, name="cache")
    app.command("rebuild-index")(rebuild_index)
    app.command("recovery-sheet")(recovery_sheet)
    app.command("take-over")(take_over)
    app.add_typer(configuration, name="config")
    app.command()(version)
    return app


def main() -> None:
    """Run the program and end with the exit code of whatever happened."""
    try:
        program()()
    except NoisefsError as exc:
        output.show_error(exc, as_json="--json" in sys.argv)
        sys.exit(exit_codes.exit_code(exc))
