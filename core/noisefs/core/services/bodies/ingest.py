"""Taking a body in: from a stream of bytes to sealed, masked cells and an inline slice.

Promise: byte-exact in every chunking; nothing of a failed body becomes visible; memory is bounded over all bodies that
are being written (:mod:`.buffers`), so a slow store slows the socket.

A body under 16 KiB is hashed and sealed on the event loop (some 20 us; a hop costs more). A longer one is collected
in windows of up to eight segments; each window is hashed and sealed in one hop to a worker and masked in one hop to the
pack writer, while the next one fills. One segment is held back until the next byte or the end, so that the last piece,
and only it, carries the final flag.
"""

import asyncio
from collections.abc import AsyncIterable, Collection
from typing import Final

from noisefs.core.domain.buckets.durability import LOCAL
from noisefs.core.domain.geometry import INLINE_FOREVER_BYTES, TAG_BYTES, Geometry
from noisefs.core.domain.ids import ID_BYTES, BodyId, InstanceId
from noisefs.core.domain.objects.digests import Digests
from noisefs.core.domain.records import TAIL_NONE, TAIL_SLICE, TAIL_TINY
from noisefs.core.domain.requests import Digested
from noisefs.core.domain.sealing.keys import KEY_BYTES
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.backlog import Backlog
from noisefs.core.services.bodies.buffers import Budget, BufferPool
from noisefs.core.services.bodies.discards import Discards
from noisefs.core.services.bodies.gate import SpaceGate
from noisefs.core.services.bodies.staged import StagedBody
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.packs.staging import Staging
from noisefs.core.services.packs.writer import PackWriter

LOOP_BYTES: Final = 16384
"""A whole body up to this size is sealed on the event loop."""

TIME_BYTES: Final = 6
"""A body id begins with its millisecond, so that rows of one time lie together: random ones made every small PUT touch
another leaf of two tables, 6.0 log pages instead of 4.2. Ids stay inside the trust boundary."""

SEALING_AT_ONCE: Final = 6
"""Windows between sealing and masking, over all bodies."""

WINDOWS_A_BODY: Final = 2
"""One filling, one being sealed."""

_NO_CELLS: Final = memoryview(b"")


class BodyWriter:
    """Turns streams into staged bodies. Task-safe; memory is bounded over all bodies that are being written."""

    def __init__(
        self,
        *,
        writer: PackWriter,
        commits: CommitQueue,
        workers: Workers,
        entropy: Entropy,
        clock: Clock,
        telemetry: Telemetry,
        keys: StoreKeys,
        geometry: Geometry,
        instance_id: InstanceId,
        backlog: Backlog,
        gate: SpaceGate,
        buffer_bytes: int,
    ) -> None:
        """``buffer_bytes``: plaintext of all bodies under way."""
        self._writer = writer
        self.discards = Discards(commits)
        self._workers = workers
        self._entropy = entropy
        self._clock = clock
        self._telemetry = telemetry
        self._keys = keys
        self._geometry = geometry
        self._instance_id = instance_id
        self._backlog = backlog
        self._gate = gate
        self._budget = Budget(buffer_bytes, geometry.segment_bytes, WINDOWS_A_BODY)
        self._plain = BufferPool(buffer_bytes)
        self._cells = BufferPool(SEALING_AT_ONCE * 8 * geometry.block_bytes)
        self._sealing = asyncio.Semaphore(SEALING_AT_ONCE)

    async def ingest(
        self,
        source: AsyncIterable[bytes | memoryview],
        *,
        digests: Collection[str] = ("MD5",),
        group: bytes | None = None,
        durability: str = LOCAL,
    ) -> StagedBody:
        """Read ``source`` to its end and stage what it gave.

        An exception of ``source`` (cut connection, bad chunk signature) discards everything and propagates.

        Args:
            source: The bytes, in pieces of any size; a piece is not kept beyond the next one.
            digests: What to compute on the way.
            group: The upload this body is a part of: bytes of one upload do not mask each other.
            durability: The class that its cells have to get before they are named.
        """
        await self._backlog.admit()
        self._gate.check()
        intake = self._begin(digests, group, durability)
        try:
            with self._budget:
                await intake.run(source)
        except BaseException:
            await intake.stop()
            await self.discards.discard(intake.staging, self._clock.now_us())
            raise
        return self._staged(intake)

    def take_small(self, data: bytes, *, digests: Collection[str] = ("MD5",)) -> StagedBody | None:
        """Stage a whole body that is at hand, at once; ``None`` where :meth:`ingest` might have to wait.

        It has no cells: one that no commit names needs no discarding, and one that was is told by
        :meth:`.staged.StagedBody.named`. Cost: some 40 us for 4 KiB.

        Raises:
            DiskFull: There is no space left beyond the reserve.
        """
        self._gate.check()
        if len(data) > LOOP_BYTES or not self._backlog.has_room or not self._gate.take_at_once(len(data)):
            return None
        intake = self._begin(digests, None, LOCAL)
        if data:
            intake.seal(memoryview(data), _NO_CELLS, last=True)
        return self._staged(intake)

    def _begin(self, digests: Collection[str], group: bytes | None, durability: str) -> "_Intake":
        random = self._entropy.secret(ID_BYTES - TIME_BYTES + KEY_BYTES)
        key = random[:KEY_BYTES]
        millis = self._clock.now_us() // 1000 & (1 << 8 * TIME_BYTES) - 1
        body_id = BodyId(millis.to_bytes(TIME_BYTES, "big") + random[KEY_BYTES:])
        staging = Staging(
            body_id,
            body_id if group is None else group,
            self._keys.wrap.wrap_body_key(key, body_id),
            self._instance_id,
            durability=durability,
        )
        return _Intake(self, staging, BodyCipher(key, self._keys.store_id, body_id), Digests(digests))

    def _staged(self, intake: "_Intake") -> StagedBody:
        self._telemetry.count(Counter.PLAIN_BYTES, intake.size)
        return StagedBody(
            intake.staging,
            Digested(intake.size, intake.digests.results()),
            tail=intake.tail,
            sealed_tail=intake.sealed_tail,
            created_us=self._clock.now_us(),
            writer=self._writer,
            discards=self.discards,
            backlog=self._backlog,
        )

    # ------------------------------------------------------------------ what an intake borrows

    @property
    def segment_bytes(self) -> int:
        """S of the store."""
        return self._geometry.segment_bytes

    async def room(self, size_bytes: int) -> None:
        """Wait a little where so many more bytes would store too much beside what lives."""
        await self._gate.take(size_bytes)

    def take_window(self) -> bytearray:
        """A buffer for the next window: room for its segments."""
        return self._plain.take(self._budget.window() * self._geometry.segment_bytes)

    def give_window(self, buffer: bytearray) -> None:
        """A window's bytes are sealed."""
        self._plain.give(buffer)

    async def on_cpu(self, intake: "_Intake", plain: memoryview, *, last: bool) -> None:
        """Hash and seal one window and append its cells. Windows of one body come here one after another."""
        segments = len(plain) // self._geometry.segment_bytes
        if segments == 0:
            await self._workers.run(Lane.CPU, intake.seal, plain, _NO_CELLS, last=last)
            return
        async with self._sealing:
            buffer = self._cells.take(segments * self._geometry.block_bytes)
            cells = memoryview(buffer)
            first = intake.segments
            # Where one of these fails or is cancelled, a worker may still use the buffer: it is not handed back then.
            await self._workers.run(Lane.CPU, intake.seal, plain, cells, last=last)
            await self._writer.append(intake.staging, cells, first, segments)
            cells.release()
            self._cells.give(buffer)


