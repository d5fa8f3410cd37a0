"""Logs: one line of JSON each, on stderr, so that stdout stays for programs.

An event name and fields; the request id of whatever task logged is added here, so that no service has to carry it.
"""

import json
import logging
import time
import warnings
from contextvars import ContextVar
from typing import Final

from aiohttp import web

request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""Id of the request whose task is running; empty outside of one. A context variable, so every task sees its own."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has; the others came through ``extra``."""


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, event, logger, worker, request id, fields, error."""

    def __init__(self, worker: int | None = None) -> None:
        """``worker``: the number of this process among several."""
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        now = record.created
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        if self._worker is not None:
            line["worker"] = self._worker
        if request := request_id.get():
            line["request_id"] = request
        line.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=_text)


def _text(value: object) -> str:
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)


def configure(level: str, *, worker: int | None = None) -> None:
    """Send all logs of the process to stderr as JSON, from ``level`` up; libraries from ``warning`` up."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(worker))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("noisefs").setLevel(level.upper())
    logging.captureWarnings(capture=True)
    # Adapters read a request's id and client under plain names, so that they need not know who set them.
    warnings.filterwarnings("ignore", category=web.NotAppKeyWarning)
