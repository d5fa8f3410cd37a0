"""``noisefs cache``."""

from typing import Annotated, Final

import typer

from noisefs.gateway.cli import output
from noisefs.gateway.cli.asking import answer, run_everywhere
from noisefs.gateway.cli.gathering import explained_by_all, status_of_all, warmed_by_all
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json
from noisefs.gateway.cli.recording import record
from noisefs.gateway.cli.simulating import simulate

cache: Final = typer.Typer(no_args_is_help=True, help="What is kept in memory and on this disk of what nodes have.")
cache.command("simulate")(simulate)
cache.command("record")(record)


@cache.command("status")
def show_status(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Tiers of the running server: entries, bytes, who decides, and how well what is fetched ahead is used.

    Of several workers all together, then each.
    """
    output.show(status_of_all(run_everywhere(data, config, "cache.status", {})), as_json=as_json)


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
    """Fetch objects from nodes into memory and the disk cache, as far as there is room.

    Of several workers one has the objects in its memory afterwards; those who own the cells keep them on the disk.
    """
    doing = "fetching from nodes"
    if objects:
        answer(data, config, "cache.warm", {"objects": objects}, as_json=as_json, doing=doing)
    else:
        output.show(warmed_by_all(run_everywhere(data, config, "cache.warm", {}, doing=doing)), as_json=as_json)


@cache.command("explain")
def explain(
    key: Annotated[str, typer.Argument(metavar="BUCKET/KEY", help="An object.")],
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Say where each cell of an object would come from if it were read now, and why: of several workers, from each."""
    found = explained_by_all(run_everywhere(data, config, "cache.explain", {"object": key}))
    output.show(found, as_json=as_json, empty="it is empty")
