"""A namespace over memory packs and any index, and a check of everything that must add up."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.memory.entropy import SeededEntropy
from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.memory.packs import MemoryPackStore
from noisefs.adapters.outbound.memory.presence import MemoryPresence
from noisefs.adapters.outbound.memory.telemetry import MemoryTelemetry
from noisefs.adapters.outbound.memory.workers import InlineWorkers
from noisefs.core.domain import keyspace
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import BodyId, InstanceId, LayoutId, UserId
from noisefs.core.domain.packs.coverage import counts_too_much
from noisefs.core.domain.records import Body, Bucket, Extent, LayoutChunk, LayoutHead, Part, Usage, Version, decode
from noisefs.core.domain.requests import Attributes, Principal, WriteCondition
from noisefs.core.domain.sealing.inner import sealed_bytes
from noisefs.core.domain.sealing.keys import SlowHash
from noisefs.core.ports.events import EventSink
from noisefs.core.ports.index import Index, Reading, Table
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.accounts import Accounts, LoginLimits
from noisefs.core.services.identities import Identities
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.rows.versions import order_of
from noisefs.core.services.roles import Roles
from noisefs.core.services.store import Store, StoreSettings
from noisefs.core.services.tokens import Tokens
from noisefs.core.services.user_policies import UserPolicies
from tests.support.stores import KEYS

P = ParamSpec("P")
T = TypeVar("T")

ALICE = Principal(UserId("a" * 32), "alice", admin=False)
BOB = Principal(UserId("b" * 32), "bob", admin=False)
ROOT = Principal(UserId("0" * 32), "root", admin=True)
ACCOUNT = "123456789012"
PLAIN = Attributes()
LIMITS = NamespaceLimits(min_part_bytes=4, max_buckets=5, max_locks=8, max_properties=4, max_property_bytes=64)
CHEAP = SlowHash(memory_kib=8, iterations=1)
_ALL = (b"", b"\xff" * 64, 1 << 30)


async def stream(data: bytes, piece: int = 1 << 20) -> AsyncIterator[bytes]:
    """The bytes in pieces, as a protocol hands them over."""
    for begin in range(0, len(data), piece):
        yield data[begin : begin + piece]


class CountingWorkers(InlineWorkers):
    """Counts the jobs of the CPU lane."""

    cpu_runs = 0

    async def run(self, lane: Lane, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run and count."""
        self.cpu_runs += lane is Lane.CPU
        return await super().run(lane, work, *args, **kwargs)


