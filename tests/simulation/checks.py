"""What must hold after every restart, whatever happened before it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from noisefs.core.domain.ids import PackId
from noisefs.core.domain.packs.manifest import RunEntry, SharedEntry
from noisefs.core.domain.records import Pack, PackState, Run, SlicePlace, decode
from noisefs.core.errors import NoisefsError, ObjectNotFound, UploadNotFound
from noisefs.core.ports.index import Reading, Table
from noisefs.core.services.packs.recovery import pack_rows
from noisefs.core.services.store import Store
from tests.simulation.clients import BUCKETS, VERSIONED, WHO, Wrong, check_parts
from tests.simulation.model import ABSENT, Model

_ALL = (b"", b"\xff" * 64, 1 << 30)


@dataclass
class Checker:
    """Knows what only several restarts together can show: generations that were used."""

    model: Model
    generations: dict[int, PackId] = field(default_factory=dict)
    checked: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    """Key of each version that was there at the last restart."""

    async def check(self, store: Store) -> None:
        """Everything. Nothing else runs meanwhile.

        Raises:
            Wrong: With what is.
        """
        try:
            store.index.verify()
            await self._objects(store)
            await self._uploads(store)
            self.check_generations(store)
            _packs(store)
            await store.reaper.run()  # rows of dead bodies may name packs that recovery dropped, until then
            _audits(store)
        except NoisefsError as exc:
            raise Wrong(f"after a restart: {exc!r}") from exc
        self.checked += 1

    # ------------------------------------------------------------------ names and bytes

    async def _objects(self, store: Store) -> None:
        start = self.model.now()
        listed: dict[tuple[str, str], str] = {}
        for bucket in BUCKETS:
            page = await store.objects.list(WHO, bucket, limit=100_000)
            listed.update(((bucket, key), row.etag) for key, row in page.entries)
        for (bucket, key), register in self.model.registers.items():
            value = await self._value(store, bucket, key)
            if value not in (possible := register.possible(start)):
                raise Wrong(f"{bucket}/{key} is {value or 'gone'} after a restart: {sorted(possible)} were possible")
            if listed.pop((bucket, key), ABSENT) != value:
                raise Wrong(f"{bucket}/{key} is listed as something else than it is")
            register.settle(value, start)
        if listed:
            raise Wrong(f"{sorted(listed)} are listed and were never written")
        await self._versions(store)

    async def _versions(self, store: Store) -> None:
        """Older versions never go, and have the bytes that were written."""
        page = await store.objects.list_history(WHO, VERSIONED, limit=100_000)
        found: dict[str, str] = {}
        for entry in page.entries:
            if entry.version.delete_marker:
                continue
            found[entry.version_id] = entry.key
            async with await store.objects.open(WHO, VERSIONED, entry.key, version_id=entry.version_id) as opened:
                data = b"".join([bytes(chunk) async for chunk in opened.chunks()])
            if self.model.contents.get(opened.version.etag) != data:
                raise Wrong(f"a version of {entry.key} has wrong bytes after a restart")
        if lost := self.versions.keys() - found.keys():
            raise Wrong(f"{len(lost)} versions of {sorted({self.versions[one] for one in lost})} are gone")
        self.versions = found

    async def _value(self, store: Store, bucket: str, key: str) -> str:
        try:
            async with await store.objects.open(WHO, bucket, key) as opened:
                data = b"".join([bytes(chunk) async for chunk in opened.chunks()])
        except ObjectNotFound:
            return ABSENT
        etag = opened.version.etag
        if self.model.contents.get(etag) != data:
            raise Wrong(f"{bucket}/{key} has wrong bytes after a restart")
        return etag

    async def _uploads(self, store: Store) -> None:
        for upload_id, upload in list(self.model.uploads.items()):
            try:
                _, parts, _ = await store.uploads.list_parts(WHO, upload.bucket, upload.key, upload_id)
            except UploadNotFound:
                if not upload.may_be_gone:
                    raise Wrong(f"upload {upload_id} of {upload.key} is gone after a restart") from None
                del self.model.uploads[upload_id]
                continue
            found = {number: part.md5.hex() for number, part in parts}
            check_parts(upload, found)
            upload.parts = {number: {found.get(number, ABSENT)} for number in upload.parts}
            upload.may_be_gone = False

    # ------------------------------------------------------------------ packs

    def check_generations(self, store: Store) -> None:
        """No generation of the cleaner is shared by two packs, ever."""
        for pack_id, row in store.index.read(pack_rows).items():
            if row.generation and self.generations.setdefault(row.generation, pack_id) != pack_id:
                raise Wrong(f"two packs have generation {row.generation}")


def _packs(store: Store) -> None:
    """Every manifest opens, and says the same as the rows."""
    rows: dict[PackId, Pack] = store.index.read(pack_rows)
    cells: dict[tuple[bytes, int], tuple[bytes, int, int, int]] = {}
    shared: set[tuple[bytes, int]] = set()
    for pack_id, row in rows.items():
        if row.state != PackState.SEALED:
            raise Wrong(f"pack {pack_id.hex()} is {PackState(row.state).name} after a restart")
        for entry in store.manifests.read(pack_id, row.blocks, row.strategy).entries:
            if isinstance(entry, RunEntry):
                for k in range(entry.count):
                    position = entry.position + k * entry.stride
                    cells[pack_id, position] = (entry.body_id, entry.segment + k, entry.seed, entry.generation)
            elif isinstance(entry, SharedEntry):
                shared.add((pack_id, entry.position))
    for key, run, stride in _runs(store):
        segment = int.from_bytes(key[-8:], "big")
        for k in range(run.count):
            said = cells.get((run.pack_id, run.position + k * stride))
            if said != (key[:16], segment + k, run.seed, run.generation):
                raise Wrong(
                    f"the manifest of pack {run.pack_id.hex()} has {said} at {run.position + k * stride}, "
                    f"its rows {(key[:16], segment + k, run.seed, run.generation)}"
                )
    for _key, raw in store.index.read(lambda tx: tx.scan(Table.SLICES, *_ALL)):
        for piece in decode(SlicePlace, raw).pieces:
            if (piece.pack_id, piece.position) not in shared:
                raise Wrong(f"the manifest of pack {piece.pack_id.hex()} does not know a shared cell")


def _runs(store: Store) -> Iterable[tuple[bytes, Run, int]]:
    def look(tx: Reading) -> list[tuple[bytes, Run]]:
        rows = [(key, decode(Run, raw)) for key, raw in tx.scan(Table.RUNS, *_ALL)]
        return [(key, run) for key, run in rows if tx.get(Table.BODIES, key[:16]) is not None]  # of a dead one: filler

    stride = 3 if store.geometry.strategy == "fresh" else 1
    return [(key, run, stride) for key, run in store.index.read(look)]


def _audits(store: Store) -> None:
    orphans = store.auditor.orphans()
    if not orphans.clean:
        raise Wrong(f"orphans after a restart: {orphans}")
    tuples = store.auditor.tuples()
    alone = tuples.runs_alone if store.geometry.strategy == "chain" else 0  # others only report it
    if alone or tuples.pairs_used_twice or tuples.unreadable:
        raise Wrong(f"tuples that should not be: {tuples}")
