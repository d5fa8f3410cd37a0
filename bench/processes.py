"""CPU time and memory of a server: its process and all that it started, from ``/proc``."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat counted from behind the closing parenthesis of the command, proc(5).
_PPID, _UTIME, _CSTIME = 1, 11, 14


@dataclass(frozen=True, slots=True)
class Usage:
    """One look at a process tree."""

    cpu_s: float
    rss_bytes: int
    peak_rss_bytes: int


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it ended while we looked
        return None
    return text[text.rindex(")") + 2 :].split()


def tree(root: int) -> list[int]:
    """``root`` and every living process below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[_PPID]), []).append(int(entry.name))
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        found.append(pid)
        pending.extend(parents.get(pid, ()))
    return found


def usage(root: int) -> Usage:
    """CPU seconds since start (ended and waited-for children included) and resident bytes of a tree.

    Resident bytes are a plain sum, so pages that processes share count once for each.
    """
    ticks = rss = peak = 0
    for pid in tree(root):
        fields = _stat(pid)
        if fields is None:
            continue
        ticks += sum(int(value) for value in fields[_UTIME : _CSTIME + 1])
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        values = dict(line.split(":", 1) for line in status.splitlines() if line.startswith("Vm"))
        rss += int(values.get("VmRSS", "0 kB").split()[0]) * 1024
        peak += int(values.get("VmHWM", "0 kB").split()[0]) * 1024
    return Usage(ticks / _TICKS_PER_S, rss, peak)


def reset_peak(root: int) -> None:
    """Start the peak of resident bytes anew (``clear_refs`` 5, proc(5)); nothing where that is refused."""
    for pid in tree(root):
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            continue
