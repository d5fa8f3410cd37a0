"""The mixed load: threads that write, copy, move and delete until the server is gone.

Each worker owns a folder and uses both protocols on it, so that its keys have one order of requests;
two more fight for the same few keys. Each worker draws from a generator of its own, so a seed gives
every worker the same wishes again (not the same interleaving: that is the machine's).
"""

import threading
from collections.abc import Callable

from tests.e2e.crash.clients import Unanswered, Unexpected
from tests.e2e.crash.dav_steps import FileSteps, TreeSteps
from tests.e2e.crash.desk import SHARED, Desk
from tests.e2e.crash.s3_steps import S3Steps
from tests.e2e.crash.uploads import UploadSteps

Step = Callable[[], None]


class Worker:
    """Sends one request after the other until the server is gone.

    ``ending`` is set right before that: a connection lost earlier is a fault. ``small_parts`` tells that
    the server takes parts below S3's 5 MiB.
    """

    def __init__(self, desk: Desk, ending: threading.Event, *, small_parts: bool) -> None:
        self._desk = desk
        self._ending = ending
        s3 = S3Steps(desk)
        steps: list[tuple[Step, int]] = [(s3.put, 26), (s3.delete, 8)]
        if desk.owned.folder != SHARED:
            steps += [(s3.delete_many, 2), (s3.copy, 8), (s3.get, 8)]
            if small_parts:
                steps.append((UploadSteps(desk).step, 14))
        if desk.dav is not None:
            files = FileSteps(desk, desk.dav)
            steps.append((files.put, 14))
            if desk.owned.folder != SHARED:
                trees = TreeSteps(desk, desk.dav)
                steps += [(files.move, 10), (files.copy, 4), (files.delete, 6)]
                steps += [(trees.put, 8), (trees.move, 4), (trees.copy, 2), (trees.delete, 1)]
        self._steps, self._weights = zip(*steps, strict=True)

    def run(self) -> None:
        """The thread's body."""
        try:
            while True:
                self._desk.draw.choices(self._steps, self._weights)[0]()
        except Unanswered as exc:
            if not self._ending.is_set():
                self._desk.tally.note(f"connection lost while the server ran: {exc}")
        except Unexpected as exc:
            self._desk.tally.note(str(exc))
        finally:
            self._desk.close()
