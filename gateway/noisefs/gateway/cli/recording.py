"""``noisefs cache record``: write what a running server's clients read as a trace."""

import re
import secrets
import signal
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, NamedTuple

import msgspec
import typer
from rich.console import Console

from noisefs.core.errors import InvalidRequest, NoisefsError, Unavailable
from noisefs.gateway.cli import output
from noisefs.gateway.cli.options import DEFAULT_DATA, Data, Json
from noisefs.gateway.folder import Folder

PAUSE_S: Final = 0.25
"""Between two looks, where the last one left nothing: what waits in a server is bounded, so looks must be frequent."""
LAST_TURNS: Final = 64
"""At the end, so many turns at most to get what was read until then."""
_US: Final = 1_000_000
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def record(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A name that ends in .csv or .csv.zst.")],
    *,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="End after 90s, 10m, 2h or 1d.")
    ] = None,
    reads: Annotated[int | None, typer.Option("--reads", metavar="N", min=1, help="End after so many cells.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Write what is read from the running server as a trace for `noisefs cache simulate`, until Ctrl-C.

    A line for each cell: when, which, how large, of which object and where in it, through which protocol. In place of
    names there are hashes under a key that is made for this recording and forgotten at its end: two recordings have
    nothing in common. Times and sizes are those that were, so keep the file as you would keep an access log.
    The file gets its name when it is complete.
    """
    from noisefs.gateway.cli.trace_files import TraceFile

    limit_us = None if duration is None else int(_seconds(duration) * _US)
    folder = Folder(data.absolute())
    folder.require_store()
    with TraceFile(file) as trace, _stopped() as stop:
        listener = _Listener(folder)
        try:
            listener.begin()
            with Console(stderr=True).status("recording") as status:
                written = _Written(trace.write, listener.begun_us, limit_us, reads)
                ended = _follow(listener, written, stop, lambda: status.update(f"recording: {written.rows:,} cells"))
        finally:
            listener.end()
        trace.finish()
    if listener.lost:
        output.warn(f"{listener.lost:,} cells were read faster than they could be written, and are missing")
    if not written.rows:
        output.warn("nothing was read meanwhile")
    workers = [{"worker": number, "cells": cells} for number, cells in sorted(listener.heard.items())]
    answer = {
        "file": str(file),
        "cells": written.rows,
        "lost": listener.lost,
        "ended_by": ended,
        "workers": workers,
    }
    output.show(answer, as_json=as_json)


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not seconds:
        raise InvalidRequest(f"a duration of {text!r}: 90s, 10m, 2h or 1d are wanted")
    return seconds


@contextmanager
def _stopped() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one ends the program as ever."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def note(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in _SIGNALS:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(listener: "_Listener", written: "_Written", stop: threading.Event, tell: Callable[[], object]) -> str:
    """Write what is read until the end; tells what that was."""
    last_turns = 0
    while last_turns < LAST_TURNS:
        stopping = stop.is_set()
        heard = listener.turn()
        if heard is None:
            written.add((), None)
            return written.done or "server"
        written.add(heard.rows, heard.until_us)
        if written.done:
            return written.done
        tell()
        last_turns += stopping
        if heard.more:
            continue
        if stopping:
            break
        stop.wait(PAUSE_S)
    return "signal"


class _Turn(msgspec.Struct):
    """As :class:`~noisefs.core.services.caching.recording.Turn`."""

    rows: str
    until_us: int
    lost: int
    more: bool


class _Heard(NamedTuple):
    """What all processes heard: times and the rest of each line. All that was before ``until_us`` is known by now."""

    rows: list[tuple[int, str]]
    until_us: int
    more: bool


class _Listener:
    """Asks every process of the server, those too that start meanwhile."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._name, self._key = secrets.token_hex(8), secrets.token_hex(32)
        self._listening: set[int] = set()
        self.heard: dict[int, int] = {}
        """Cells by worker: at the end, some of them may not have been written any more."""
        self.lost = 0
        self.begun_us = 0

    def begin(self) -> None:
        """Have all listen.

        Raises:
            Unavailable: No server runs.
            CommandFailed: Somebody else records.
        """
        heard = self.turn()
        if heard is None:
            raise Unavailable(f"no server runs on {str(self._folder.path)!r}: there is nothing to record")
        self.begun_us = heard.until_us

    def turn(self) -> _Heard | None:
        """What was read since the last turn; ``None``: nobody answers any more."""
        from noisefs.adapters.inbound.admin.client import ask
        from noisefs.adapters.inbound.admin.failures import CommandFailed, family_of

        turns: list[_Turn] = []
        for number, path in self._folder.sockets().items():
            known = number in self._listening
            self._listening.discard(number)
            parameters = {"recording": self._name} | ({} if known else {"key": self._key})
            try:
                answer = ask(path, "cache.record.take" if known else "cache.record.begin", parameters)
            except CommandFailed as exc:
                if not known or family_of(exc) != "NotFound":
                    raise
                answer = ask(path, "cache.record.begin", parameters | {"key": self._key})  # a new process in its place
            except Unavailable:
                continue
            turns.append(turn := msgspec.convert(answer, _Turn))
            self.heard[number] = self.heard.get(number, 0) + turn.rows.count("\n")
            self._listening.add(number)
        if not turns:
            return None
        self.lost += sum(turn.lost for turn in turns)
        rows = [_parted(line) for turn in turns for line in turn.rows.splitlines()]
        return _Heard(rows, min(turn.until_us for turn in turns), any(turn.more for turn in turns))

    def end(self) -> None:
        """Have nobody listen any more. Never fails: they stop by themselves when they are not asked for a while."""
        from noisefs.adapters.inbound.admin.client import ask

        for number, path in self._folder.sockets().items():
            if number in self._listening:
                with suppress(NoisefsError):
                    ask(path, "cache.record.end", {"recording": self._name})


def _parted(line: str) -> tuple[int, str]:
    time_us, _, rest = line.partition(",")
    return int(time_us), rest


class _Written:
    """Lines in the order of their time, from several processes, up to a limit."""

    def __init__(self, write: Callable[[str], None], begun_us: int, limit_us: int | None, most: int | None) -> None:
        """``limit_us``: how long it may take; ``most``: lines."""
        from noisefs.core.domain.caching.replaying.trace import RECORDED

        self._write = write
        self._begun_us = begun_us
        self._end_us = None if limit_us is None else begun_us + limit_us
        self._most = most
        self._waiting: list[tuple[int, str]] = []
        self._last_us = begun_us
        self.rows = 0
        self.done = ""
        """What the end was, once it is reached."""
        write(",".join(RECORDED) + "\n")

    def add(self, rows: Iterable[tuple[int, str]], until_us: int | None) -> None:
        """Write what was before ``until_us`` (``None``: all there is), and keep the rest until the next time."""
        self._waiting.extend(rows)
        self._waiting.sort(key=_time_of)
        end_us, most = self._end_us, self._most
        limit_us = until_us if end_us is None else end_us if until_us is None else min(end_us, until_us)
        ready = len(self._waiting)
        if limit_us is not None:
            ready = bisect_right(self._waiting, limit_us, key=_time_of)
        if end_us is not None and until_us is not None and until_us >= end_us:
            self.done = "duration"
        if most is not None and self.rows + ready >= most:
            ready = most - self.rows
            self.done = "reads"
        lines: list[str] = []
        for time_us, rest in self._waiting[:ready]:
            self._last_us = max(self._last_us, time_us)  # a process that hung may tell late
            lines.append(f"{(self._last_us - self._begun_us) / _US:.6f},{rest}\n")
        del self._waiting[:ready]
        self.rows += ready
        self._write("".join(lines))


def _time_of(row: tuple[int, str]) -> int:
    return row[0]
