"""Options of ``noisefs bucket quota`` and ``noisefs user quota``."""

from typing import Annotated

import typer

from noisefs.core.errors import InvalidArgument

QuotaBytes = Annotated[
    str | None, typer.Option("--bytes", metavar="SIZE", help="May hold so many bytes, such as 500GiB; 0: any number.")
]
QuotaObjects = Annotated[
    int | None, typer.Option("--objects", min=0, metavar="N", help="May hold so many objects; 0: any number.")
]


def asked(name: str, size: str | None, objects: int | None) -> dict[str, object]:
    """The operation's parameters.

    Raises:
        InvalidArgument: The size is none.
    """
    from noisefs.gateway.config.values import parse_size

    try:
        return {"name": name, "bytes": parse_size(size), "objects": objects}
    except ValueError as exc:
        raise InvalidArgument("--bytes", size, str(exc)) from None
