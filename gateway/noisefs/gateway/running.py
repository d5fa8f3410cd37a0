"""One server from start to end: open the store, listen, say so, and on a signal drain and close."""

import asyncio
import json
import logging
import os
import signal
import ssl
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Final

from noisefs.adapters.inbound.admin.operations.operation import Administered
from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
from noisefs.core.errors import ConfigError
from noisefs.core.services.accounts import Credential
from noisefs.gateway import declared, tls
from noisefs.gateway.assembly import open_store
from noisefs.gateway.banner import Endpoints, banner
from noisefs.gateway.config.schema import Config
from noisefs.gateway.config.values import Address
from noisefs.gateway.folder import Folder, State
from noisefs.gateway.making import make_store
from noisefs.gateway.protocols import protocols_over
from noisefs.gateway.requests import Proxies, RequestLog, front
from noisefs.gateway.server import Listener, address_of, bind, bind_local

log = logging.getLogger(__name__)

_HURRIED: Final = 130
"""Exit code of a server that was told twice to stop: as a shell tells of Ctrl-C."""
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - told apart, not bound
"""How this machine itself reaches a listener on every address."""


async def run(folder: Folder, config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal ends the process at once: that loses nothing either.

    Raises:
        NoisefsError: The store cannot be made or opened, or a listener cannot be had.
    """
    context = tls.server_context(config.tls)
    tls.check_exposure(config)
    stopping = _stop_on_signals(config, context)
    telemetry = PrometheusTelemetry()
    made = None if folder.state() is State.STORE else await make_store(folder, config, telemetry)
    async with open_store(folder, config, telemetry) as opened:
        await declared.apply(opened.store, config)
        await _serve(folder, config, opened, telemetry, context, None if made is None else made.credential, stopping)
    log.info("server.stopped")


async def _serve(
    folder: Folder,
    config: Config,
    opened: Administered,
    telemetry: PrometheusTelemetry,
    context: ssl.SSLContext | None,
    first: Credential | None,
    stopping: asyncio.Event,
) -> None:
    requests = RequestLog() if log.isEnabledFor(logging.INFO) else None
    proxies = Proxies(config.trusted_proxies)
    async with AsyncExitStack() as stack:
        if requests is not None:
            stack.callback(requests.close)
        protocols = await stack.enter_async_context(protocols_over(opened, config, telemetry))
        admin_tls = None if config.admin.listen.is_loopback else context
        s3 = bind("s3.listen", config.s3.listen)
        stack.callback(s3.close)
        webdav = bind("webdav.listen", config.webdav.listen)
        stack.callback(webdav.close)
        admin = bind("admin.listen", config.admin.listen)
        stack.callback(admin.close)
        public = [
            Listener(front("s3", protocols.s3, proxies, requests), s3, config.limits, context),
            Listener(front("webdav", protocols.webdav, proxies, requests), webdav, config.limits, context),
        ]
        private = [
            Listener(front("admin", protocols.admin.handle, proxies, None), admin, config.limits, admin_tls),
            Listener(protocols.socket.handle, bind_local(folder.socket), config.limits, None),
        ]
        stack.callback(folder.socket.unlink, missing_ok=True)
        for listener in (*public, *private):
            await listener.start()
        endpoints = Endpoints(
            config.public_urls.s3 or _url(address_of(s3), context),
            config.public_urls.webdav or _url(address_of(webdav), context),
            _url(address_of(admin), admin_tls),
        )
        _announce(folder, config, endpoints, first)
        real = Endpoints(_url(address_of(s3), context), _url(address_of(webdav), context), endpoints.admin)
        sys.stdout.write(json.dumps({"ready": True, "s3": real.s3, "webdav": real.webdav, "admin": real.admin}) + "\n")
        sys.stdout.flush()
        await stopping.wait()
        log.info("server.draining", extra={"limit_s": config.limits.drain_s})
        protocols.admin.drain()
        await asyncio.gather(*(listener.drain() for listener in public))
        await asyncio.gather(*(listener.drain() for listener in private))


def _announce(folder: Folder, config: Config, endpoints: Endpoints, first: Credential | None) -> None:
    text = banner(
        version=version("noisefs-gateway"),
        data=str(folder.path),
        endpoints=endpoints,
        region=config.s3.region,
        first=first,
        known=config.admin_access_key or "",
    )
    sys.stderr.write(text)
    sys.stderr.flush()
    log.info("server.ready", extra={"s3": endpoints.s3, "webdav": endpoints.webdav, "admin": endpoints.admin})


def _url(address: Address, context: ssl.SSLContext | None) -> str:
    """How this machine reaches a listener."""
    host = _WILDCARDS.get(address.host, address.host)
    return f"{'http' if context is None else 'https'}://{Address(host, address.port)}"


def _stop_on_signals(config: Config, context: ssl.SSLContext | None) -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; a second one ends the process. SIGHUP reads the certificate again."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(_HURRIED)
        stopping.set()

    def reload() -> None:
        if context is not None:
            try:
                tls.load(context, config.tls)
                log.info("tls.reloaded")
            except ConfigError as exc:
                log.warning("tls.not_reloaded", extra={"error": str(exc)})

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return stopping
