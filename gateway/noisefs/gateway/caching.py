"""The tiers of a process, as the configuration has them: one disk cache for each, all within one budget."""

import logging
from typing import Final

from noisefs.core.domain.caching.lru import Lru
from noisefs.core.domain.caching.s3fifo import S3Fifo
from noisefs.core.domain.caching.tinylfu import WTinyLfu
from noisefs.core.domain.caching.twoq import TwoQ
from noisefs.core.errors import FileMissing, NoisefsError
from noisefs.core.services.caching.entry import PolicyOf
from noisefs.core.services.caching.listing import SealedList
from noisefs.core.services.caching.warm import WarmTier
from noisefs.gateway.config.schema import Config
from noisefs.gateway.ground import Ground

log = logging.getLogger(__name__)

_CELLS: Final = "cells-"
_HOT: Final = "hot-"

POLICIES: Final[dict[str, PolicyOf]] = {policy.name: policy for policy in (S3Fifo, Lru, TwoQ, WTinyLfu)}


def policy_of(config: Config) -> PolicyOf:
    """Who decides what a tier keeps."""
    return POLICIES[config.cache.policy]


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
        policy_of=policy_of(config),
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


def tidy(ground: Ground) -> None:
    """Make the folder, and remove what belongs to more processes than there are now, or to no disk cache at all."""
    folder = str(ground.folder.cache)
    config = ground.config
    try:
        ground.disk.make_folder(folder)
        for name in ground.disk.list_folder(folder):
            number = name.removeprefix(_CELLS).removeprefix(_HOT).partition(".")[0]
            cells = name.startswith(_CELLS)
            if not number.isdigit() or int(number) >= config.workers or (cells and not config.cache.disk_max_bytes):
                ground.disk.unlink(f"{folder}/{name}")
    except FileMissing:
        pass  # another process was quicker
    except NoisefsError as exc:
        log.warning("cache.not_tidied", extra={"cause": str(exc)})
