"""The index in one encrypted SQLite file with a write-ahead log: the embedded default.

Promise: what :meth:`SqliteIndex.transact` returned survives power loss (``sync = fsync``); a page that was changed by
anybody but us is an ``IndexDamaged``, never a wrong row. One process's writers share a connection and a lock, several
processes take a blocking file lock around a commit: SQLite's own waiting starves one of them for a second.

Measured on two cores with AEGIS-256 and ``synchronous=FULL``, a function being five rows and a 4 KiB blob: commits of
1, 8, 32 and 128 functions give 3,400, 10,000, 15,000 and 19,000 functions a second (213, 78, 53 and 44 CPU µs each);
deletions a fifth more. A point read costs 2 to 6 µs with its transaction, four of them 6 to 16, a scan of 1000 rows
0.25 ms. The log takes 4 to 6 pages a function: rows under random keys cost a page of their own each.
"""

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import msgspec

from noisefs.adapters.outbound.pending import Pending
from noisefs.adapters.outbound.sqlite.connection import BUSY_MS, KEY_BYTES, Sync, connect
from noisefs.adapters.outbound.sqlite.copier import LogCopier
from noisefs.adapters.outbound.sqlite.failures import is_sync_failure, translate
from noisefs.adapters.outbound.sqlite.rows import LARGE, View, write_rows
from noisefs.adapters.outbound.sqlite.schema import make_file, prepare
from noisefs.adapters.outbound.sqlite.unsynced import is_marked, mark, unmark, write_anew
from noisefs.core.errors import (
    IndexClosed,
    IndexDamaged,
    InvalidArgument,
    ReadOnlyStore,
    StorageFailed,
    StoreNotFound,
    WrongRootKey,
)
from noisefs.core.ports.index import Change, Changed, Committed, Index, Outcome, Reading, Table, Writing

log = logging.getLogger(__name__)

T = TypeVar("T")

PAGE_BYTES: Final = 4096
CHECKPOINT_PAGES: Final = 8000
"""Pages in the log at which they are copied into the file. A longer log makes a start slower, and one half as long
costs the commits of 70 KiB objects a fifth more: their pages are freed by the packer and used again, and each is
copied once a round.
"""
_LOG_PAGES_MOST: Final = 2 * CHECKPOINT_PAGES
"""At this length a commit waits for the copier."""
_TRUNCATE_TRIES: Final = 150
_TRUNCATE_WAIT_S: Final = 0.1
"""Together 15 s: readers end within 5 s."""

_CHANGES: Final = "SELECT sequence, keys FROM changes WHERE sequence > ? AND keys <> x'80' ORDER BY sequence LIMIT ?"
"""``x'80'``: a row that only holds the number."""

_encode = msgspec.msgpack.Encoder().encode
_decode_keys = msgspec.msgpack.Decoder(dict[str, list[bytes]]).decode


