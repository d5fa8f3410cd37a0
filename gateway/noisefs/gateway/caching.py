"""The tiers of a process, as the configuration has them: one disk cache for each, all within one budget."""

import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Final

from noisefs.adapters.inbound.admin.client import short_path
from noisefs.adapters.inbound.peers.handler import PeerHandler
from noisefs.adapters.outbound.lightgbm.process import TrainerProcess
from noisefs.adapters.outbound.peers.client import HttpPeer
from noisefs.core.domain.caching.fixed.arc import Arc
from noisefs.core.domain.caching.fixed.lru import Lru
from noisefs.core.domain.caching.fixed.s3fifo import S3Fifo
from noisefs.core.domain.caching.fixed.tinylfu import WTinyLfu
from noisefs.core.domain.caching.fixed.twoq import TwoQ
from noisefs.core.domain.caching.learned import Change, Learned
from noisefs.core.domain.caching.scoring.scored import prepare
from noisefs.core.errors import FileMissing, NoisefsError
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.caching.entry import PolicyOf
from noisefs.core.services.caching.learning import Learning, Taught
from noisefs.core.services.caching.listing import SealedList
from noisefs.core.services.caching.peers import Lending, Peers
from noisefs.core.services.caching.warm import WarmTier
from noisefs.core.services.store import Store
from noisefs.gateway.config.schema import Config
from noisefs.gateway.ground import Ground

log = logging.getLogger(__name__)

_CELLS: Final = "cells-"
_HOT: Final = "hot-"
_MODEL: Final = "model-"

POLICIES: Final[dict[str, PolicyOf]] = {policy.name: policy for policy in (S3Fifo, Lru, TwoQ, WTinyLfu, Arc)}


def policy_of(config: Config, telemetry: Telemetry, tier: str) -> PolicyOf:
    """Who decides what a tier keeps. Without nodes nothing is far away, and the cheapest will do."""
    if not config.ipfs.nodes:
        return S3Fifo
    if config.cache.policy != Learned.name:
        return POLICIES[config.cache.policy]

    prepare()

    def changed(change: Change) -> None:
        telemetry.count(Counter.POLICY_CHANGES, 1, (tier, change.now))
        log.info("cache.policy_changed", extra={"tier": tier, "before": change.before, "now": change.now})

    return partial(Learned, changed=changed)


def learning_over(ground: Ground, store: Store, worker: int) -> Learning | None:
    """What teaches the tiers; ``None`` where nothing is to be learned."""
    if ground.config.cache.policy != Learned.name or store.caching is None:
        return None
    folder = ground.folder.cache
    taught: list[Taught] = []
    for name, tier in (("memory", store.cells.hot), ("disk", store.caching.tiers.warm)):
        if tier is not None:
            path = str(folder / f"{_MODEL}{worker}.{name}")
            kept = SealedList(ground.disk, path, ground.keys, ground.entropy, f"model-{name}".encode())
            taught.append(Taught(name, tier, kept))
    every_s = ground.config.cache.train_every_s
    return Learning(taught, TrainerProcess(), workers=ground.workers, telemetry=ground.telemetry, every_s=every_s)


def warm_of(ground: Ground, worker: int) -> WarmTier | None:
    """This process's disk cache, not open yet; ``None`` where the configuration wants none."""
    config = ground.config
    share = config.cache.disk_max_bytes // config.workers
    if not share:
        return None
    return WarmTier(
        disk=ground.disk,
        path=str(ground.folder.cache / f"{_CELLS}{worker}"),
        max_bytes=share,
        policy_of=policy_of(config, ground.telemetry, "disk"),
        keys=ground.keys,
        entropy=ground.entropy,
        clock=ground.clock,
        telemetry=ground.telemetry,
        room_left=ground.packs.free_bytes,
    )


def kept_of(ground: Ground, worker: int) -> SealedList:
    """The list of what this process has in memory."""
    path = str(ground.folder.cache / f"{_HOT}{worker}.list")
    return SealedList(ground.disk, path, ground.keys, ground.entropy, b"hot")


@asynccontextmanager
async def others_of(ground: Ground, worker: int) -> AsyncIterator[Peers]:
    """The other workers, as those who own some of the cells. None of them has to run."""
    with ExitStack() as stack:
        numbers = [number for number in range(ground.config.workers) if number != worker]
        paths = [stack.enter_context(short_path(ground.folder.cells_socket(number))) for number in numbers]
        others = [
            HttpPeer(str(number), keys=ground.keys, clock=ground.clock, socket_path=path)
            for number, path in zip(numbers, paths, strict=True)
        ]
        peers = Peers(str(worker), others, ground.clock)
        try:
            yield peers
        finally:
            await peers.close()


def lending_over(store: Store) -> PeerHandler:
    """What answers other processes."""
    return PeerHandler(Lending(store.cells, store.geometry.block_bytes), store.keys, store.clock, store.workers)


def tidy(ground: Ground) -> None:
    """Make the folder, and remove what belongs to more processes than there are now, or to no disk cache at all."""
    folder = str(ground.folder.cache)
    config = ground.config
    try:
        ground.disk.make_folder(folder)
        for name in ground.disk.list_folder(folder):
            number = name.removeprefix(_CELLS).removeprefix(_HOT).removeprefix(_MODEL).partition(".")[0]
            cells = name.startswith(_CELLS)
            if not number.isdigit() or int(number) >= config.workers or (cells and not config.cache.disk_max_bytes):
                ground.disk.unlink(f"{folder}/{name}")
    except FileMissing:
        pass  # another process was quicker
    except NoisefsError as exc:
        log.warning("cache.not_tidied", extra={"cause": str(exc)})
