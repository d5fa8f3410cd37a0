"""``noisefs cache``."""

from typing import Annotated, Final

import typer

from noisefs.gateway.cli.asking import answer
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json
from noisefs.gateway.cli.recording import record
from noisefs.gateway.cli.simulating import simulate

cache: Final = typer.Typer(no_args_is_help=True, help="What is kept in memory and on this disk of what nodes have.")
cache.command("simulate")(simulate)
cache.command("record")(record)


@cache.command("status")
def show_status(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Tiers of the running server: entries, bytes, who decides, and how well what is fetched ahead is used.

    Of several workers the first one answers; `/metrics` counts all of them.
    """
    answer(data, config, "cache.status", {}, as_json=as_json)


@cache.command("warm")
def warm(
    objects: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BUCKET/KEY]...", help="Objects; none: what was in memory before the last restart."),
    ] = None,
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Fetch objects from nodes into memory and the disk cache, as far as there is room."""
    answer(data, config, "cache.warm", {"objects": objects or []}, as_json=as_json, doing="fetching from nodes")


@cache.command("explain")
def explain(
    key: Annotated[str, typer.Argument(metavar="BUCKET/KEY", help="An object.")],
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Say where each cell of an object would come from if it were read now, and why."""
    answer(data, config, "cache.explain", {"object": key}, as_json=as_json, empty="it is empty")
