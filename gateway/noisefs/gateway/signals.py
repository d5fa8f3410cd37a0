"""Signals of a server: what makes it stop, and what makes it read its certificate again."""

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import Callable
from typing import Final

from noisefs.core.errors import ConfigError
from noisefs.gateway import tls
from noisefs.gateway.config.schema import TlsConfig

log = logging.getLogger(__name__)

HURRIED: Final = 130
"""Exit code of a server that was told twice to stop: as a shell tells of Ctrl-C."""


def stop_on_signals(*numbers: signal.Signals, hurry: Callable[[], None] = lambda: None) -> asyncio.Event:
    """An event that these signals set. A second one ends the process at once, which loses nothing that was answered.

    ``hurry`` is called before such an end.
    """
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            hurry()
            os._exit(HURRIED)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, stop)
    return stopping


def reload_on_hangup(context: ssl.SSLContext | None, config: TlsConfig) -> None:
    """Let SIGHUP read certificate and key again; what cannot be used is logged and changes nothing."""

    def reload() -> None:
        if context is None:
            return
        try:
            tls.load(context, config)
            log.info("tls.reloaded")
        except ConfigError as exc:
            log.warning("tls.not_reloaded", extra={"error": str(exc)})

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
