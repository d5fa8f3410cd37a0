"""The tiers between readers and nodes: how they stand, filling them, and where an object's bytes are."""

from typing import Any, Final

import msgspec

from noisefs.adapters.inbound.admin.operations.buckets import OPERATOR
from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.adapters.inbound.admin.operations.users import NoParameters
from noisefs.core.errors import InvalidArgument
from noisefs.core.ports.index import Reading
from noisefs.core.ports.workers import Lane
from noisefs.core.services.caching.entry import PREFETCH
from noisefs.core.services.caching.explaining import Explainer, Where, spans_within
from noisefs.core.services.caching.keeping import Caching
from noisefs.core.services.caching.warming import Span


class Objects(Parameters, frozen=True):
    """Each ``BUCKET/KEY``; none: what was in memory before the last restart."""

    objects: tuple[str, ...] = ()


class Object(Parameters, frozen=True):
    """``BUCKET/KEY``."""

    object: str


def _caching(target: Administered) -> Caching:
    if target.store.caching is None:
        raise InvalidArgument("ipfs.nodes", [], "this store has no nodes: all it has is on this disk")
    if not target.serving:
        raise InvalidArgument("server", "none", "a running one: only that has anything in memory")
    return target.store.caching


async def status(target: Administered, _: NoParameters) -> object:
    """Every tier of the process that answers, and what is fetched ahead."""
    caching = _caching(target)
    hot = target.store.cells.hot.state()
    warm = None if caching.tiers.warm is None else caching.tiers.warm.state()
    progress = None if caching.warming is None else caching.warming.progress
    ahead = {
        why.value: {
            "on": caching.ahead.is_on(why),
            "precision": caching.ahead.precision(why),
            **target.store.cells.hot.outcome(why)._asdict(),
        }
        for why in PREFETCH
    }
    return {
        "memory": hot._asdict(),
        "seeds": target.store.cells.seeds.state()._asdict(),
        "disk_cache": None if warm is None else warm._asdict(),
        "fetched_ahead": ahead,
        "warming": None if progress is None else msgspec.to_builtins(progress),
    }


async def warm(target: Administered, asked: Objects) -> object:
    """Bring objects, or what was in memory before, into memory and the disk cache, as far as there is room."""
    caching = _caching(target)
    if caching.warming is None:
        raise InvalidArgument("cache", "none", "one that survives restarts")
    if not asked.objects:
        return msgspec.to_builtins(await caching.warming.load())
    names = [_place(text) for text in asked.objects]
    geometry = target.store.geometry

    def look(tx: Reading) -> list[Span]:
        return [span for bucket, key in names for span in spans_within(tx, OPERATOR, bucket, key, geometry)]

    spans = await target.store.workers.run(Lane.BACKGROUND, target.store.index.read, look)
    return msgspec.to_builtins(await caching.warming.bring(spans))


async def explain(target: Administered, asked: Object) -> object:
    """Where each cell of an object would come from now."""
    bucket, key = _place(asked.object)
    store = target.store
    tiers = None if store.caching is None else store.caching.tiers

    def look(tx: Reading) -> list[Where]:
        return Explainer(store.cells, tiers).explain(tx, spans_within(tx, OPERATOR, bucket, key, store.geometry))

    found = await store.workers.run(Lane.BACKGROUND, store.index.read, look)
    return [where._asdict() for where in found]


def _place(text: str) -> tuple[str, str]:
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise InvalidArgument("object", text, "BUCKET/KEY")
    return bucket, key


CACHE_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "cache.status": Operation(NoParameters, status),
    "cache.warm": Operation(Objects, warm),
    "cache.explain": Operation(Object, explain),
}
