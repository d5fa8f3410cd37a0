"""``noisefs snapshot restore`` and ``noisefs recovery-sheet``: what is needed when a disk, or a machine, is lost."""

import asyncio
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer
from rich.console import Console

from noisefs.core.errors import InvalidArgument
from noisefs.gateway.cli import output
from noisefs.gateway.cli.exit_codes import FOUND
from noisefs.gateway.cli.options import DEFAULT_DATA, ConfigFile, Data, Json
from noisefs.gateway.cli.upkeep import rebuild, snapshots

if TYPE_CHECKING:
    from noisefs.gateway.config.schema import Config, IpfsConfig, NodeDeclaration
    from noisefs.gateway.restoring import Restored, RootSecret

_TYPED: Final = "-"
_US: Final = 1_000_000


@snapshots.command("restore")
def restore(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="As `noisefs snapshot list` shows it; not with --from-ipfs.")
    ] = None,
    *,
    from_ipfs: Annotated[
        list[str] | None,
        typer.Option(
            "--from-ipfs",
            metavar="API",
            help="Bring the whole store back from this node, as `http://host:5001`; repeat it for every node.",
        ),
    ] = None,
    root_key_file: Annotated[
        Path | None, typer.Option("--root-key-file", metavar="FILE", help="The store's root key file.")
    ] = None,
    root_key: Annotated[
        str | None,
        typer.Option("--root-key", metavar="-", help="Read the root key of a recovery sheet from standard input."),
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="ID", help="Which one, where the nodes hold several stores.")
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Go back to the state of a snapshot, or bring a lost store back from its nodes.

    With NAME every change after that snapshot is undone. Stop the server first. The index that was in use is kept in
    DIR under another name; remove it when you do not need it any more.

    With --from-ipfs a store whose data folder is lost comes back into an absent or empty DIR: the newest snapshot that
    the nodes hold, and log records behind it. Needs the root key (--root-key-file, --root-key -) or the passphrase.
    Name every node: they are compared, and a node that offers an old state is told. A gateway that still runs on the
    store stops writing. Ends with 6 where something is lost.

        noisefs snapshot restore --from-ipfs http://10.0.0.5:5001 --root-key-file root.key --data /srv/noisefs
    """
    if (name is None) == (not from_ipfs):
        raise InvalidArgument(
            "snapshot restore", name or "nothing", "either the NAME of a snapshot, or --from-ipfs API"
        )
    if name is not None:
        if root_key_file or root_key or store:
            raise InvalidArgument("snapshot restore", name, "the root key and --store go with --from-ipfs only")
        rebuild(data, config, name, keep_old=True, as_json=as_json)
        return
    _restore_from_nodes(data, config, from_ipfs or (), root_key_file, root_key, store, as_json=as_json)


def _restore_from_nodes(
    data: Path,
    config_file: Path | None,
    apis: Sequence[str],
    root_key_file: Path | None,
    root_key: str | None,
    store: str | None,
    *,
    as_json: bool,
) -> None:
    from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
    from noisefs.core.domain.ids import ID_BYTES, StoreId
    from noisefs.gateway import logs
    from noisefs.gateway.config.load import load
    from noisefs.gateway.folder import Folder
    from noisefs.gateway.networking import nodes_of
    from noisefs.gateway.restoring import restore_from_nodes

    try:
        store_id = None if store is None else StoreId(bytes.fromhex(store))
    except ValueError:
        store_id = StoreId(b"")
    if store_id is not None and len(store_id) != ID_BYTES:
        raise InvalidArgument("--store", store, f"{2 * ID_BYTES} hex digits")
    loaded = load(config_file).config
    asked = _nodes(loaded, apis)
    secret = _secret(loaded, root_key_file, root_key)
    logs.configure("warning")
    telemetry = PrometheusTelemetry()

    folder = Folder(data.absolute())

    async def run() -> "Restored":
        nodes = nodes_of(asked, telemetry)
        try:
            return await restore_from_nodes(folder, loaded, telemetry, nodes, secret, store_id)
        finally:
            for node in nodes:
                await node.close()

    with Console(stderr=True).status("bringing the store back from its nodes"):
        restored = asyncio.run(run())
    report = _report(restored)
    output.show(report, as_json=as_json)
    if not as_json:
        served = f"noisefs serve --data {shlex.quote(str(data))}" + (f" --config {config_file}" if config_file else "")
        Console(stderr=True, soft_wrap=True).print(
            f"Serve it with a configuration that names these nodes under ipfs.nodes: {served}", highlight=False
        )
    if not report["clean"]:
        raise typer.Exit(FOUND)


def _nodes(config: "Config", apis: Sequence[str]) -> "IpfsConfig":
    """The nodes at these addresses: as they are configured, where they are."""
    from pydantic import ValidationError

    from noisefs.core.errors import ConfigError
    from noisefs.gateway.config.schema import NodeDeclaration

    known = {node.api: node for node in config.ipfs.nodes}
    try:
        asked = {node.api: node for node in (NodeDeclaration(api=api) for api in apis)}
    except ValidationError as exc:
        said = exc.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError("--from-ipfs", ", ".join(apis), said) from exc
    return config.ipfs.model_copy(update={"nodes": tuple(known.get(api, node) for api, node in asked.items())})


def _secret(config: "Config", root_key_file: Path | None, root_key: str | None) -> "RootSecret":
    """What opens the store: from the command line, else from the configuration, else a passphrase that is asked for."""
    from noisefs.core.domain.sealing.spelled_key import read_spelled_key
    from noisefs.gateway import rootkey
    from noisefs.gateway.restoring import RootSecret

    if root_key not in (None, _TYPED):
        raise InvalidArgument("--root-key", "a value", "only -: a key on a command line can be seen by others")
    if root_key is not None and root_key_file is not None:
        raise InvalidArgument("--root-key", root_key, "not together with --root-key-file")
    key: bytes | None = None
    file = root_key_file or (None if root_key else config.root_key.file)
    if root_key is not None:
        if sys.stdin.isatty():
            Console(stderr=True).print("Root key of the recovery sheet (end with Enter):")
            key = read_spelled_key(sys.stdin.readline())
        else:
            key = read_spelled_key(sys.stdin.read())
    elif file is not None:
        key = rootkey.read_key(file)
    return RootSecret(key, lambda: rootkey.phrase_of(config.root_key))


def _report(restored: "Restored") -> dict[str, object]:
    found, settled = restored.found, restored.settled
    newest = datetime.fromtimestamp(found.newest_us / _US, UTC).isoformat(timespec="seconds")
    return {
        "clean": not (settled.objects_lost or settled.packs_unreadable or restored.packs_lost),
        "store": restored.head.store_id.hex(),
        "epoch": restored.head.epoch.counter,
        "commit": found.reached,
        "state_of": newest,
        "rpo_s": round(restored.lost_s, 3),
        "rto_s": round(restored.took_s, 3),
        "snapshots": [info.name for info in found.snapshots.chain],
        "log_files": found.log_files,
        "packs": len(found.packs),
        "packs_rebuilt": restored.packs_rebuilt,
        "runs_relocated": settled.runs_relocated,
        "slices_relocated": settled.slices_relocated,
        "objects_lost": settled.objects_lost,
        "packs_lost": restored.packs_lost,
        "packs_unreadable": settled.packs_unreadable,
        "packs_quarantined": settled.packs_quarantined,
        "warnings": restored.warnings,
    }


def recovery_sheet(*, data: Data = DEFAULT_DATA, config: ConfigFile = None, as_json: Json = False) -> None:
    """Print what must be kept on paper to bring this store back when its machine is lost. It shows a secret.

    Store, node addresses, and the root key as text that can be typed back in (`snapshot restore --root-key -`), or
    that a passphrase is needed, which only you know. Print it again when nodes or the root key change.

        noisefs recovery-sheet | lpr
    """
    from noisefs.adapters.outbound.localhead.head_file import read_head_bytes
    from noisefs.adapters.outbound.system.disk import LocalDisk
    from noisefs.core.domain.sealing.head import decode_head, read_passphrase
    from noisefs.core.domain.sealing.spelled_key import spell_key
    from noisefs.gateway import rootkey
    from noisefs.gateway.config.load import load
    from noisefs.gateway.folder import Folder

    folder = Folder(data.absolute())
    folder.require_store()
    loaded = load(config).config
    raw = read_head_bytes(LocalDisk(), str(folder.head))
    passphrase = read_passphrase(raw)
    key = rootkey.fetch(loaded.root_key, folder, passphrase)
    head = decode_head(raw, key)
    spelled = "passphrase" if passphrase is not None else spell_key(key)
    nodes = [f"{node.api}  (called {node.known_as})" for node in loaded.ipfs.nodes]
    told = Console(stderr=True, soft_wrap=True)
    if passphrase is None:
        told.print("This sheet shows the root key: whoever has it and a node can read everything.")
    if not nodes:
        output.warn("no nodes are configured: name the configuration of the server with --config")
    if any(map(_is_of_this_machine, loaded.ipfs.nodes)):
        output.warn("the address of a node is of this machine only: note how it is reached from elsewhere")
    if as_json:
        output.print_json({"store": head.store_id.hex(), "nodes": nodes, "root_key": spelled})
        return
    sys.stdout.write(_sheet(head.store_id.hex(), [node.api for node in loaded.ipfs.nodes], nodes, spelled))


def _is_of_this_machine(node: "NodeDeclaration") -> bool:
    host = urlsplit(node.api).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sheet(store: str, apis: Sequence[str], nodes: Sequence[str], key: str) -> str:
    groups = key.split(" ")
    lines = [" ".join(groups[at : at + 7]) for at in range(0, len(groups), 7)]
    today = datetime.now(UTC).date().isoformat()
    sources = " ".join(f"--from-ipfs {api}" for api in apis) or "--from-ipfs API"
    typed = "" if key == "passphrase" else " --root-key -"
    return "\n".join(
        [
            f"NoiseFS recovery sheet, {today}. Keep it secret, and apart from the machine.",
            "",
            f"Store     {store}",
            *(
                f"{'Nodes' if at == 0 else '':10}{node}"
                for at, node in enumerate(nodes or ["none: nothing to restore from"])
            ),
            *(f"{'Root key' if at == 0 else '':10}{line}" for at, line in enumerate(lines)),
            "",
            "On an empty machine with noisefs installed:",
            f"  noisefs snapshot restore {sources}{typed} --store {store} --data DIR",
            "  noisefs serve --data DIR   (with the configuration that names the nodes)",
            "",
        ]
    )
