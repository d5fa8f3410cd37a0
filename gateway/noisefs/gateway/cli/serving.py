"""``noisefs init`` and ``noisefs serve``."""

import asyncio
from typing import Annotated

import typer

from noisefs.gateway.cli import output
from noisefs.gateway.cli.options import DEFAULT_DATA, Assignments, ConfigFile, Data, Json
from noisefs.gateway.folder import Folder


def init(
    *,
    strategy: Annotated[
        str | None, typer.Option(metavar="NAME", help="How randomizers are chosen: chain, uniform or fresh.")
    ] = None,
    segment_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Bytes sealed as one: 128KiB, 256KiB, 512KiB or 1MiB.")
    ] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Make a store in an absent or empty folder and show the first user's key, once.

    `serve` does this by itself; use `init` to choose what cannot be changed later. Keep a copy of DIR/root.key
    somewhere else: without it nobody can read the store, and whoever has it can.

        noisefs init --data /srv/noisefs --strategy chain
    """
    from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
    from noisefs.gateway import logs
    from noisefs.gateway.config.load import load
    from noisefs.gateway.making import make_store

    flags = {"store.strategy": strategy, "store.segment_bytes": segment_bytes}
    loaded = load(config, flags=flags, assignments=assignments or ())
    logs.configure("warning")
    folder = Folder(data.absolute())
    made = asyncio.run(make_store(folder, loaded.config, PrometheusTelemetry()))
    answer = {
        "data": str(folder.path),
        "store": made.store_id.hex(),
        "user": made.credential.principal.name,
        "access_key": made.credential.access_key_id,
        "secret_key": made.credential.secret,
    }
    output.show(answer, as_json=as_json)


def serve(
    *,
    s3: Annotated[
        str | None, typer.Option("--s3", metavar="HOST:PORT", help="Where S3 listens.", show_default="127.0.0.1:9000")
    ] = None,
    webdav: Annotated[
        str | None,
        typer.Option("--webdav", metavar="HOST:PORT", help="Where WebDAV listens.", show_default="127.0.0.1:9001"),
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(
            "--admin", metavar="HOST:PORT", help="Where health and metrics listen.", show_default="127.0.0.1:9002"
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve.", show_default="1")] = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    assignments: Assignments = None,
) -> None:
    """Serve a store over S3 and WebDAV. An absent or empty folder becomes a store first.

    stdout gets one line of JSON when the server is ready, with the real addresses (port 0 picks a free one);
    logs go to stderr. SIGTERM and Ctrl-C let requests under way finish, SIGHUP reads the TLS certificate again.
    NOISEFS_ADMIN_ACCESS_KEY and NOISEFS_ADMIN_SECRET_KEY preset the first user's pair.

        noisefs serve --data /srv/noisefs --s3 127.0.0.1:0
    """
    import uvloop

    from noisefs.gateway import logs
    from noisefs.gateway.allocator import keep_large_buffers
    from noisefs.gateway.config.load import load
    from noisefs.gateway.running import run
    from noisefs.gateway.workers import supervise

    keep_large_buffers()
    flags = {"s3.listen": s3, "webdav.listen": webdav, "admin.listen": admin, "workers": workers}
    loaded = load(config, flags=flags, assignments=assignments or ())
    logs.configure(loaded.config.log_level)
    folder = Folder(data.absolute())
    if loaded.config.workers > 1:
        asyncio.run(supervise(folder, loaded.config))
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(folder, loaded.config))
