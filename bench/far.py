"""A longer way to a server: what it answers comes later, as over a long line, and as quickly once it comes."""

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

_PIECE_BYTES: Final = 1 << 18
_PIECES_UNDER_WAY: Final = 64


class FarAway:
    """Passes TCP on to a server, from a loop and thread of its own; each answer's bytes are ``delay_s`` under way."""

    def __init__(self, upstream: str, delay_s: float) -> None:
        """``upstream``: a URL."""
        parts = urlsplit(upstream)
        self._upstream = parts.hostname or "127.0.0.1", parts.port or 80
        self.delay_s = delay_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        begun = asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(begun, self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Break all connections."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection(*self._upstream)
            pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES_UNDER_WAY)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass_on(reader, there_writer))
                    group.create_task(self._take(there_reader, pieces))
                    group.create_task(self._give(pieces, writer))
            except* OSError:
                pass
            finally:
                writer.transport.abort()
                there_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def _take(self, reader: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]]) -> None:
        piece = b"begun"
        while piece:
            piece = await reader.read(_PIECE_BYTES)
            await pieces.put((self._loop.time() + self.delay_s, piece))

    async def _give(self, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(due - self._loop.time())
            if not piece:
                raise ConnectionResetError
            writer.write(piece)
            await writer.drain()
