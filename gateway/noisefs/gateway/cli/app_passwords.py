"""``noisefs app-password``."""

from typing import Annotated, Final

import typer

from noisefs.gateway.cli.asking import answer
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json

app_passwords: Final = typer.Typer(no_args_is_help=True, help="WebDAV passwords of single devices, each to be revoked.")

_User = Annotated[str, typer.Argument(metavar="USER", help="Whose password it is, and the login it goes with.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is for: `phone`, `office laptop`.")]


@app_passwords.command("add")
def add_app_password(
    user: _User,
    name: _Name,
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="It changes nothing.")] = False,
    only: Annotated[
        str | None,
        typer.Option(metavar="BUCKET[/PATH]", help="All that it reaches, as `/`; made if missing."),
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make a password for a device and show it, once.

    It may do what the user may, or less. It logs in over WebDAV only, beside the user's password and keys.

        noisefs app-password add alice phone --read-only --only photos/2026
    """
    asked = {"user": user, "name": name, "read_only": read_only, "only": only}
    answer(data, config, "app-password.add", asked, as_json=as_json)


@app_passwords.command("list")
def list_app_passwords(
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="Only this user's.")] = None,
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List devices' passwords, without what they are; when each was last used, to the hour."""
    answer(data, config, "app-password.list", {"user": user}, as_json=as_json)


@app_passwords.command("revoke")
def revoke_app_password(
    user: _User, name: _Name, *, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False
) -> None:
    """Refuse a device's password, within a second and for ever."""
    answer(data, config, "app-password.revoke", {"user": user, "name": name}, as_json=as_json)