@dataclass
class World:
    """Services over one index. Use inside a running loop; ``bucket`` of ALICE exists after :meth:`start`."""

    index: Index = field(default_factory=MemoryIndex)
    workers: Workers = field(default_factory=CountingWorkers)
    limits: NamespaceLimits = LIMITS
    logins: LoginLimits = LoginLimits()  # noqa: RUF009 - it is frozen
    clock: ManualClock = field(default_factory=ManualClock)
    telemetry: MemoryTelemetry = field(default_factory=MemoryTelemetry)
    sinks: Mapping[str, EventSink] = field(default_factory=dict)

    def __post_init__(self) -> None:
        geometry = Geometry()
        entropy = SeededEntropy(7)
        self.store = Store(
            index=self.index,
            packs=MemoryPackStore(geometry.block_bytes),
            clock=self.clock,
            entropy=entropy,
            workers=self.workers,
            telemetry=self.telemetry,
            presence=MemoryPresence(InstanceId(b"i" * 16)),
            keys=KEYS,
            geometry=geometry,
            settings=StoreSettings(limits=self.limits),
            sinks=self.sinks,
        )
        self.buckets = self.store.buckets
        self.objects = self.store.objects
        self.uploads = self.store.uploads
        self.trees = self.store.trees
        self.versions = self.store.versions
        self.renames = self.store.renames
        self.properties = self.store.properties
        self.locks = self.store.locks
        self.accounts = Accounts(
            index=self.index,
            commits=self.store.commits,
            workers=self.workers,
            clock=self.clock,
            entropy=entropy,
            wrap=KEYS.wrap,
            cost=CHEAP,
            limits=self.logins,
            account=ACCOUNT,
        )
        self.user_policies = UserPolicies(
            index=self.index, commits=self.store.commits, workers=self.workers, changed=self.accounts.look_again
        )
        self.identities = Identities(
            index=self.index,
            commits=self.store.commits,
            workers=self.workers,
            changed=self.accounts.look_again,
            account=ACCOUNT,
        )
        self.roles = Roles(
            index=self.index,
            commits=self.store.commits,
            workers=self.workers,
            clock=self.clock,
            entropy=entropy,
            account=ACCOUNT,
        )
        self.tokens = Tokens(
            accounts=self.accounts, roles=self.roles, wrap=KEYS.wrap, entropy=entropy, clock=self.clock
        )
        self.app_passwords = self.accounts.app_passwords

    async def start(self) -> "World":
        """Make ALICE's bucket."""
        await self.store.start(background=False)
        await self.buckets.create(ALICE, "bucket")
        return self

    async def close(self) -> None:
        """End the open pack and the queue."""
        await self.store.close()

    async def put(
        self, key: str, data: bytes = b"", bucket: str = "bucket", condition: WriteCondition | None = None
    ) -> Version:
        """Store some bytes as ALICE."""
        return await self.objects.put(ALICE, bucket, key, stream(data), PLAIN, condition=condition or WriteCondition())

    async def read(self, key: str, bucket: str = "bucket", who: Principal = ALICE) -> bytes:
        """All bytes of an object."""
        async with await self.objects.open(who, bucket, key) as opened:
            return b"".join([bytes(chunk) async for chunk in opened.chunks()])

    async def keys(self, bucket: str = "bucket") -> list[str]:
        """Every key of a bucket."""
        page = await self.objects.list(ROOT, bucket, limit=100_000)
        assert page.next_after is None
        return [key for key, _ in page.entries]

    def workers_runs(self) -> int:
        """How many jobs ran in the CPU lane."""
        return self.workers.cpu_runs if isinstance(self.workers, CountingWorkers) else 0

    def rows(self, table: Table) -> list[tuple[bytes, bytes]]:
        """All rows of a table."""
        return self.index.read(lambda tx: tx.scan(table, *_ALL))

    def check(self) -> None:
        """Everything that must add up: references, layouts, counters, nothing left over."""
        self.index.read(_check)


def _check(tx: Reading) -> None:
    objects = [(key, decode(Version, raw)) for key, raw in tx.scan(Table.OBJECTS, *_ALL)]
    below = [(key, decode(Version, raw)) for key, raw in tx.scan(Table.VERSIONS, *_ALL)]
    _check_versions(dict(objects), below)
    objects += below
    uploads = {key[-16:] for key, _ in tx.scan(Table.UPLOADS, *_ALL)}
    parts = [(key, decode(Part, raw)) for key, raw in tx.scan(Table.PARTS, *_ALL)]
    assert {key[:16] for key, _ in parts} <= uploads, "a part without its upload"
    wanted = Counter[BodyId]()
    places: defaultdict[BodyId, Counter[tuple[int, int]]] = defaultdict(Counter)
    layouts = Counter[LayoutId]()
    for _, version in objects:
        wanted.update(extent.body_id for extent in version.extents)
        _place(places, version.extents)
        if version.layout is None:
            assert sum(extent.length for extent in version.extents) == _stored_bytes(version)
        else:
            assert not version.extents
            assert not version.parts
            layouts[version.layout] += 1
    for _, part in parts:
        wanted.update(extent.body_id for extent in part.extents)
        _place(places, part.extents)
        size = sealed_bytes(part.size, Geometry().segment_bytes) if part.stream else part.size
        assert sum(extent.length for extent in part.extents) == size
    _check_layouts(tx, layouts, wanted, places)
    bodies = {BodyId(key): decode(Body, raw) for key, raw in tx.scan(Table.BODIES, *_ALL)}
    assert {body_id: body.refs for body_id, body in bodies.items()} == dict(wanted)
    assert not any(counts_too_much(body, places[body_id]) for body_id, body in bodies.items())
    for table in (Table.TINY, Table.INLINE, Table.RUNS):
        dead = {key for key, _ in tx.scan(Table.DEAD, *_ALL)}
        left = {key[:16] for key, _ in tx.scan(table, *_ALL)} - set(bodies) - dead
        assert not left, f"{table} rows of bodies that are gone"
    _check_usage(tx, objects)


