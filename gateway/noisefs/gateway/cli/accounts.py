"""``noisefs user`` and ``noisefs key``."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from noisefs.core.errors import InvalidArgument
from noisefs.gateway.cli import output
from noisefs.gateway.cli.asking import answer
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json
from noisefs.gateway.cli.quotas import QuotaBytes, QuotaObjects
from noisefs.gateway.cli.quotas import asked as quota_asked

users: Final = typer.Typer(no_args_is_help=True, help="People and programs that may use the store.")
keys: Final = typer.Typer(no_args_is_help=True, help="Access keys: what S3 clients sign with, and WebDAV logins.")
policies: Final = typer.Typer(no_args_is_help=True, help="What a user may do besides owning buckets.")
users.add_typer(policies, name="policy")

Name = Annotated[str, typer.Argument(metavar="NAME", help="User name.")]
_Holder = Annotated[str, typer.Argument(metavar="USER", help="Whose policy it is.")]
_Policy = Annotated[str, typer.Argument(metavar="POLICY", help="Its name.")]


@users.command("add")
def add_user(
    name: Name,
    *,
    admin: Annotated[bool, typer.Option("--admin", help="Sees and uses every bucket.")] = False,
    key: Annotated[bool, typer.Option("--key", help="Make an access key too, and show its secret once.")] = False,
    password_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="WebDAV password from the first line of FILE, or of stdin with `-`."),
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make a user.

    A user owns buckets and sees only their own. Access keys also work as WebDAV logins (key and secret); a password is
    needed only to log in there by name.

        noisefs user add alice --key
    """
    password = None if password_file is None else _secret("--password-file", password_file)
    asked = {"name": name, "admin": admin, "password": password, "key": key}
    answer(data, config, "user.add", asked, as_json=as_json)


@users.command("list")
def list_users(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """List the users."""
    answer(data, config, "user.list", {}, as_json=as_json)


@users.command("disable")
def disable_user(
    name: Name,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Accept the user again.")] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Refuse every login of a user, within a second. What they own stays."""
    answer(data, config, "user.disable", {"name": name, "disabled": not undo}, as_json=as_json)


@users.command("password")
def set_password(
    name: Name,
    *,
    file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Password from the first line of FILE, or of stdin with `-`.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="No password: only access keys log in.")] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Set or remove a user's WebDAV password; asks for it on a terminal."""
    if remove:
        password = None
    elif file is not None:
        password = _secret("--file", file)
    else:
        password = str(typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))
    answer(data, config, "user.password", {"name": name, "password": password}, as_json=as_json)


@users.command("root")
def user_root(
    name: Name,
    place: Annotated[
        str | None, typer.Argument(metavar="[BUCKET[/PATH]]", help="The collection that `/` is; made if missing.")
    ] = None,
    *,
    remove: Annotated[
        bool, typer.Option("--remove", help="`/` lists all buckets again that the user may list.")
    ] = False,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Let a user's WebDAV paths begin at a bucket, or at a collection in one.

    It gives no rights, and S3 knows nothing of it: in a bucket of somebody else's the user needs a policy.

        noisefs user root alice photos/2026
    """
    if (place is None) != remove:
        raise InvalidArgument("BUCKET", place, "a bucket, perhaps with a path, or --remove")
    answer(data, config, "user.root", {"name": name, "root": place}, as_json=as_json)


@users.command("quota")
def user_quota(
    name: Name,
    *,
    size: QuotaBytes = None,
    objects: QuotaObjects = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show or limit what all buckets of a user may hold together, whoever writes into them."""
    answer(data, config, "user.quota", quota_asked(name, size, objects), as_json=as_json)


@policies.command("put")
def put_policy(
    user: _Holder,
    policy: _Policy,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The document as JSON; `-` reads it from stdin.")],
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Set a policy of a user, or replace the one of this name.

    It says what the user may do, in any bucket, and with `Deny` what not even an owner may. A document that cannot be
    honoured exactly is refused.

        noisefs user policy put backup only-its-bucket policy.json
    """
    asked = {"user": user, "policy": policy, "document": _document(file)}
    answer(data, config, "user.policy.put", asked, as_json=as_json)


@policies.command("get")
def get_policy(
    user: _Holder,
    policy: _Policy,
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show a policy exactly as it was put."""
    answer(data, config, "user.policy.get", {"user": user, "policy": policy}, as_json=as_json)


@policies.command("list")
def list_policies(
    user: Annotated[str, typer.Argument(metavar="USER", help="Whose policies.")],
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List the names of a user's policies."""
    answer(data, config, "user.policy.list", {"user": user}, as_json=as_json)


@policies.command("delete")
def delete_policy(
    user: _Holder,
    policy: _Policy,
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Remove a policy of a user, within a second."""
    answer(data, config, "user.policy.delete", {"user": user, "policy": policy}, as_json=as_json)


@keys.command("add")
def add_key(
    user: Annotated[str, typer.Argument(metavar="USER", help="Whose key it will be.")],
    *,
    access_key: Annotated[str | None, typer.Option(metavar="ID", help="Import a pair: its access key id.")] = None,
    secret_key: Annotated[
        str | None,
        typer.Option(metavar="SECRET", help="Its secret; `-` reads it from stdin, which no process list shows."),
    ] = None,
    secret_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its secret, from the first line of FILE.")
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make an access key and show its secret, once; or import a pair that exists already.

    noisefs key add alice

    noisefs key add alice --access-key AKIA... --secret-key -
    """
    if (access_key is None) != (secret_key is None and secret_key_file is None):
        raise InvalidArgument("--access-key", access_key, "it goes with --secret-key or --secret-key-file")
    if secret_key is not None and secret_key_file is not None:
        raise InvalidArgument("--secret-key-file", str(secret_key_file), "only one of it and --secret-key")
    if secret_key_file is not None:
        secret_key = _secret("--secret-key-file", str(secret_key_file))
    elif secret_key == "-":  # noqa: S105 - the name of stdin
        secret_key = _secret("--secret-key", "-")
    elif secret_key is not None:
        output.warn("other users of this machine can see arguments: --secret-key-file FILE or --secret-key - hide them")
    asked = {"user": user, "access_key": access_key, "secret_key": secret_key}
    answer(data, config, "key.add", asked, as_json=as_json)


@keys.command("list")
def list_keys(
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="Only this user's.")] = None,
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List access keys, without their secrets."""
    answer(data, config, "key.list", {"user": user}, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    access_key: Annotated[str, typer.Argument(metavar="ID", help="Access key id.")],
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Refuse an access key, within a second and for ever."""
    answer(data, config, "key.revoke", {"access_key": access_key}, as_json=as_json)


def _document(source: str) -> str:
    """All of a file, or of stdin."""
    if source == "-":
        return sys.stdin.read()
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidArgument("FILE", source, f"a readable file: {exc}") from exc


def _secret(option: str, source: str) -> str:
    """The first line of a file, or of stdin."""
    from noisefs.gateway.rootkey import first_line

    if source != "-":
        return first_line(option, Path(source))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise InvalidArgument(option, "-", "the first line of stdin is empty")
    return line
