"""Options that commands share."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_DATA: Final = Path("noisefs-data")

Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", envvar="NOISEFS_DATA", help="Data folder of the store.", show_default=True),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", envvar="NOISEFS_CONFIG", help="Configuration file (TOML).")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Set any field of the configuration; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout, for programs.")]
