"""Load, SIGKILL, restart, look at everything; again on the same store."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.failures import BenchError
from bench.peers import NoiseFS, Peer
from bench.servers import Server
from tests.e2e.crash.clients import S3, Dav, Unanswered, Unexpected
from tests.e2e.crash.content import Pool
from tests.e2e.crash.dav_steps import trees_of
from tests.e2e.crash.desk import SHARED, Desk, Owned, Tally
from tests.e2e.crash.inspection import Inspection, put_first
from tests.e2e.crash.load import Worker
from tests.e2e.crash.model import Model

_OWNERS = 5
_FIGHTERS = 2
_STARTUP_KILLS = 0.15  # of all kills hit a server that is still starting


class CrashFault(AssertionError):
    """A promise was broken. The message lists how; the data folder is left as it is."""


@dataclass(slots=True)
class Summary:
    """What a campaign did."""

    seed: int
    kills: int = 0
    startup_kills: int = 0
    answered: int = 0
    unanswered: int = 0
    applied: int = 0
    objects: int = 0
    bytes_checked: int = 0
    slowest_start_s: float = 0.0
    elapsed_s: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        kinds = ", ".join(f"{what} {count}" for what, count in sorted(self.requests.items()))
        return (
            f"crash test: seed {self.seed}, {self.kills} kills ({self.startup_kills} while starting), "
            f"{self.answered} writes answered and kept, {self.unanswered} unanswered ({self.applied} took effect), "
            f"{self.objects} objects at the end, {self.bytes_checked / 2**20:.0f} MiB compared, "
            f"slowest start {self.slowest_start_s:.1f} s, {self.elapsed_s:.0f} s; requests: {kinds}"
        )


class Campaign:
    """One store, one model, many lives of the server."""

    def __init__(self, place: Path, seed: int, peer: Peer | None = None) -> None:
        self._draw = random.Random(seed)
        self._peer = peer or NoiseFS(environment={"NOISEFS_S3__MIN_PART_BYTES": "1"})
        self._place = place
        self.server = Server(self._peer, place / "data")
        self.model = Model()
        self.pool = Pool()
        self.tally = Tally()
        self.summary = Summary(seed)
        folders = [f"w{number}" for number in range(_OWNERS)]
        self._owners = [Owned(folder, random.Random(f"{seed}/{folder}")) for folder in folders]
        self._fighters = [Owned(SHARED, random.Random(f"{seed}/f{number}")) for number in range(_FIGHTERS)]
        self._last_start_s = 1.0

    def begin(self) -> None:
        """Start the server on an empty store; make the bucket and the folders."""
        self._start()
        assert self.server.s3 is not None
        s3 = S3(self.server.s3)
        answer = s3.ask("PUT")
        if answer.status != 200:
            raise Unexpected(f"bucket: {answer.status} {answer.body[:300]!r}")
        for folder in [*(owned.folder for owned in self._owners), SHARED]:
            put_first(s3, self.model, self.pool, f"{folder}/keep")
        s3.close()

    def _start(self) -> None:
        begin = time.monotonic()
        try:
            self.server.start()
        except BenchError as exc:
            raise CrashFault(f"it did not start (seed {self.summary.seed}, {self._place}): {exc}") from exc
        self._last_start_s = time.monotonic() - begin
        self.summary.slowest_start_s = max(self.summary.slowest_start_s, self._last_start_s)

    def load_and_kill(self, *, terminate: bool = False) -> None:
        """Run the load for a random time, then SIGKILL the server (or SIGTERM it) in the middle of it."""
        ending = threading.Event()
        small = isinstance(self._peer, NoiseFS)
        workers = [
            Worker(Desk(owned, self.server, self.model, self.pool, self.tally), ending, small_parts=small)
            for owned in [*self._owners, *self._fighters]
        ]
        threads = [threading.Thread(target=worker.run) for worker in workers]
        for thread in threads:
            thread.start()
        time.sleep(self._draw.uniform(0.02, 1.0))  # the moment of death is the test's random input
        alive = self.server.alive()
        ending.set()
        if terminate:
            self.server.stop()
        else:
            self.server.kill()
            self.summary.kills += 1
        for thread in threads:
            thread.join()
        if not alive:
            self.tally.note("the server ended by itself")

    def restart(self) -> None:
        """Start it again; now and then it is killed once more on the way."""
        if self._draw.random() < _STARTUP_KILLS:
            self.server.spawn()
            time.sleep(self._draw.uniform(0.0, self._last_start_s))
            self.server.kill()
            self.summary.kills += 1
            self.summary.startup_kills += 1
        self._start()

    def check(self) -> None:
        """Look at everything.

        Raises:
            CrashFault: Something is not as promised. The journal is in ``journal.jsonl``.
        """
        assert self.server.s3 is not None
        self.model.dump(self._place / "journal.jsonl")
        s3 = S3(self.server.s3)
        dav = Dav(self.server.webdav) if self.server.webdav is not None else None
        inspection = Inspection(s3, dav, self.model, self.pool)
        try:
            folders = [owned.folder for owned in self._owners]
            inspection.objects_and_folders([*folders, SHARED, *(tree for one in folders for tree in trees_of(one))])
            inspection.uploads(self._owners)
            if self.server.admin is not None and self.server.metrics().get("noisefs_integrity_errors_total", 0.0):
                inspection.faults.append("the server counted integrity errors")
        except (BenchError, Unexpected, Unanswered) as exc:
            inspection.faults.append(str(exc))
        finally:
            s3.close()
            if dav is not None:
                dav.close()
        faults = inspection.faults + self.tally.wrong
        self.summary.objects = inspection.objects
        self.summary.bytes_checked += inspection.bytes
        if faults:
            shown = "\n  ".join(faults[:20])
            raise CrashFault(
                f"{len(faults)} faults after {self.summary.kills} kills (seed {self.summary.seed}, {self._place}):\n"
                f"  {shown}"
            )

    def run(self, kills: int, say: Callable[[str], None] = lambda _: None) -> Summary:
        """``kills`` kills with a check after each restart, then an orderly stop and one check more.

        Raises:
            CrashFault: A promise was broken.
        """
        begin = time.monotonic()
        try:
            self.begin()
            while self.summary.kills < kills:
                self.load_and_kill()
                self.restart()
                self.check()
                say(f"{self.summary.kills} kills, {self.summary.objects} objects, start {self._last_start_s:.2f} s")
            self.load_and_kill(terminate=True)
            self._start()
            self.check()
            self.server.stop()
        finally:
            self.server.kill()
        self.summary.answered, self.summary.unanswered = self.model.answered, self.model.unanswered
        self.summary.applied = self.model.applied
        self.summary.requests = self.tally.requests
        self.summary.elapsed_s = time.monotonic() - begin
        return self.summary
