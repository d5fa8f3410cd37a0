"""Running an operation: in the server that has the store, else in a store opened for it."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path

from rich.console import Console

from noisefs.core.errors import StoreBusy
from noisefs.gateway.cli import output
from noisefs.gateway.folder import Folder


def run(
    data: Path,
    config_file: Path | None,
    operation: str,
    parameters: Mapping[str, object],
    *,
    doing: str = "",
    quiet: bool = False,
) -> object:
    """The answer of an operation. ``doing``: what to show on a terminal while it takes its time; ``quiet``: nothing.

    Raises:
        NoisefsError: What the operation raised, or why the store cannot be used.
    """
    from noisefs.adapters.inbound.admin.client import NoServer, ask

    folder = Folder(data.absolute())
    folder.require_store()
    with nullcontext() if quiet else Console(stderr=True).status(doing or operation):
        try:
            return ask(folder.socket, operation, parameters)
        except NoServer:
            pass
        try:
            return asyncio.run(_in_own_store(folder, config_file, operation, parameters))
        except StoreBusy:
            # A server may have started, or may still be starting, since it was asked.
            return ask(folder.socket, operation, parameters)


def run_everywhere(
    data: Path, config_file: Path | None, operation: str, parameters: Mapping[str, object], *, doing: str = ""
) -> dict[int, object]:
    """The answers of all processes of a running server, by worker: for what each of them has for itself. Those that do
    not run at the moment are left out; where none does, as :func:`run`.

    Raises:
        NoisefsError: What the operation raised in one of them, or why the store cannot be used.
    """
    from noisefs.adapters.inbound.admin.client import NoServer, ask

    folder = Folder(data.absolute())
    folder.require_store()
    found: dict[int, object] = {}
    with Console(stderr=True).status(doing or operation), ThreadPoolExecutor() as pool:
        asked = {number: pool.submit(ask, path, operation, parameters) for number, path in folder.sockets().items()}
        for number, future in asked.items():
            with suppress(NoServer):
                found[number] = future.result()
    return found or {0: run(data, config_file, operation, parameters, doing=doing)}


def answer(
    data: Path,
    config_file: Path | None,
    operation: str,
    parameters: Mapping[str, object],
    *,
    as_json: bool,
    doing: str = "",
    empty: str = "none",
) -> object:
    """Run an operation, print its answer and return it."""
    found = run(data, config_file, operation, parameters, doing=doing)
    output.show(found, as_json=as_json, empty=empty)
    return found


async def _in_own_store(
    folder: Folder, config_file: Path | None, operation: str, parameters: Mapping[str, object]
) -> object:
    from noisefs.adapters.inbound.admin.operations.operation import perform
    from noisefs.adapters.inbound.admin.operations.table import OPERATIONS
    from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
    from noisefs.gateway import logs
    from noisefs.gateway.assembly import open_store
    from noisefs.gateway.config.load import load

    config = load(config_file).config
    logs.configure("warning")
    async with open_store(folder, config, PrometheusTelemetry(), background=False) as opened:
        return await perform(OPERATIONS, opened, operation, parameters)
