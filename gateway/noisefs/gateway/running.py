"""One server in one process: open the store, listen, say so, and on a signal drain and close."""

import logging
import signal

from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
from noisefs.gateway import declared, tls
from noisefs.gateway.announcing import announce
from noisefs.gateway.assembly import open_store
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder, State
from noisefs.gateway.listening import listening
from noisefs.gateway.making import make_store
from noisefs.gateway.signals import reload_on_hangup, stop_on_signals
from noisefs.gateway.sockets import bound

log = logging.getLogger(__name__)


async def run(folder: Folder, config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal ends the process at once.

    Raises:
        NoisefsError: The store cannot be made or opened, or a listener cannot be had.
    """
    context = tls.server_context(config.tls)
    tls.check_exposure(config)
    stopping = stop_on_signals(signal.SIGTERM, signal.SIGINT)
    reload_on_hangup(context, config.tls)
    telemetry = PrometheusTelemetry()
    made = None if folder.state() is State.STORE else await make_store(folder, config, telemetry)
    async with open_store(folder, config, telemetry) as opened:
        await declared.apply(opened.store, config)
        with bound(config) as sockets:
            async with listening(folder, config, opened, telemetry, sockets, context):
                announce(folder, sockets.configured(config), None if made is None else made.credential)
                await stopping.wait()
    log.info("server.stopped")
