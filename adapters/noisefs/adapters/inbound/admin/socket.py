"""Commands over the socket of a running server: ``POST /<operation>`` with parameters as JSON, an answer as JSON.

Whoever may open the socket (mode 0600, in the data folder) may do everything: there is no login.
"""

import logging
from typing import Any, Final

import msgspec
from aiohttp import web

from noisefs.adapters.inbound.admin.failures import failure_of
from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, perform
from noisefs.core.errors import InvalidArgument, NoisefsError

log = logging.getLogger(__name__)

MOST_BYTES: Final = 64 * 1024
"""Parameters are names and secrets."""

_FAILED: Final = 400
_BUG: Final = 500


class AdminSocket:
    """Answers commands. Task-safe: operations may run beside each other and beside requests."""

    def __init__(self, target: Administered, operations: dict[str, Operation[Any]]) -> None:  # Any: as in the table
        self._target = target
        self._operations = operations

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one command."""
        name = request.path.removeprefix("/")
        try:
            result = await perform(self._operations, self._target, name, await _parameters(request))
        except NoisefsError as exc:
            log.info("admin.refused", extra={"operation": name, "error": str(exc)})
            return _answer(_FAILED, {"error": failure_of(exc)})
        except Exception:
            log.exception("admin.bug", extra={"operation": name})
            failure = {"family": "Bug", "kind": "Bug", "message": "a fault of the server; its log says more"}
            return _answer(_BUG, {"error": failure | {"retryable": False}})
        level = logging.DEBUG if self._operations[name].often else logging.INFO
        log.log(level, "admin.done", extra={"operation": name})
        return _answer(200, {"result": result})


async def _parameters(request: web.BaseRequest) -> dict[str, object]:
    if request.method != "POST":
        raise InvalidArgument("method", request.method, "POST")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise InvalidArgument("parameters", f"{len(body)} bytes", f"at most {MOST_BYTES}")
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, object])
    except msgspec.DecodeError as exc:
        raise InvalidArgument("parameters", f"{len(body)} bytes", f"a JSON object: {exc}") from exc


def _answer(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