def _place(places: defaultdict[BodyId, Counter[tuple[int, int]]], extents: Iterable[Extent]) -> None:
    for extent in extents:
        places[extent.body_id][extent.offset, extent.length] += 1


def _stored_bytes(version: Version) -> int:
    """Bytes that the bodies of a version hold: more than its own where it is sealed twice."""
    if version.inner is None:
        return version.size
    sizes = [part.length for part in version.parts] or [version.size]
    return sum(sealed_bytes(size, Geometry().segment_bytes) for size in sizes)


def _check_versions(current: dict[bytes, Version], below: list[tuple[bytes, Version]]) -> None:
    """Each version lies where its order says, the newest is what the key names, one at most is the null version."""
    of_key: dict[bytes, list[Version]] = {key: [version] for key, version in current.items()}
    for key, version in below:
        row_key = key[: -keyspace.VERSION_TAIL_BYTES]
        assert key == keyspace.version_key(row_key, version.order)
        of_key.setdefault(row_key, []).append(version)
    for key, found in of_key.items():
        orders = [version.order for version in found]
        assert orders == sorted(set(orders), reverse=True)
        assert found[0].delete_marker is (key not in current)
        nulls = [version.order for version in found if not version.version_id]
        assert len(nulls) <= 1
        assert not nulls or nulls[0] in (found[0].order, found[0].null_order), "the null version cannot be found"
        assert all(order_of(one.version_id) == one.order for one in found if one.version_id)


def _check_layouts(
    tx: Reading,
    layouts: Counter[LayoutId],
    wanted: Counter[BodyId],
    places: defaultdict[BodyId, Counter[tuple[int, int]]],
) -> None:
    heads = {LayoutId(key): decode(LayoutHead, raw) for key, raw in tx.scan(Table.LAYOUTS, *_ALL) if len(key) == 16}
    assert {layout_id: head.refs for layout_id, head in heads.items()} == dict(layouts)
    chunks = [(key, decode(LayoutChunk, raw)) for key, raw in tx.scan(Table.LAYOUTS, *_ALL) if len(key) != 16]
    assert Counter(LayoutId(key[:16]) for key, _ in chunks) == {key: head.chunks for key, head in heads.items()}
    for _, chunk in chunks:
        wanted.update(extent.body_id for extent in chunk.extents)
        _place(places, chunk.extents)


def _check_usage(tx: Reading, objects: Iterable[tuple[bytes, Version]]) -> None:
    buckets = [(key, decode(Bucket, raw)) for key, raw in tx.scan(Table.BUCKETS, *_ALL)]
    owners = {keyspace.bucket_owner_key(bucket.owner, name.decode()) for name, bucket in buckets}
    assert owners == {key for key, _ in tx.scan(Table.BUCKET_OWNERS, *_ALL)}
    by_id = {keyspace.u64(bucket.bucket_id): bucket for _, bucket in buckets}
    sizes, counts = Counter[bytes](), Counter[bytes]()
    for key, version in objects:
        bucket = by_id[key[:8]]
        if version.delete_marker:
            continue
        for usage_key in (keyspace.bucket_usage_key(bucket.bucket_id), keyspace.user_usage_key(bucket.owner)):
            sizes[usage_key] += version.size
            counts[usage_key] += 1
    for usage_key, raw in tx.scan(Table.USAGE, *_ALL):
        row = decode(Usage, raw)
        assert (row.bytes, row.objects) == (sizes.pop(usage_key, 0), counts.pop(usage_key, 0))
    assert not sizes
    assert not counts
    for key, _ in tx.scan(Table.PROPERTIES, *_ALL):
        assert key[:8] in by_id
