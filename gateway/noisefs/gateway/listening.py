"""A process's listeners over an open store, from the first connection to the last."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from noisefs.adapters.inbound.admin.operations.operation import Administered
from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
from noisefs.gateway.caching import lending_over
from noisefs.gateway.collector import collect_less
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder
from noisefs.gateway.metrics import for_itself, serve_metrics
from noisefs.gateway.protocols import protocols_over, s3_malformed
from noisefs.gateway.requests import Proxies, RequestLog, front, front_shortly
from noisefs.gateway.server import Listener, bind_local
from noisefs.gateway.sockets import Sockets

log = logging.getLogger(__name__)


@asynccontextmanager
async def listening(
    folder: Folder,
    config: Config,
    opened: Administered,
    telemetry: PrometheusTelemetry,
    sockets: Sockets,
    context: ssl.SSLContext | None,
    *,
    worker: int = 0,
) -> AsyncIterator[None]:
    """Accept connections; at the end accept no more, and give requests under way ``limits.drain_s`` to end.

    The first worker answers on the admin port and on the socket in the data folder; the others have a socket each, for
    their metrics and for commands that every process has its own answer to.
    """
    async with AsyncExitStack() as stack:
        requests = RequestLog() if log.isEnabledFor(logging.INFO) else None
        if requests is not None:
            stack.callback(requests.close)
        protocols = await stack.enter_async_context(protocols_over(folder, opened, config, telemetry))
        proxies = Proxies(config.trusted_proxies)

        def local(path: Path) -> Path:
            stack.callback(path.unlink, missing_ok=True)
            return path

        public = [
            Listener(
                front("s3", protocols.s3, proxies, requests),
                sockets.s3,
                config.limits,
                context,
                s3_malformed,
                front_shortly("s3", protocols.s3_shortly, proxies, requests),
            ),
            Listener(
                front("webdav", protocols.webdav, proxies, requests),
                sockets.webdav,
                config.limits,
                context,
                shortly=front_shortly("webdav", protocols.webdav_shortly, proxies, requests),
            ),
        ]
        if sockets.website is not None:
            pages = front("website", protocols.website, proxies, requests)
            public.append(Listener(pages, sockets.website, config.limits, context))
        if worker == 0:
            admin_tls = None if config.admin.listen.is_loopback else context
            admin = front("admin", protocols.admin.handle, proxies, None)
            commands = bind_local(local(folder.socket))
            private = [
                Listener(admin, sockets.admin, config.limits, admin_tls),
                Listener(protocols.socket.handle, commands, config.limits, None),
            ]
        else:
            own = bind_local(local(folder.worker_socket(worker)))
            answers = for_itself(serve_metrics(opened.store, telemetry), protocols.socket.handle)
            private = [Listener(answers, own, config.limits, None)]
        if config.workers > 1 and opened.store.caching is not None:
            handler = lending_over(opened.store)
            lent = bind_local(local(folder.cells_socket(worker)))
            private.append(Listener(handler.handle, lent, config.limits, None))
        collect_less()
        for listener in (*private, *public):
            await listener.start()
        try:
            yield
        finally:
            log.info("server.draining", extra={"limit_s": config.limits.drain_s})
            protocols.admin.drain()
            await asyncio.gather(*(listener.drain() for listener in public))
            await asyncio.gather(*(listener.drain() for listener in private))
