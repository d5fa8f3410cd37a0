"""``noisefs mv``."""

from typing import Annotated

import typer

from noisefs.gateway.cli.asking import answer
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json


def move(
    source: Annotated[
        str, typer.Argument(metavar="BUCKET/SOURCE", help="An object's key, or a prefix that ends in /.")
    ],
    target: Annotated[str, typer.Argument(metavar="BUCKET/TARGET", help="Its new key; of a prefix, it ends in / too.")],
    *,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there: of a prefix, everything below it.")
    ] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Move an object, or everything below a prefix, in one commit: all of it or nothing. No data moves.

    In a bucket with versions the old names get delete markers.

    noisefs mv photos/2025/ archive/photos/2025/
    """
    asked = {"source": source, "target": target, "overwrite": overwrite}
    answer(data, config, "object.move", asked, as_json=as_json)