class _Intake:
    """One body on its way in. ``seal`` runs on a worker, one window at a time; the rest on the loop."""

    def __init__(self, owner: BodyWriter, staging: Staging, cipher: BodyCipher, digests: Digests) -> None:
        self.staging = staging
        self.digests = digests
        self.size = 0
        self.segments = 0
        self.tail = TAIL_NONE
        self.sealed_tail = b""
        self._owner = owner
        self._cipher = cipher
        self._task: asyncio.Task[None] | None = None

    async def run(self, source: AsyncIterable[bytes | memoryview]) -> None:
        """Take in everything."""
        small: list[bytes] = []
        pieces: list[bytes | memoryview]
        small_bytes = 0
        window: bytearray | None = None
        filled = 0
        async for piece in source:
            if window is None:
                small_bytes += len(piece)
                if small_bytes <= LOOP_BYTES:
                    small.append(bytes(piece))
                    continue
                window = self._owner.take_window()
                pieces, small = [*small, piece], []
            else:
                pieces = [piece]
            for part in pieces:
                view = memoryview(part)
                while view:
                    if filled == len(window):  # only now: the last window must not be sealed before the end is known
                        await self._hand_over(window, filled, last=False)
                        window, filled = self._owner.take_window(), 0
                    count = min(len(view), len(window) - filled)
                    window[filled : filled + count] = view[:count]
                    filled += count
                    view = view[count:]
        if window is None:
            if small_bytes:
                await self._owner.room(small_bytes)
                self.seal(memoryview(b"".join(small)), _NO_CELLS, last=True)
        else:
            await self._hand_over(window, filled, last=True)
            await self._finished()

    async def stop(self) -> None:
        """Let a window under way come to its end, whatever it is: its buffers belong to it until then."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _hand_over(self, window: bytearray, filled: int, *, last: bool) -> None:
        await self._owner.room(filled)
        await self._finished()
        self._task = asyncio.create_task(self._seal_window(window, filled, last=last))

    async def _seal_window(self, window: bytearray, filled: int, *, last: bool) -> None:
        await self._owner.on_cpu(self, memoryview(window)[:filled], last=last)
        self._owner.give_window(window)

    async def _finished(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            try:
                await task
            except asyncio.CancelledError:
                self._task = task
                raise

    def seal(self, plain: memoryview, cells: memoryview, *, last: bool) -> None:
        """Hash ``plain`` and seal it: whole segments into ``cells``, what is left (only at the end) as the slice."""
        segment_bytes = self._owner.segment_bytes
        self.digests.update(plain)
        whole = len(plain) // segment_bytes
        cut = whole * segment_bytes
        rest = len(plain) - cut
        if whole:
            self._cipher.seal_segments(plain[:cut], self.segments, 0, segment_bytes, cells, final=last and rest == 0)
        if rest:
            self.sealed_tail = self._cipher.seal_slice(plain[cut:], self.segments + whole, 0)
            self.tail = TAIL_TINY if len(self.sealed_tail) <= INLINE_FOREVER_BYTES + TAG_BYTES else TAIL_SLICE
        self.segments += whole
        self.size += len(plain)
