"""The store: every service of one process, wired. Protocol adapters and administration call its attributes.

Order at start: recovery, then background jobs; at close: jobs, the open pack, the commit queue. What a close does not
reach (a kill) costs nothing but the recovery.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from noisefs.core.domain.buckets.durability import HIGHEST
from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.rights.identity import account_of
from noisefs.core.domain.sealing.store_keys import StoreKeys
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.events import EventSink
from noisefs.core.ports.index import Index
from noisefs.core.ports.packs import PackStore
from noisefs.core.ports.presence import Presence
from noisefs.core.ports.telemetry import Gauge, Telemetry
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.accounts import Accounts
from noisefs.core.services.bodies.backlog import Backlog
from noisefs.core.services.bodies.cells import CellReader
from noisefs.core.services.bodies.gate import SpaceGate
from noisefs.core.services.bodies.ingest import BodyWriter
from noisefs.core.services.bodies.known import IDLE_S
from noisefs.core.services.bodies.readers import Readers
from noisefs.core.services.bodies.reading import BodyReader
from noisefs.core.services.bodies.twice import InnerSealer
from noisefs.core.services.bodies.watch import PUBLISHED_WITHIN_S, WATCH_EVERY_S, ReaderWatch
from noisefs.core.services.caching.keeping import Caching
from noisefs.core.services.caching.listing import SealedList
from noisefs.core.services.caching.recording import Recordings
from noisefs.core.services.caching.tiers import Tiers
from noisefs.core.services.caching.warm import WarmTier
from noisefs.core.services.classes import DurabilityClasses
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.events.service import Events
from noisefs.core.services.identities import Identities
from noisefs.core.services.jobs import Job, Jobs
from noisefs.core.services.maintenance.audit import Auditor
from noisefs.core.services.maintenance.cleaner import Cleaned, Cleaner, next_generation
from noisefs.core.services.maintenance.moving import Mover
from noisefs.core.services.maintenance.packer import Packer, SlicePlacer
from noisefs.core.services.maintenance.reaper import Reaper
from noisefs.core.services.maintenance.scrub import Scrubber
from noisefs.core.services.named_keys import NamedKeys
from noisefs.core.services.namespace.background.access_logs import AccessLogs
from noisefs.core.services.namespace.background.lifecycle import Lifecycle
from noisefs.core.services.namespace.buckets.notifications import Notifications
from noisefs.core.services.namespace.buckets.quotas import Quotas
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.acls import ObjectAcls
from noisefs.core.services.namespace.objects.renaming import Renames
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.objects.tagging import Tagging
from noisefs.core.services.namespace.rights.bucket_rights import BucketRights
from noisefs.core.services.namespace.trees.locks import Locks
from noisefs.core.services.namespace.trees.properties import Properties
from noisefs.core.services.namespace.trees.service import Trees
from noisefs.core.services.namespace.uploads.chunked import ChunkedUploads
from noisefs.core.services.namespace.uploads.service import Uploads
from noisefs.core.services.namespace.versions.versioning import Versions
from noisefs.core.services.packs.manifests import ManifestReader
from noisefs.core.services.packs.recovery import Recovery, RecoveryReport
from noisefs.core.services.packs.seeds import SeedPool
from noisefs.core.services.packs.writer import PackWriter
from noisefs.core.services.roles import Roles
from noisefs.core.services.settings import PackNews, StoreSettings
from noisefs.core.services.tokens import Tokens
from noisefs.core.services.user_policies import UserPolicies

__all__ = ["PackNews", "Store", "StoreSettings"]

log = logging.getLogger(__name__)

LIFECYCLE_EVERY_S = 300.0
"""Between two looks whether a day began or rules changed."""
SPACE_EVERY_S = 0.5
"""Between two looks at the free space: a disk writes less than the reserve in this time."""

RECOVERY_EVERY_S = 60.0
"""Whether another process died, or a full disk left something open at start, is looked at so often."""


class Store:
    """One process's services over one data folder."""

    def __init__(
        self,
        *,
        index: Index,
        packs: PackStore,
        clock: Clock,
        entropy: Entropy,
        workers: Workers,
        telemetry: Telemetry,
        presence: Presence,
        keys: StoreKeys,
        geometry: Geometry,
        settings: StoreSettings,
        commits: CommitQueue | None = None,
        news: PackNews | None = None,
        warm: WarmTier | None = None,
        kept: SealedList | None = None,
        sinks: Mapping[str, EventSink] = MappingProxyType({}),
    ) -> None:
        """Wire everything; nothing runs before :meth:`start`.

        ``commits``: the queue to use, where somebody else needs it too; ``news``: of packs, for whoever puts them on
        nodes; ``warm``: the disk cache of what only nodes have, ``kept``: where the list of what is in memory lies;
        ``sinks``: receivers of events, by name. Whoever made them closes them.
        """
        self.index = index
        self.packs = packs
        self.clock = clock
        self.workers = workers
        self.telemetry = telemetry
        self.presence = presence
        self.keys = keys
        self.geometry = geometry
        self.settings = settings
        self.commits = CommitQueue(index, workers, telemetry) if commits is None else commits
        self.readers = Readers()
        self.manifests = ManifestReader(packs, keys, geometry)
        self.seeds = SeedPool(packs, entropy, geometry)
        self.backlog = Backlog(telemetry, max_bytes=settings.inline_max_bytes, wake_bytes=settings.inline_wake_bytes)
        self.gate = SpaceGate()
        self._pack_sealed = asyncio.Event()
        self._news = news
        self.writer = PackWriter(
            packs=packs,
            commits=self.commits,
            workers=workers,
            entropy=entropy,
            clock=clock,
            telemetry=telemetry,
            keys=keys,
            geometry=geometry,
            instance_id=presence.instance_id,
            seeds=self.seeds,
            on_sealed=self._note_sealed,
        )
        tiers = Tiers(telemetry, warm) if packs.reaches_network else None
        self.cells = CellReader(
            index=index,
            packs=packs,
            telemetry=telemetry,
            keys=keys,
            geometry=geometry,
            hot_bytes=settings.hot_bytes,
            policy_of=settings.policy_of,
            tiers=tiers,
        )
        self.body_writer = BodyWriter(
            writer=self.writer,
            commits=self.commits,
            workers=workers,
            entropy=entropy,
            clock=clock,
            telemetry=telemetry,
            keys=keys,
            geometry=geometry,
            instance_id=presence.instance_id,
            backlog=self.backlog,
            gate=self.gate,
            buffer_bytes=settings.write_buffer_bytes,
        )
        self.body_reader = BodyReader(
            cells=self.cells,
            workers=workers,
            telemetry=telemetry,
            keys=keys,
            geometry=geometry,
            readers=self.readers,
            buffer_bytes=settings.read_buffer_bytes,
        )
        self.recordings = Recordings(self.body_reader.windows, clock)
        self.caching: Caching | None = None
        if tiers is not None:
            self.caching = Caching(
                cells=self.cells,
                tiers=tiers,
                kept=kept,
                index=index,
                workers=workers,
                telemetry=telemetry,
                block_bytes=geometry.block_bytes,
                waste_share=settings.prefetch_waste,
            )
            self.body_reader.caching = self.caching
            self.readers.on_claim(self.caching.forget)
        self.packer = Packer(
            index=index,
            commits=self.commits,
            workers=workers,
            telemetry=telemetry,
            writer=self.writer,
            placer=SlicePlacer(self.writer, entropy, keys, geometry),
            backlog=self.backlog,
            geometry=geometry,
            instance_id=presence.instance_id,
        )
        cleaner_writer = PackWriter(
            packs=packs,
            commits=self.commits,
            workers=workers,
            entropy=entropy,
            clock=clock,
            telemetry=telemetry,
            keys=keys,
            geometry=geometry,
            instance_id=presence.instance_id,
            seeds=self.seeds,
            generations=partial(self.commits.run, next_generation),
            lane=Lane.BACKGROUND,
            by="cleaner",
            from_reserve=True,
            on_sealed=self._tell_sealed,
        )
        self.cleaner_writer = cleaner_writer
        self.cleaner = Cleaner(
            index=index,
            packs=packs,
            commits=self.commits,
            workers=workers,
            clock=clock,
            telemetry=telemetry,
            geometry=geometry,
            seeds=self.seeds,
            writer=cleaner_writer,
            mover=Mover(
                index,
                self.commits,
                workers,
                telemetry,
                cleaner_writer,
                SlicePlacer(cleaner_writer, entropy, keys, geometry),
                self.cells,
                self.manifests,
                keys,
                geometry,
                presence.instance_id,
            ),
            gate=self.gate,
            networked=packs.reaches_network,
            on_dropped=None if news is None else news.dropped,
        )
        self.reaper = Reaper(
            index=index,
            commits=self.commits,
            workers=workers,
            readers=self.readers,
            discards=self.body_writer.discards,
            gate=self.gate,
            presence=presence,
            clock=clock,
            geometry=geometry,
        )
        self.watch = ReaderWatch(index=index, workers=workers, clock=clock, presence=presence, readers=self.readers)
        self.auditor = Auditor(index, packs, self.manifests, keys, geometry)
        self.scrubber = Scrubber(index, workers, telemetry, self.cells, self.manifests, keys, geometry)
        self.recovery = Recovery(
            index, packs, self.commits, workers, clock, entropy, keys, geometry, presence, self.manifests, self.seeds
        )
        limits = settings.limits
        self.accounts = Accounts(
            index=index,
            commits=self.commits,
            workers=workers,
            clock=clock,
            entropy=entropy,
            wrap=keys.wrap,
            account=account_of(keys.store_id),
        )
        self.buckets = Buckets(
            index=index,
            commits=self.commits,
            workers=workers,
            clock=clock,
            limits=limits,
            durability=settings.durability,
        )
        self.named_keys = NamedKeys(index=index, commits=self.commits, clock=clock, entropy=entropy, wrap=keys.wrap)
        sealer = InnerSealer(
            store_id=keys.store_id,
            segment_bytes=geometry.segment_bytes,
            entropy=entropy,
            workers=workers,
            named=self.named_keys.get,
        )
        self.objects = Objects(
            index=index,
            commits=self.commits,
            workers=workers,
            clock=clock,
            entropy=entropy,
            body_writer=self.body_writer,
            body_reader=self.body_reader,
            sealer=sealer,
            limits=limits,
        )
        self.uploads = Uploads(
            index=index,
            commits=self.commits,
            workers=workers,
            clock=clock,
            entropy=entropy,
            telemetry=telemetry,
            body_writer=self.body_writer,
            body_reader=self.body_reader,
            sealer=sealer,
            limits=limits,
        )
        self.chunked = ChunkedUploads(
            index=index,
            commits=self.commits,
            workers=workers,
            clock=clock,
            entropy=entropy,
            body_writer=self.body_writer,
            body_reader=self.body_reader,
            limits=limits,
        )
        self.trees = Trees(commits=self.commits, clock=clock, entropy=entropy)
        self.versions = Versions(commits=self.commits, clock=clock)
        self.renames = Renames(commits=self.commits, clock=clock, entropy=entropy)
        changed, account = self.accounts.look_again, self.accounts.account
        self.user_policies = UserPolicies(index=index, commits=self.commits, workers=workers, changed=changed)
        self.identities = Identities(
            index=index, commits=self.commits, workers=workers, changed=changed, account=account
        )
        self.roles = Roles(
            index=index, commits=self.commits, workers=workers, clock=clock, entropy=entropy, account=account
        )
        self.tokens = Tokens(accounts=self.accounts, roles=self.roles, wrap=keys.wrap, entropy=entropy, clock=clock)
        self.bucket_rights = BucketRights(index=index, commits=self.commits, workers=workers)
        self.object_acls = ObjectAcls(index=index, commits=self.commits, clock=clock)
        self.properties = Properties(index=index, commits=self.commits, workers=workers, limits=limits)
        self.locks = Locks(index=index, commits=self.commits, workers=workers, clock=clock, limits=limits)
        self.quotas = Quotas(index=index, commits=self.commits)
        self.lifecycle = Lifecycle(
            index=index,
            commits=self.commits,
            workers=workers,
            clock=clock,
            entropy=entropy,
            telemetry=telemetry,
            day_s=settings.lifecycle_day_s,
        )
        self.tagging = Tagging(commits=self.commits, clock=clock)
        self.access_logs = AccessLogs(
            index=index, commits=self.commits, objects=self.objects, clock=clock, entropy=entropy, account=account
        )
        self.notifications = Notifications(
            index=index, commits=self.commits, clock=clock, limits=limits, targets=tuple(sinks)
        )
        self.events = Events(
            sinks=sinks,
            index=index,
            commits=self.commits,
            workers=workers,
            clock=clock,
            entropy=entropy,
            telemetry=telemetry,
            settings=settings.events,
        )
        self._jobs = Jobs(clock=clock, workers=workers, telemetry=telemetry, presence=presence)
        self._checkpointed = 0

    def confirm_with(self, classes: DurabilityClasses) -> None:
        """Let writes wait for durability classes above ``local``: without this there are none. Call it before
        :meth:`start`.
        """
        self.commits.confirm_with(classes)
        self.writer.confirm_with(classes)
        # It moves bytes of any bucket.
        self.cleaner_writer.confirm_with(classes, always=HIGHEST)

    async def start(self, *, background: bool = True) -> RecoveryReport:
        """Recover what a crash left, then begin the background jobs (unless ``background`` is false)."""
        report = await self.recovery.run()
        await self.packer.measure()
        await self._look_at_disk()
        if self.caching is not None:
            await self.caching.start()
        if background:
            await self.events.start()
            self._jobs.start(self._all_jobs())
        return report

    async def settle(self) -> None:
        """End the jobs and seal the open packs: after it nothing changes but what notes about nodes do. Not for long:
        :meth:`close` follows.
        """
        if self.caching is not None:
            self.caching.interrupt()
        await self._jobs.stop()
        await self.writer.close()
        await self.cleaner_writer.close()

    async def close(self) -> None:
        """End the jobs, seal the open pack, commit what waits. Requests must have ended before."""
        await self.settle()
        if self.caching is not None:
            await self.caching.close()
        await self.commits.close()
        await self.workers.run(Lane.COMMIT, self.index.checkpoint)

    def _all_jobs(self) -> list[Job]:
        settings = self.settings
        young_us = int(PUBLISHED_WITHIN_S * 1e6) if settings.several_processes else 0
        return [
            Job("packer", settings.packer_every_s, self.packer.run, wake=self.backlog.wake, group="packing"),
            Job("backlog", settings.packer_every_s, partial(self.packer.follow, self.presence.lead), False, light=True),
            Job("cleaner", settings.cleaner_every_s, self.cleaner.run, wake=self.gate.wake),
            Job(
                "reaper",
                settings.reaper_every_s,
                partial(self.reaper.run, min_age_us=young_us),
                wake=self._pack_sealed,
                group="reaping",
            ),
            Job("pace", settings.pace_every_s, self.cleaner.watch, leader_only=False, wake=self.gate.look, light=True),
            Job("space", SPACE_EVERY_S, self._look_at_disk, leader_only=False, light=True),
            Job("readers", WATCH_EVERY_S, self.watch.run, leader_only=False, light=True),
            Job("keys", IDLE_S, self.body_reader.forget_idle, leader_only=False, light=True),
            Job("checkpoint", settings.checkpoint_every_s, self.checkpoint),
            Job("recovery", RECOVERY_EVERY_S, partial(self.recovery.mend, again=True)),
            Job("expiry", settings.expiry_every_s, self._expire),
            Job(
                "lifecycle",
                min(LIFECYCLE_EVERY_S, settings.lifecycle_day_s / 5),
                self.lifecycle.run,
                group="lifecycle",
            ),
            *self.events.jobs(),
            *(self.caching.jobs() if self.caching is not None else ()),
        ]

    def _note_sealed(self) -> None:
        self._pack_sealed.set()
        self._tell_sealed()

    def _tell_sealed(self) -> None:
        if self._news is not None:
            self._news.sealed()

    async def seal(self) -> None:
        """Seal packs with cells now: they shall go onto nodes."""
        for writer in (self.writer, self.cleaner_writer):
            await writer.seal()

    async def seal_aged(self, max_age_s: float) -> None:
        """Seal packs with cells that were begun so long ago: they shall not wait for nodes until they are full."""
        for writer in (self.writer, self.cleaner_writer):
            await writer.seal_aged(max_age_s)

    async def clean(self) -> Cleaned:
        """Free all the space that can be freed; writers that found none get it at once. Raises as ``Cleaner.run``."""
        cleaned = await self.cleaner.run(everything=True)
        await self._look_at_disk()
        return cleaned

    async def _look_at_disk(self) -> None:
        """Refuse writes while there is no space beyond the reserve."""
        free = await self.workers.run(Lane.BACKGROUND, self.packs.free_bytes)
        self.telemetry.gauge(Gauge.FREE_BYTES, free)
        self.gate.close("" if free else "no space is left on the disk beyond the reserve")

    async def _expire(self) -> None:
        """Forget what is too old: uploads, answers of Complete, locks."""
        await self.uploads.expire()
        await self.locks.expire()

    async def checkpoint(self) -> None:
        """Make deletions physical, if anything was committed since the last time: deleted keys go for good."""
        sequence = await self.workers.run(Lane.BACKGROUND, self.index.sequence)
        if sequence != self._checkpointed:
            await self.workers.run(Lane.COMMIT, self.index.checkpoint)
            self._checkpointed = sequence
