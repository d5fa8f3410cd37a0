"""Clients: they ask the store for whatever the seed tells them to, and hold its answers against the model."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.requests import Attributes, CompletedPart, Doomed, Principal, Removed, WriteCondition
from noisefs.core.errors import (
    IndexClosed,
    NoisefsError,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    Unavailable,
    UploadNotFound,
)
from noisefs.core.services.store import Store
from tests.simulation.model import ABSENT, Model, UploadModel, Write
from tests.support.simulated_disk import SimulatedDisk

WHO: Final = Principal(UserId("0" * 32), "root", admin=True)
VERSIONED: Final = "gamma"
"""A bucket that keeps versions: what it shows is what another would."""
BUCKETS: Final = ("alpha", "beta", VERSIONED)
FOLDERS: Final = ("", "photos/", "photos/2026/", "notes/")
KEYS_A_FOLDER: Final = 6
MAX_PARTS: Final = 4
THINK_S: Final = 0.01
SLOW_S: Final = 0.3
"""A slow client takes this long over a piece."""
LINGER_S: Final = 1.0
"""Time for the background jobs to release what was deleted."""
PATIENCE_S: Final = 600.0
"""No operation may take longer than this, in virtual time."""

_NEW_ONLY: Final = WriteCondition(if_none_match=("*",))


class Wrong(AssertionError):
    """The store broke a promise."""


class _Cut(Exception):
    """The connection of an upload went away."""


class Client:
    """One client. Several run at once; none knows of the others but through the model."""

    def __init__(self, store: Store, model: Model, disk: SimulatedDisk, chance: random.Random) -> None:
        self._store = store
        self._model = model
        self._disk = disk
        self._chance = chance
        self.broken = False
        """Whether faults were planted in this life: then requests may fail."""
        self.done: Counter[str] = Counter()
        self._kinds: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.put, 34),
            (self.get, 20),
            (self.delete, 9),
            (self.copy, 8),
            (self.get_of_what_goes, 1),
            (self.list, 4),
            (self.upload, 14),
            (self.delete_many, 2),
            (self.put_cut_off, 3),
            (self.put_cancelled, 3),
            (self.put_if_new, 3),
            (self.seal, 2),
            (self.clean, 1),
            (self.pack, 1),
        ]

    async def step(self) -> None:
        """One request."""
        (kind,) = self._chance.choices([kind for kind, _ in self._kinds], [weight for _, weight in self._kinds])
        await asyncio.sleep(self._chance.expovariate(1 / THINK_S))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await kind()
        except TimeoutError as exc:
            raise Wrong(f"{kind.__name__} never ended") from exc
        except (Unavailable, NoisefsError) as exc:
            if not self.broken:
                raise Wrong(f"{kind.__name__} failed on a healthy disk: {exc!r}") from exc
            self.done[f"failed {kind.__name__}: {type(exc).__name__}"] += 1
        self.done[kind.__name__] += 1

    # ------------------------------------------------------------------ choices

    def _place(self) -> tuple[str, str]:
        folder = self._chance.choice(FOLDERS)
        return self._chance.choice(BUCKETS), f"{folder}{self._chance.randrange(KEYS_A_FOLDER)}"

    def _data(self) -> bytes:
        segment = self._store.geometry.segment_bytes
        kind = self._chance.random()
        if kind < 0.04:
            size = 0
        elif kind < 0.34:
            size = self._chance.randint(1, 1024)
        elif kind < 0.70:
            size = int(1024 * (segment / 1024) ** self._chance.random())
        elif kind < 0.78:
            size = segment * self._chance.randint(1, 3)
        elif kind < 0.98:
            size = self._chance.randint(segment + 1, 3 * segment)
        else:
            size = self._chance.randint(9 * segment, 20 * segment)  # more than one window of a reader
        return self._chance.randbytes(size)

    async def _stream(self, data: bytes, cut_at: int | None = None) -> AsyncIterator[bytes]:
        at = 0
        pause_s = SLOW_S if self._chance.random() < 0.15 else THINK_S
        while at < len(data):
            if cut_at is not None and at >= cut_at:
                raise _Cut
            step = self._chance.choice((1000, 60_000, 131_072, 400_000))
            yield data[at : at + step]
            at += step
            if self._chance.random() < 0.3:
                await asyncio.sleep(self._chance.expovariate(1 / pause_s))
        if cut_at is not None:
            raise _Cut

    # ------------------------------------------------------------------ writes

    async def _written(self, bucket: str, key: str, write: Write, asked: Awaitable[str | None]) -> None:
        """Wait for the answer to a write and tell the model. ``asked`` gives the value, if only the store knows it."""
        try:
            value = await asked
        except (OutcomeUnknown, IndexClosed):
            raise
        except (NoisefsError, _Cut):
            if not self._disk.down:
                self._model.refused(bucket, key, write)
            raise
        if not self._disk.down:
            self._model.answered(bucket, key, write, value)

    async def put(self) -> None:
        bucket, key = self._place()
        await self._put(bucket, key, self._data())

    async def _put(self, bucket: str, key: str, data: bytes, condition: WriteCondition | None = None) -> None:
        etag = self._model.content(data)

        async def ask() -> str:
            version = await self._store.objects.put(
                WHO, bucket, key, self._stream(data), Attributes(), condition=condition or WriteCondition()
            )
            if (version.etag, version.size) != (etag, len(data)):
                raise Wrong(f"a PUT of {len(data)} bytes was answered with {version.size} and another ETag")
            return version.etag

        await self._written(bucket, key, self._model.begin(bucket, key, etag), ask())

    async def put_if_new(self) -> None:
        bucket, key = self._place()
        start = self._model.now()
        try:
            await self._put(bucket, key, self._data(), _NEW_ONLY)
        except PreconditionFailed:
            if self._model.register(bucket, key).possible(start) == {ABSENT}:
                raise Wrong(f"{key} does not exist, and If-None-Match: * was refused") from None

    async def put_cut_off(self) -> None:
        """A failed upload changes nothing."""
        bucket, key = self._place()
        data = self._data()
        stream = self._stream(data, self._chance.randint(0, len(data)))
        write = self._model.begin(bucket, key, self._model.content(data))

        async def ask() -> None:
            await self._store.objects.put(WHO, bucket, key, stream, Attributes())

        try:
            await self._written(bucket, key, write, ask())
        except _Cut:
            return
        raise Wrong("an upload that was cut off was accepted")

    async def put_cancelled(self) -> None:
        """The client hangs up: the write happens wholly or not at all."""
        bucket, key = self._place()
        data = self._data()
        self._model.begin(bucket, key, self._model.content(data))
        task = asyncio.create_task(self._store.objects.put(WHO, bucket, key, self._stream(data), Attributes()))
        await asyncio.wait([task], timeout=self._chance.expovariate(1 / THINK_S))
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()

    async def delete(self) -> None:
        await self._delete(*self._place())

    async def _delete(self, bucket: str, key: str) -> None:
        async def ask() -> None:
            await self._store.objects.delete(WHO, bucket, key)

        await self._written(bucket, key, self._model.begin(bucket, key, ABSENT), ask())

    async def delete_many(self) -> None:
        bucket = self._chance.choice(BUCKETS)
        keys = sorted({self._place()[1] for _ in range(5)})
        writes = [self._model.begin(bucket, key, ABSENT) for key in keys]
        outcomes = await self._store.objects.delete_many(WHO, bucket, [Doomed(key) for key in keys])
        if self._disk.down:
            return
        for key, write, outcome in zip(keys, writes, outcomes, strict=True):
            if isinstance(outcome, Removed):
                self._model.answered(bucket, key, write)

    async def copy(self) -> None:
        source_bucket, source_key = self._place()
        bucket, key = self._place()
        source = self._model.register(source_bucket, source_key)
        start = self._model.now()

        async def ask() -> str:
            version, _ = await self._store.objects.copy(WHO, source_bucket, source_key, bucket, key)
            if version.etag not in source.possible(start):
                raise Wrong(f"a copy of {source_key} got bytes that {source_key} cannot have had")
            return version.etag

        try:
            await self._written(bucket, key, self._model.begin(bucket, key, ABSENT, source), ask())
        except ObjectNotFound:
            if ABSENT not in source.possible(start):
                raise Wrong(f"{source_key} exists, and a copy did not find it") from None

    # ------------------------------------------------------------------ uploads in parts

    async def upload(self) -> None:
        free = [upload_id for upload_id, upload in self._model.uploads.items() if not upload.busy]
        if not free or self._chance.random() < 0.2:
            bucket, key = self._place()
            upload_id = await self._store.uploads.create(WHO, bucket, key, Attributes())
            if not self._disk.down:
                self._model.uploads[upload_id] = UploadModel(bucket, key)
            return
        upload_id = self._chance.choice(free)
        upload = self._model.uploads[upload_id]
        upload.busy = True
        kind = self._chance.random()
        try:
            if kind < 0.65 or not upload.parts:
                await self._put_part(upload_id, upload)
            elif kind < 0.9:
                await self._complete(upload_id, upload)
            else:
                await self._abort(upload_id, upload)
        except UploadNotFound:
            if not upload.may_be_gone:
                raise Wrong(f"upload {upload_id} is gone") from None
            self._model.uploads.pop(upload_id, None)
        upload.busy = False

    async def _put_part(self, upload_id: str, upload: UploadModel) -> None:
        number, data = self._chance.randint(1, MAX_PARTS), self._data() or b"x"
        etag = self._model.content(data)
        before = upload.parts.get(number)
        upload.parts[number] = {etag} | (before or {ABSENT})
        try:
            part = await self._store.uploads.put_part(
                WHO, upload.bucket, upload.key, upload_id, number, self._stream(data)
            )
        except (OutcomeUnknown, IndexClosed):
            raise
        except NoisefsError:
            if not self._disk.down:
                upload.parts[number] = before or {ABSENT}
            raise
        if not self._disk.down:
            if part.md5.hex() != etag:
                raise Wrong(f"part {number} was answered with another ETag")
            upload.parts[number] = {etag}

    async def _complete(self, upload_id: str, upload: UploadModel) -> None:
        start = self._model.now()
        _, parts, _ = await self._store.uploads.list_parts(WHO, upload.bucket, upload.key, upload_id)
        check_parts(upload, {number: part.md5.hex() for number, part in parts})
        if not parts or self._disk.down:
            return
        chosen = [(number, part.md5.hex()) for number, part in parts if self._chance.random() < 0.9] or [
            (parts[0][0], parts[0][1].md5.hex())
        ]
        etag = self._model.joined([md5 for _, md5 in chosen])
        write = self._model.begin(upload.bucket, upload.key, etag)
        upload.may_be_gone = True

        async def ask() -> str:
            version = await self._store.uploads.complete(
                WHO, upload.bucket, upload.key, upload_id, [CompletedPart(number, md5) for number, md5 in chosen]
            )
            if version.etag != etag:
                raise Wrong("a Complete was answered with another ETag")
            return etag

        await self._written(upload.bucket, upload.key, write, ask())
        if not self._disk.down:
            del self._model.uploads[upload_id]
            assert start < self._model.now()

    async def _abort(self, upload_id: str, upload: UploadModel) -> None:
        upload.may_be_gone = True
        await self._store.uploads.abort(WHO, upload.bucket, upload.key, upload_id)
        if not self._disk.down:
            del self._model.uploads[upload_id]

    # ------------------------------------------------------------------ reads

    async def get(self) -> None:
        bucket, key = self._place()
        start = self._model.now()
        try:
            etag, begin, data = await self._read(bucket, key)
        except ObjectNotFound:
            etag, begin, data = ABSENT, 0, b""
        if self._disk.down:
            return
        if etag not in (possible := self._model.register(bucket, key).possible(start)):
            raise Wrong(f"{bucket}/{key} gave {etag or 'nothing'}: {sorted(possible)} were possible")
        if etag and self._model.contents[etag][begin : begin + len(data)] != data:
            raise Wrong(f"{bucket}/{key} gave wrong bytes")

    async def _read(self, bucket: str, key: str) -> tuple[str, int, bytes]:
        async with await self._store.objects.open(WHO, bucket, key) as opened:
            size = opened.version.size
            begin, end = 0, size
            if size and self._chance.random() < 0.4:
                begin = self._chance.randrange(size)
                end = self._chance.randint(begin + 1, size)
            pieces: list[bytes] = []
            async for chunk in opened.chunks(begin, end):
                pieces.append(bytes(chunk))
                if self._chance.random() < 0.3:
                    await asyncio.sleep(self._chance.expovariate(1 / SLOW_S))
            data = b"".join(pieces)
            if len(data) != end - begin and not self._disk.down:
                raise Wrong(f"{bucket}/{key} gave {len(data)} bytes of {end - begin}")
            return opened.version.etag, begin, data

    async def get_of_what_goes(self) -> None:
        """A slow read of an object that is deleted meanwhile gives its bytes to the end."""
        bucket, key = self._place()
        size = self._store.geometry.segment_bytes * self._chance.randint(17, 20)
        data = self._chance.randbytes(size)
        await self._put(bucket, key, data)
        try:
            opened = await self._store.objects.open(WHO, bucket, key)
        except ObjectNotFound:
            return  # another client was quicker
        async with opened:
            pieces: list[bytes] = []
            async for chunk in opened.chunks():
                if not pieces:
                    await self._delete(bucket, key)
                    await asyncio.sleep(LINGER_S)
                pieces.append(bytes(chunk))
        expected = self._model.contents[opened.version.etag]
        if b"".join(pieces) != expected and not self._disk.down:
            raise Wrong(f"{bucket}/{key} was deleted while it was read, and gave wrong bytes")

    async def list(self) -> None:
        bucket, prefix = self._chance.choice(BUCKETS), self._chance.choice(FOLDERS)
        start = self._model.now()
        found: dict[str, str] = {}
        after: str | None = ""
        while after is not None:
            page = await self._store.objects.list(WHO, bucket, prefix=prefix, after=after, limit=7)
            found.update((key, row.etag) for key, row in page.entries)
            after = page.next_after
        if self._disk.down:
            return
        for (its_bucket, key), register in self._model.registers.items():
            if its_bucket == bucket and key.startswith(prefix):
                value = found.pop(key, ABSENT)
                if value not in register.possible(start):
                    raise Wrong(f"the listing of {bucket} has {value or 'nothing'} for {key}")
        if found:
            raise Wrong(f"the listing of {bucket} has {sorted(found)}, which were never written")

    # ------------------------------------------------------------------ what an operator does

    async def seal(self) -> None:
        await self._store.writer.seal()

    async def clean(self) -> None:
        await self._store.reaper.run()
        await self._store.cleaner.run(everything=True)

    async def pack(self) -> None:
        await self._store.packer.run(flush=True)


def check_parts(upload: UploadModel, found: dict[int, str]) -> None:
    """Hold an upload's parts against what was answered."""
    for number, possible in upload.parts.items():
        if found.get(number, ABSENT) not in possible:
            raise Wrong(f"part {number} of {upload.key} is {found.get(number) or 'missing'}, not one of {possible}")
    if unknown := found.keys() - upload.parts.keys():
        raise Wrong(f"parts {sorted(unknown)} of {upload.key} were never uploaded")
