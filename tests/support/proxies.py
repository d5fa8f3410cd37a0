"""Servers that stand between a client and a service and do harm: hang, cut, delay, damage. All on loopback."""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

_PIECE_BYTES = 1 << 16


class Relay:
    """Passes TCP on to ``upstream`` (a URL), and harms it as its switches say; they may be set at any time.

    Attributes:
        hanging: Accept, take what is sent, pass nothing on.
        delay_s: Hold each piece of an answer back for so long.
        cut_up_after: Break a connection once so many bytes of requests have passed on it.
        cut_down_after: The same for answers.
        connections: How many were accepted.
    """

    def __init__(self, upstream: str = "") -> None:
        """Without an upstream it can only hang."""
        self._upstream = urlsplit(upstream) if upstream else None
        self.hanging = not upstream
        self.delay_s = 0.0
        self.cut_up_after: int | None = None
        self.cut_down_after: int | None = None
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Break all connections."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            if self._upstream is None:
                while await reader.read(_PIECE_BYTES):
                    pass
                return
            there = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
            writers.append(there[1])
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there[1], up=True))
                group.create_task(self._pump(there[0], writer, up=False))
        except* (OSError, _Cut):
            pass
        finally:
            for open_writer in writers:
                open_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        passed = 0
        while piece := await reader.read(_PIECE_BYTES):
            if self.hanging:
                continue
            if self.delay_s and not up:
                await asyncio.sleep(self.delay_s)
            limit = self.cut_up_after if up else self.cut_down_after
            if limit is not None and passed + len(piece) > limit:
                writer.write(piece[: max(0, limit - passed)])
                await writer.drain()
                raise _Cut
            passed += len(piece)
            writer.write(piece)
            await writer.drain()
        raise _Cut


class _Cut(Exception):
    """The connection ends here."""


class DamagingProxy:
    """Passes HTTP on to ``upstream`` and flips a bit in the blocks that it answers with.

    Attributes:
        damaging: Whether it does.
        damaged: How many answers it changed.
        blocks: How often each block was asked for, by the path it was asked with.
    """

    def __init__(self, upstream: str) -> None:
        """Stand before this URL."""
        self._upstream = upstream
        self.damaging = True
        self.damaged = 0
        self.blocks: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{tail:.*}", self._pass_on)
        self._session = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Expect")}
        body = request.content if request.can_read_body else None
        async with self._session.request(
            request.method, self._upstream + request.raw_path, data=body, headers=headers
        ) as answer:
            data = await answer.read()
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name not in ("Content-Length", "Transfer-Encoding", "Trailer", "Connection")
            }
            blocks = request.path.startswith("/ipfs/") or request.path == "/api/v0/block/get"
            if blocks:
                self.blocks[request.path_qs] += 1
            if self.damaging and blocks and answer.status == 200 and data:
                data = data[:-1] + bytes([data[-1] ^ 1])
                self.damaged += 1
            return web.Response(status=answer.status, body=data, headers=kept)
