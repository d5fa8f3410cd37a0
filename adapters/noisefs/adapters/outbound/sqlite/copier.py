"""Copies the log into the file beside the commits: on a connection and a thread of its own.

SQLite lets one connection copy what another goes on writing behind (file format, section *checkpoint algorithm*). What
was written meanwhile is left to the writer, which has to wait for that little only. On a loaded machine, 16 writers of
70 KiB objects: commits were held for 100 to 140 ms a round, 0.5 to 0.7 ms an object; now 30 ms, 0.1 to 0.2 an object.
"""

import threading
from collections.abc import Callable

import apsw


class LogCopier:
    """One round at a time. :meth:`begin`, :meth:`take` and :meth:`close` belong to whoever holds the writer's lock."""

    def __init__(self, connect: Callable[[], apsw.Connection], failed: Callable[[apsw.Error], None]) -> None:
        """``failed`` is told, by the thread that copies, what went wrong; a copier of another process did not."""
        self._connect = connect
        self._failed = failed
        self._conn: apsw.Connection | None = None
        self._thread: threading.Thread | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there is a round that nobody has taken."""
        return self._thread is not None

    @property
    def is_busy(self) -> bool:
        """Whether it copies."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> threading.Thread:
        """Copy what the log holds now; returns the thread that does, or did if there is a round already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._copy, name="index-copier")
            self._thread.start()
        return self._thread

    def take(self) -> None:
        """Wait for the end of the round; the next one may begin."""
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def close(self) -> None:
        """Wait for the round, and let the connection go."""
        self.take()
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _copy(self) -> None:
        try:
            if self._conn is None:
                self._conn = self._connect()
                self._conn.pragma(
                    "user_version"
                )  # a connection that has read nothing does not know that there is a log
            self._conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            pass
        except apsw.Error as exc:
            self._failed(exc)