class SqliteIndex(Index):
    """The index file. Thread-safe. Several processes may have it open, unless it is ``exclusive``."""

    def __init__(
        self,
        path: Path,
        vfs: str | None,
        writer: apsw.Connection,
        connect_reader: Callable[[], apsw.Connection] | None,
        connect_copier: Callable[[], apsw.Connection] | None,
        lock_fd: int,
    ) -> None:
        """Use :meth:`open`."""
        self._path = path
        self._vfs = vfs
        self._writer = writer
        self._write_view = View(writer)
        self._connect_reader = connect_reader
        self._copier = None if connect_copier is None else LogCopier(connect_copier, self._note_failed_copy)
        self._lock_fd = lock_fd
        self._lock = threading.RLock()
        self._idle: list[View] = []
        self._sink: Callable[[Committed], None] | None = None
        self._closed = False
        self._failed = False
        self._wiping = True
        self._wal_pages = 0
        self._checkpoint_at = CHECKPOINT_PAGES
        writer.set_wal_hook(self._note_wal_pages)

    @classmethod
    def open(
        cls,
        path: Path,
        key: bytes,
        *,
        create: bool,
        sync: Sync = "fsync",
        vfs: str | None = None,
        exclusive: bool = False,
    ) -> "SqliteIndex":
        """The index in the file ``path``; with ``create`` an empty one is made where there is none.

        Args:
            path: The file; its log, lock and shared memory lie beside it.
            key: 32 random bytes.
            create: Whether a missing file is made.
            sync: ``os`` leaves it to the operating system when a commit reaches the disk.
            vfs: Name of a registered SQLite VFS that gets the encrypted pages; ``None``: the operating system.
            exclusive: One connection and no shared memory, so that any VFS can carry the log.

        Raises:
            StoreNotFound: There is no such file and ``create`` is false.
            WrongRootKey: The key does not open the file (or its very first page is damaged).
            NewerFormat: A later version of this program wrote it.
            IndexDamaged: A sync failed in an earlier life and the check that follows found damage.
            DiskFull, ReadOnlyStore, StorageFailed: It cannot be made or read.
        """
        if len(key) != KEY_BYTES:
            raise InvalidArgument("index key", f"{len(key)} bytes", f"exactly {KEY_BYTES} bytes")
        if not create and vfs is None and not path.exists():
            raise StoreNotFound(f"there is no index at {path}")

        def reader() -> apsw.Connection:
            return connect(str(path), key, sync=sync, vfs=vfs, exclusive=False, writer=False)

        def copier() -> apsw.Connection:
            return connect(str(path), key, sync=sync, vfs=vfs, exclusive=False, writer=True)

        lock_fd = -1
        try:
            if not exclusive:
                lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(lock_fd, fcntl.LOCK_EX)
            if create and vfs is None:
                make_file(path)
            try:
                unsynced = is_marked(str(path), vfs)
                if unsynced:
                    write_anew(str(path), vfs)
                writer = connect(str(path), key, sync=sync, vfs=vfs, exclusive=exclusive, writer=True)
                prepare(writer, create=create)
            finally:
                if lock_fd >= 0:
                    fcntl.flock(lock_fd, fcntl.LOCK_UN)
        except OSError as exc:
            kind = ReadOnlyStore if exc.errno in (errno.EROFS, errno.EACCES) else StorageFailed
            raise kind(f"the index at {path} cannot be opened: {exc}") from exc
        except apsw.NotADBError as exc:
            raise WrongRootKey(f"the key does not open the index at {path}, or its first page is damaged") from exc
        except apsw.Error as exc:
            raise translate(exc, f"opening the index at {path}") from exc
        index = cls(path, vfs, writer, None if exclusive else reader, None if exclusive else copier, lock_fd)
        if unsynced:
            index._check_after_failed_sync()
        return index

    # ------------------------------------------------------------------ reading

    def read(self, work: Callable[[Reading], T]) -> T:
        """Run ``work`` on an idle read connection. Cost: some 5 µs and what ``work`` reads."""
        return self._read(work)

    def read_pair(self, table: Table, key: bytes, other: Table, other_key: bytes) -> tuple[bytes | None, bytes | None]:
        """Two point reads in one statement: half of what a transaction around them costs."""
        try:
            view = self._idle.pop()
        except IndexError:  # none yet, or this index has one connection only
            return super().read_pair(table, key, other, other_key)
        try:
            self._check_open()
            return view.get_pair(table, key, other, other_key)
        except apsw.Error as exc:
            raise translate(exc, "reading the index") from exc
        finally:
            self._put_back(view)

    def _read(self, work: Callable[[View], T]) -> T:
        if self._connect_reader is None:
            with self._lock:
                return self._read_on(self._write_view, work)
        try:
            view = self._idle.pop()
        except IndexError:
            view = self._new_view(self._connect_reader)
        try:
            return self._read_on(view, work)
        finally:
            self._put_back(view)

    def _put_back(self, view: View) -> None:
        if self._closed:
            view.conn.close()
        else:
            self._idle.append(view)

    def _new_view(self, connect_reader: Callable[[], apsw.Connection]) -> View:
        self._check_open()
        try:
            return View(connect_reader())
        except apsw.Error as exc:
            raise translate(exc, "opening a read connection") from exc

    def _read_on(self, view: View, work: Callable[[View], T]) -> T:
        self._check_open()
        try:
            view.begin()
            try:
                return work(view)
            finally:
                view.end()
        except apsw.Error as exc:
            raise translate(exc, "reading the index") from exc

    def sequence(self) -> int:
        """Number of the last commit."""
        return self._read(lambda view: _last_sequence(view.conn))

    def changes(self, after: int, limit: int) -> list[Change]:
        """Changes of later commits."""
        rows = self._read(lambda view: view.conn.execute(_CHANGES, (after, limit)).fetchall())
        return [_change(*row) for row in rows]

    def changed_rows(self, after: int, limit: int) -> Changed:
        """Rows under the keys that later commits changed."""

        def work(view: View) -> Changed:
            last = _last_sequence(view.conn)
            keys: dict[tuple[Table, bytes], None] = {}
            upto = last
            for row in view.conn.execute(_CHANGES, (after, -1)):
                change = _change(*row)
                keys.update(dict.fromkeys(change.keys))
                if len(keys) >= limit:
                    upto = change.sequence
                    break
            rows = [(table, key, view.get(table, key)) for table, key in keys]
            return Changed(upto, rows, upto == last)

        return self._read(work)

    # ------------------------------------------------------------------ writing

    def transact(self, batch: Sequence[Callable[[Writing], object]], *, wipe: bool = True) -> list[Outcome[object]]:
        """Run the batch in memory over one write transaction, write what is left of it, commit with one sync."""
        with self._writing("committing"):
            conn = self._writer
            conn.execute("BEGIN IMMEDIATE")
            try:
                pending = Pending(self._write_view, _last_sequence(conn) + 1)
                outcomes = [pending.run(work) for work in batch]
                committed = pending.writes() if pending else None
                if committed is not None:
                    self._write(committed, wipe=wipe)
                conn.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            if committed is not None and self._sink is not None:
                self._sink(committed)
            self._checkpoint_if_due()
            return outcomes

    def _write(self, committed: Committed, *, wipe: bool) -> None:
        conn = self._writer
        touched: dict[str, list[bytes]] = {}
        for table, writes in committed.tables:
            name = table._value_
            self._wipe_freed_pages(wipe and name not in LARGE)
            write_rows(conn, name, writes)
            touched[name] = [key for key, _ in writes]
        conn.execute("INSERT INTO changes VALUES(?, ?)", (committed.sequence, _encode(touched)))

    def _wipe_freed_pages(self, wanted: bool) -> None:
        if wanted is not self._wiping:
            self._writer.pragma("secure_delete", "on" if wanted else "fast")
            self._wiping = wanted

    def skip_to(self, sequence: int) -> None:
        """Raise the last commit's number."""
        with self._writing("setting the sequence number"):
            statement = "INSERT INTO changes SELECT ?1, x'80' WHERE ?1 > (SELECT max(sequence) FROM changes)"
            self._writer.execute(statement, (sequence,))

    def forget_changes(self, upto: int) -> None:
        """Drop the rows; the last one stays, emptied, because it holds the sequence number."""
        with self._writing("forgetting changes"):
            conn = self._writer
            conn.execute("BEGIN IMMEDIATE")
            try:
                last = _last_sequence(conn)
                conn.execute("DELETE FROM changes WHERE sequence <= ? AND sequence < ?", (upto, last))
                if upto >= last:
                    conn.execute("UPDATE changes SET keys = x'80' WHERE sequence = ?", (last,))
                conn.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def follow(self, sink: Callable[[Committed], None] | None) -> None:
        """Hand later commits to ``sink``."""
        with self._lock:
            self._sink = sink

    @contextlib.contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        """Hold the thread lock and the file lock; turn SQLite's errors into ours."""
        with self._lock:
            self._check_open()
            if self._failed:
                raise IndexClosed(f"{doing}: a sync of the index failed earlier: restart the server")
            if self._lock_fd >= 0:
                fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
            try:
                yield
            except apsw.Error as exc:
                if is_sync_failure(exc):
                    self._fail()
                failed = isinstance(exc, apsw.IOError | apsw.CantOpenError)
                raise translate(exc, doing, self._writer.system_errno if failed else 0) from exc
            finally:
                if self._lock_fd >= 0:
                    fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            with contextlib.suppress(apsw.Error):  # the error that brought us here is the one to report
                self._writer.execute("ROLLBACK")

    def _fail(self) -> None:
        """Stop writing for good. The mark makes the next start write the files anew and check them."""
        self._failed = True
        log.error("index.sync_failed", extra={"path": str(self._path)})
        mark(str(self._path), self._vfs)

    def _check_after_failed_sync(self) -> None:
        try:
            self.verify()
            unmark(str(self._path), self._vfs)
        except apsw.Error as exc:
            self.close()
            raise translate(exc, f"opening the index at {self._path} after a failed sync") from exc
        except IndexDamaged:
            self.close()
            raise

    # ------------------------------------------------------------------ upkeep

    def _note_wal_pages(self, _conn: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint_if_due(self) -> None:
        """Copy the log into the file. The batch is durable already: a failure here is not its failure."""
        if self._wal_pages < self._checkpoint_at:
            # Once the log begins anew, so does the count.
            self._checkpoint_at = max(CHECKPOINT_PAGES, min(self._checkpoint_at, self._wal_pages + CHECKPOINT_PAGES))
            return
        if self._copier is not None and not self._is_copied(self._copier):
            self._checkpoint_at = self._wal_pages + CHECKPOINT_PAGES // 16
            return
        try:
            frames, copied = self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:  # another process copies
            frames, copied = self._wal_pages, 0
        except apsw.Error as exc:
            self._note_failed_copy(exc)
            frames, copied = self._wal_pages, 0
        # A reader may hold the log open: do not look again at every commit.
        self._checkpoint_at = CHECKPOINT_PAGES if copied >= frames else self._wal_pages + CHECKPOINT_PAGES // 4

    def _is_copied(self, copier: LogCopier) -> bool:
        """Whether the copier has been over the log, so that little is left; where it has not, it begins."""
        if not copier.has_begun:
            copier.begin()
            return False
        if copier.is_busy and self._wal_pages < _LOG_PAGES_MOST:
            return False
        copier.take()
        return True

    def _note_failed_copy(self, exc: apsw.Error) -> None:
        """What was not copied stays in the log; but after a failed sync nobody knows what the file holds."""
        if is_sync_failure(exc):
            self._fail()
        log.warning("index.checkpoint_failed", extra={"cause": str(exc)})

    def checkpoint(self) -> None:
        """Copy the log into the file and empty it.

        Deleted values were overwritten in their pages when they were deleted, so that none is left then. Waits up to
        15 s for readers; writers get their turn between the attempts.

        Raises:
            StorageFailed: A reader held the log open all the time.
        """
        with self._writing("emptying the log"), contextlib.suppress(apsw.BusyError):  # another process copies
            copying = None if self._copier is None else self._copier.begin()
            if copying is None:
                self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if copying is not None:
            copying.join()  # commits go on meanwhile
        for _ in range(_TRUNCATE_TRIES):
            with self._writing("emptying the log"):
                if self._copier is not None:
                    self._copier.take()
                self._writer.set_busy_timeout(0)
                try:
                    self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                    self._wal_pages = 0
                    return
                except apsw.BusyError:
                    pass
                finally:
                    self._writer.set_busy_timeout(BUSY_MS)
            time.sleep(_TRUNCATE_WAIT_S)
        raise StorageFailed("emptying the log: a reader has held it open for too long")

    def verify(self) -> None:
        """Read and check every page and every tree."""
        try:
            found = self._read(lambda view: view.conn.execute("PRAGMA integrity_check(5)").fetchall())
        except StorageFailed as exc:
            raise IndexDamaged(str(exc)) from exc
        if found != [("ok",)]:
            raise IndexDamaged("the index fails its check: " + "; ".join(str(row[0]) for row in found))

    def size_bytes(self) -> int:
        """Length of the file and its log."""
        pages = self._read(lambda view: int(view.conn.pragma("page_count")))
        return (pages + self._wal_pages) * PAGE_BYTES

    def close(self) -> None:
        """Close every connection; the last one copies the log into the file."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            while self._idle:
                self._idle.pop().conn.close()
            if self._copier is not None:
                self._copier.close()
            self._writer.close()
            if self._lock_fd >= 0:
                os.close(self._lock_fd)

    def _check_open(self) -> None:
        if self._closed:
            raise IndexClosed("the index is closed")


def _last_sequence(conn: apsw.Connection) -> int:
    found: int = conn.execute("SELECT max(sequence) FROM changes").get
    return found


def _change(sequence: Any, raw: Any) -> Change:  # Any: SQL does not say what a column holds
    try:
        tables = _decode_keys(raw)
        return Change(sequence, tuple((Table(name), key) for name, keys in tables.items() for key in keys))
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as exc:
        raise IndexDamaged(f"the changes of commit {sequence} cannot be decoded: {exc}") from exc
