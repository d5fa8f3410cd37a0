"""``noisefs audit``, ``scrub`` and ``clean``."""

from collections.abc import Mapping
from typing import Final

import typer

from noisefs.gateway.cli.asking import answer
from noisefs.gateway.cli.exit_codes import FOUND
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json

audits: Final = typer.Typer(no_args_is_help=True, help="Count whether the store keeps its promises.")


@audits.command("space")
def audit_space(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Stored bytes against live ones, and where the rest is."""
    _check(answer(data, config, "audit.space", {}, as_json=as_json))


@audits.command("tuples")
def audit_tuples(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Whether every run of cells leans on somebody else's block, and every data block serves two tuples.

    Reads the manifests of all sealed packs. Ends with 6 where a promise is broken.
    """
    _check(answer(data, config, "audit.tuples", {}, as_json=as_json, doing="reading manifests"))


@audits.command("orphans")
def audit_orphans(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """What refers to something that is not there, and what is there without anything referring to it.

    Ends with 6 where something is found.
    """
    _check(answer(data, config, "audit.orphans", {}, as_json=as_json, doing="comparing index and packs"))


def scrub(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Read and verify every byte of the store, and name the objects that are damaged.

    Takes as long as reading all packs. Ends with 6 where damage is found.
    """
    _check(answer(data, config, "scrub", {}, as_json=as_json, doing="reading and verifying everything"))


def clean(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Give back all the space that deleted bytes still take, now rather than when it is worth it."""
    answer(data, config, "clean", {}, as_json=as_json, doing="cleaning")


def _check(found: object) -> None:
    if isinstance(found, Mapping) and not found["clean"]:
        raise typer.Exit(FOUND)
