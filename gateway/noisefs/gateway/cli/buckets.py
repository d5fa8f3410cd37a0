"""``noisefs bucket``."""

from typing import Annotated, Final

import typer

from noisefs.gateway.cli.asking import answer
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json
from noisefs.gateway.cli.quotas import QuotaBytes, QuotaObjects
from noisefs.gateway.cli.quotas import asked as quota_asked

buckets: Final = typer.Typer(no_args_is_help=True, help="Buckets: the roots of the namespace, each with one owner.")

_CLASSES: Final = "local, ipfs (as many copies as ipfs.copies), or replicated:N; the last two need nodes."

Name = Annotated[str, typer.Argument(metavar="NAME", help="Bucket name.")]


@buckets.command("list")
def list_buckets(
    user: Annotated[str | None, typer.Option("--owner", metavar="USER", help="Only this user's.")] = None,
    *,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List buckets with their class, whether they keep versions, and how much they hold, older versions included."""
    answer(data, config, "bucket.list", {"user": user}, as_json=as_json)


@buckets.command("create")
def create_bucket(
    name: Name,
    *,
    owner: Annotated[str, typer.Option(metavar="USER", help="Who will own it.")] = "admin",
    durability: Annotated[
        str | None, typer.Option(metavar="CLASS", help=_CLASSES, show_default="store.durability")
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make a bucket for a user."""
    asked = {"name": name, "owner": owner, "durability": durability}
    answer(data, config, "bucket.create", asked, as_json=as_json)


@buckets.command("set")
def set_bucket(
    name: Name,
    *,
    durability: Annotated[str, typer.Option(metavar="CLASS", help=_CLASSES)],
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Change the class of a bucket: what a write into it has outlived when it is answered.

    What lies in it already follows in the background: `noisefs ipfs status` shows how far that is.
    """
    answer(data, config, "bucket.set", {"name": name, "durability": durability}, as_json=as_json)


@buckets.command("quota")
def bucket_quota(
    name: Name,
    *,
    size: QuotaBytes = None,
    objects: QuotaObjects = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show or limit what a bucket may hold. A write beyond that is refused, however many come at once.

    Parts of an upload count when it is completed. What is there already stays.

        noisefs bucket quota photos --bytes 500GiB --objects 1000000
    """
    answer(data, config, "bucket.quota", quota_asked(name, size, objects), as_json=as_json)


@buckets.command("delete")
def delete_bucket(name: Name, *, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Remove an empty bucket."""
    answer(data, config, "bucket.delete", {"name": name}, as_json=as_json)
