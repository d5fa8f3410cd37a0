"""The admin port: is it alive, is it ready, and its numbers."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from noisefs.core.errors import NoisefsError

log = logging.getLogger(__name__)

CHECK_LIMIT_S: Final = 5.0
"""A part that has not answered by then is not ready."""

Check = Callable[[], Awaitable[object]]
"""Raises where a part of the server does not work."""


class AdminAdapter:
    """Answers requests of the admin port. Task-safe."""

    def __init__(
        self,
        *,
        checks: dict[str, Check],
        metrics: Callable[[], Awaitable[bytes]],
        metrics_type: str,
        token: str | None = None,
        degraded: Callable[[], Awaitable[list[str]]] | None = None,
    ) -> None:
        """``checks`` by the name of what they look at; ``token``: what a client must bear, if anything.

        ``degraded`` says what does not work as it should, though requests are answered.
        """
        self._checks = checks
        self._degraded = degraded
        self._metrics = metrics
        self._metrics_type = metrics_type
        self._token = None if token is None else f"Bearer {token}".encode()
        self._draining = False

    def drain(self) -> None:
        """Answer "not ready" from now on, so that nobody sends new clients."""
        self._draining = True

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        answers = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._answer_metrics}
        answer = answers.get(request.path)
        if answer is None:
            return web.Response(status=404, text=f"there is nothing here: try {', '.join(answers)}\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="only GET and HEAD are allowed\n", headers={"Allow": "GET, HEAD"})
        if self._token is not None and request.path != "/healthz":
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, self._token):
                client = str(request.get("client") or request.remote or "")
                log.warning("auth.failed", extra={"protocol": "admin", "client": client, "reason": "token"})
                return web.Response(
                    status=401, text="a bearer token is needed\n", headers={"WWW-Authenticate": "Bearer"}
                )
        return await answer()

    async def _healthz(self) -> web.Response:
        return web.json_response({"alive": True})

    async def _readyz(self) -> web.Response:
        found = {name: await _look(check) for name, check in self._checks.items()}
        if self._draining:
            found["server"] = "shutting down"
        ready = all(text == "ok" for text in found.values())
        answer: dict[str, object] = {"ready": ready, "checks": found}
        if self._degraded is not None:
            answer["degraded"] = await _limited(self._degraded)
        return web.json_response(answer, status=200 if ready else 503)

    async def _answer_metrics(self) -> web.Response:
        return web.Response(body=await self._metrics(), headers={"Content-Type": self._metrics_type})


async def _limited(degraded: Callable[[], Awaitable[list[str]]]) -> list[str]:
    try:
        async with asyncio.timeout(CHECK_LIMIT_S):
            return await degraded()
    except TimeoutError:
        return [f"no answer within {CHECK_LIMIT_S:g} s"]
    except NoisefsError as exc:
        return [str(exc)]


async def _look(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_LIMIT_S):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_LIMIT_S:g} s"
    except NoisefsError as exc:
        return str(exc)
    return "ok"
