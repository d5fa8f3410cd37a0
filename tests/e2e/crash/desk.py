"""What a worker works with: its keys, its clients, the journal."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.servers import Server
from tests.e2e.crash.clients import S3, Answer, Dav, Unexpected
from tests.e2e.crash.content import Content, Piece, Pool
from tests.e2e.crash.model import Model, Request

SEGMENT = 131072
SIZES = (0, 1, 16, 100, 1024, 1025, 4096, 70_000, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 7, 1 << 20, 5 << 20)
_WEIGHTS = (3, 3, 3, 6, 3, 3, 12, 10, 5, 5, 5, 6, 4, 1)
_NAMES = 16
_MEMBERS = 4
SHARED = "shared"
_REFUSALS = {409, 412, 429, 503, 507}  # try later; nothing was done


@dataclass(slots=True)
class Upload:
    """A multipart upload that lives on over crashes."""

    key: str
    upload_id: str
    parts: dict[int, tuple[Piece, str]] = field(default_factory=dict)  # answered
    doubtful: tuple[int, Piece] | None = None  # sent, not answered
    ending: Request | None = None  # Complete, sent and not answered
    aborting: bool = False  # Abort, sent and not answered

    @property
    def content(self) -> Content:
        """What Complete of the answered parts would publish."""
        return tuple(piece for _, (piece, _) in sorted(self.parts.items()))


@dataclass(slots=True)
class Owned:
    """What one worker carries from one life of the server to the next."""

    folder: str
    draw: random.Random
    uploads: list[Upload] = field(default_factory=list)
    beginning: str | None = None  # key of an upload whose begin was sent and not answered


@dataclass(slots=True)
class Tally:
    """What went on, over all workers. Numbers only grow."""

    requests: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        """One more request of a kind."""
        with self.lock:
            self.requests[what] = self.requests.get(what, 0) + 1

    def note(self, what: str) -> None:
        """One more answer that must not be."""
        with self.lock:
            self.wrong.append(what)


class Desk:
    """One worker's. Only the model and the tally are shared with other threads."""

    def __init__(self, owned: Owned, server: Server, model: Model, pool: Pool, tally: Tally) -> None:
        assert server.s3 is not None
        self.owned = owned
        self.draw = owned.draw
        self.model = model
        self.pool = pool
        self.tally = tally
        self.s3 = S3(server.s3)
        self.dav = Dav(server.webdav) if server.webdav is not None else None

    def close(self) -> None:
        """Close the connections."""
        self.s3.close()
        if self.dav is not None:
            self.dav.close()

    def refuses(self, answer: Answer) -> bool:
        """Whether an answer says that nothing was done and it may be tried again."""
        return answer.status in _REFUSALS

    def key(self) -> str:
        """One of the worker's names."""
        return f"{self.owned.folder}/{self.draw.randrange(_NAMES):02d}"

    def piece(self) -> Piece:
        """New bytes of some size."""
        size = self.draw.choices(SIZES, _WEIGHTS)[0]
        if self.owned.folder == SHARED:  # only bytes that differ tell two writers apart
            size = max(size, 16)
        return Piece(self.model.serial(), size)

    def existing(self) -> tuple[str, Content] | None:
        """An object of the worker's that certainly exists."""
        keys = [f"{self.owned.folder}/{number:02d}" for number in range(_NAMES)]
        self.draw.shuffle(keys)
        for key in keys:
            content = self.model.certain(key)
            if content is not None:
                return key, content
        return None

    def write(
        self, what: str, effects: Mapping[str, Content | None], send: Callable[[], Answer], statuses: set[int]
    ) -> Answer | None:
        """Journal, send, judge the answer. None when it was refused."""
        self.tally.count(what)
        request = self.model.sent(what, effects)
        answer = send()
        return answer if self.settle(request, answer, statuses) else None

    def settle(self, request: Request, answer: Answer, statuses: set[int]) -> bool:
        """Note what an answer means; whether the request was done."""
        if answer.status in statuses:
            self.model.done(request, answer.etag if request.what in {"put", "dav put"} else None)
            return True
        self.model.refused(request)
        if answer.status not in _REFUSALS:
            raise Unexpected(f"{request.what} {', '.join(request.effects)}: {answer.status} {answer.body[:300]!r}")
        return False
