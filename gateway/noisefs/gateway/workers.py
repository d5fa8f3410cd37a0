"""Several processes serving one store: a parent that holds it, and workers that share its addresses.

The parent takes the store, binds every address without listening, so that port 0 is one port for all, and starts a
worker again that ended by itself. Each worker assembles a store of its own over the folder; the system spreads
connections over them (SO_REUSEPORT). A worker whose parent is gone drains and ends.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

import uvloop
from pydantic import SecretStr

from noisefs.adapters.inbound.admin.failures import CommandFailed, Failure, failure_of
from noisefs.adapters.outbound.localhead.head_file import read_head_bytes
from noisefs.adapters.outbound.prometheus.telemetry import PrometheusTelemetry
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.entropy import SystemEntropy
from noisefs.adapters.outbound.system.presence import FilePresence
from noisefs.core.domain.ids import ID_BYTES, InstanceId
from noisefs.core.domain.sealing.head import read_passphrase
from noisefs.core.errors import NoisefsError, Unavailable
from noisefs.gateway import declared, logs, rootkey, tls
from noisefs.gateway.allocator import keep_large_buffers
from noisefs.gateway.announcing import announce
from noisefs.gateway.assembly import open_store
from noisefs.gateway.config.schema import Config, RootKeyConfig
from noisefs.gateway.folder import Folder, State
from noisefs.gateway.listening import listening
from noisefs.gateway.making import make_store
from noisefs.gateway.signals import reload_on_hangup, stop_on_signals
from noisefs.gateway.sockets import bound

log = logging.getLogger(__name__)

RESTART_PAUSE_S: Final = 1.0
"""Before a worker that ended is started again: a worker that cannot live must not take the machine."""
CLOSE_LIMIT_S: Final = 60.0
"""What a worker may take to close its store after its requests have ended."""


@dataclass(slots=True)
class _Worker:
    number: int
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    """The worker's word that it is ready; for the worker, the parent's life."""


async def supervise(folder: Folder, config: Config) -> None:
    """Serve with ``config.workers`` processes until SIGTERM or SIGINT, then drain them all.

    Raises:
        NoisefsError: The store cannot be made or taken, a listener cannot be had, or a worker could not start.
    """
    tls.server_context(config.tls)
    tls.check_exposure(config)
    crew = _Crew(folder)
    stopping = stop_on_signals(signal.SIGTERM, signal.SIGINT, hurry=crew.kill)
    made = None if folder.state() is State.STORE else await make_store(folder, config, PrometheusTelemetry())
    disk = LocalDisk()
    with ExitStack() as stack:
        presence = FilePresence(disk, str(folder.locks), InstanceId(SystemEntropy().secret(ID_BYTES)))
        stack.callback(presence.close)
        presence.lock_store()
        sockets = stack.enter_context(bound(config, shared=True))
        config = sockets.configured(_with_phrase(folder, config, disk))
        crew.config = config
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, crew.hang_up)
        try:
            # The first one recovers what a crash left, and makes what is declared; the others need not.
            for number in range(config.workers):
                await crew.start(number)
            announce(folder, config, None if made is None else made.credential)
            async with asyncio.TaskGroup() as tending:
                tasks = [tending.create_task(crew.tend(number)) for number in range(config.workers)]
                await stopping.wait()
                for task in tasks:
                    task.cancel()
        finally:
            await crew.stop()
    log.info("server.stopped")


class _Crew:
    """The workers. Used from the parent's event loop only."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.config = Config()
        self._workers: dict[int, _Worker] = {}
        self._spawning = multiprocessing.get_context("spawn")

    async def start(self, number: int) -> None:
        """Start a worker and wait until it serves."""
        ours, theirs = self._spawning.Pipe()
        process = self._spawning.Process(
            target=_work, args=(self.folder, self.config, number, theirs), name=f"noisefs-{number}"
        )
        process.start()
        theirs.close()
        self._workers[number] = _Worker(number, process, ours)
        try:
            failure: Failure | None = await asyncio.to_thread(ours.recv)
        except EOFError:
            raise Unavailable(f"worker {number} ended before it was ready") from None
        if failure is not None:
            raise CommandFailed(failure)

    async def tend(self, number: int) -> None:
        """Start a worker again whenever it ends."""
        while True:
            await _ended(self._workers[number].process.sentinel)
            log.error("worker.ended", extra={"worker": number, "code": self._workers[number].process.exitcode})
            self._workers[number].pipe.close()
            await asyncio.sleep(RESTART_PAUSE_S)
            try:
                await self.start(number)
            except NoisefsError as exc:
                log.error("worker.not_started", extra={"worker": number, "error": str(exc)})
                await asyncio.sleep(RESTART_PAUSE_S)

    async def stop(self) -> None:
        """Let every worker drain and close; end those that take too long."""
        living = [worker.process for worker in self._workers.values() if worker.process.is_alive()]
        for process in living:
            process.terminate()
        limit_s = self.config.limits.drain_s + CLOSE_LIMIT_S
        await asyncio.gather(*(asyncio.to_thread(process.join, limit_s) for process in living))
        self.kill()

    def kill(self) -> None:
        """End every worker at once."""
        for worker in self._workers.values():
            if worker.process.is_alive():
                worker.process.kill()

    def hang_up(self) -> None:
        """Let every worker read its certificate again."""
        for worker in self._workers.values():
            if worker.process.is_alive() and worker.process.pid is not None:
                os.kill(worker.process.pid, signal.SIGHUP)


def _with_phrase(folder: Folder, config: Config, disk: LocalDisk) -> Config:
    """The configuration with the store's passphrase in it, asked for once, not by every worker."""
    if read_passphrase(read_head_bytes(disk, str(folder.head))) is None:
        return config
    phrase = rootkey.phrase_of(config.root_key)
    return config.model_copy(update={"root_key": RootKeyConfig(passphrase=SecretStr(phrase))})


async def _ended(sentinel: int) -> None:
    """Return when a process has ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(sentinel)


# ---------------------------------------------------------------- in the worker


def _work(folder: Folder, config: Config, number: int, pipe: Connection) -> None:
    """A worker's whole life."""
    keep_large_buffers()
    logs.configure(config.log_level, worker=number)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(folder, config, number, pipe))
        except NoisefsError as exc:
            pipe.send(failure_of(exc))


async def _serve(folder: Folder, config: Config, number: int, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    context = tls.server_context(config.tls)
    stopping = stop_on_signals(signal.SIGTERM)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches us too: the parent will say what to do

    def parent_gone() -> None:  # nothing is ever sent to us, so this is the end of the pipe
        loop.remove_reader(pipe.fileno())
        stopping.set()

    loop.add_reader(pipe.fileno(), parent_gone)
    reload_on_hangup(context, config.tls)
    telemetry = PrometheusTelemetry()
    async with open_store(folder, config, telemetry, own=False, ballast=number == 0, worker=number) as opened:
        if number == 0:
            await declared.apply(opened.store, config)
        with bound(config, shared=True) as sockets:
            async with listening(folder, config, opened, telemetry, sockets, context, worker=number):
                pipe.send(None)
                await stopping.wait()
