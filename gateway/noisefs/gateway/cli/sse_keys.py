"""``noisefs sse-key``."""

from typing import Annotated, Final

import typer

from noisefs.gateway.cli.asking import answer
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json

sse_keys: Final = typer.Typer(no_args_is_help=True, help="Named keys for S3 clients that ask for aws:kms encryption.")


@sse_keys.command("add")
def add_sse_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What clients call it: x-amz-...-aws-kms-key-id.")],
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make a key that objects are sealed with once more, inside.

    It is random, kept in the store, and never shown. It cannot be removed: what is sealed with it would be lost.

        noisefs sse-key add payroll
    """
    answer(data, config, "sse-key.add", {"name": name}, as_json=as_json)


@sse_keys.command("list")
def list_sse_keys(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """List the names of keys."""
    answer(data, config, "sse-key.list", {}, as_json=as_json)
