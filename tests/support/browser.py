"""A Chromium without a window, driven by its own debugging protocol."""

import asyncio
import itertools
import json
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp


class Tab:
    """One page of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []  # Any: JSON
        """What the browser told: messages of the console, refused scripts."""

    async def call(self, method: str, **parameters: object) -> Any:  # Any: JSON
        """One command; its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def _next(self) -> dict[str, Any]:  # Any: JSON
        message: dict[str, Any] = json.loads((await self._socket.receive(timeout=30)).data)
        if "method" in message:
            self.events.append(message)
        return message

    async def wait_for(self, method: str) -> dict[str, Any]:  # Any: JSON
        """The next event of this name."""
        while (message := await self._next()).get("method") != method:
            pass
        return message

    async def run(self, expression: str) -> Any:  # Any: whatever it gives
        """The value of an expression, waited for."""
        found = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def reloading(self, expression: str) -> None:
        """Do something after which the page loads itself again, and wait for that."""
        seen = self._loads()
        found = await self.call("Runtime.evaluate", expression=expression)
        assert "exceptionDetails" not in found, found
        while self._loads() == seen:
            await self._next()

    def _loads(self) -> int:
        return sum(one["method"] == "Page.loadEventFired" for one in self.events)

    async def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        await self.call("Page.navigate", url=url)
        await self.wait_for("Page.loadEventFired")

    async def told(self) -> list[str]:
        """Texts of what the browser complained about so far."""
        await self.run("0")
        entries = (one["params"]["entry"]["text"] for one in self.events if one["method"] == "Log.entryAdded")
        return list(entries)


@asynccontextmanager
async def chromium(headers: dict[str, str]) -> AsyncIterator[Tab]:
    """A browser whose every request has these headers."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--remote-debugging-port=0"),
            *(f"--user-data-dir={profile}", "about:blank"),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            assert process.stderr is not None
            while (found := re.search(rb"ws://([^/]+)/", await process.stderr.readline())) is None:
                assert process.returncode is None
            drain = asyncio.create_task(process.stderr.read())
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://{found[1].decode()}/json") as reply:
                    page = next(one for one in await reply.json() if one["type"] == "page")
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    tab = Tab(socket)
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await tab.call(f"{domain}.enable")
                    await tab.call("Network.setExtraHTTPHeaders", headers=headers)
                    yield tab
        finally:
            process.terminate()
            await process.wait()
            await drain
