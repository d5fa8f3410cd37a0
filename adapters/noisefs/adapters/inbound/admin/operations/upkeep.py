"""Looking after a store: audits, scrubbing, cleaning, snapshots.

The answer of a check has ``clean``: whether all is as it should be.
"""

from functools import partial
from typing import Any, Final

import msgspec

from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.adapters.inbound.admin.operations.users import NoParameters, timestamp
from noisefs.core.ports.workers import Lane
from noisefs.core.services.maintenance.reconcile import release_quarantined
from noisefs.core.services.snapshots.catalog import SnapshotInfo


async def audit_space(target: Administered, _: NoParameters) -> object:
    """Stored bytes against live ones."""
    return {"clean": True} | msgspec.to_builtins(
        await target.store.workers.run(Lane.BACKGROUND, target.store.auditor.space)
    )


async def audit_tuples(target: Administered, _: NoParameters) -> object:
    """Whether the masks are what is promised."""
    lane = Lane.NETWORK if target.store.packs.reaches_network else Lane.BACKGROUND
    audit = await target.store.workers.run(lane, target.store.auditor.tuples)
    broken = audit.unreadable or audit.runs_alone or audit.pairs_used_twice
    alone = audit.strategy == "chain" and audit.data_blocks_in_one_tuple
    return {"clean": not (broken or alone)} | msgspec.to_builtins(audit)


async def audit_orphans(target: Administered, _: NoParameters) -> object:
    """What refers to nothing, and what nothing refers to."""
    audit = await target.store.workers.run(Lane.BACKGROUND, target.store.auditor.orphans)
    return {"clean": audit.clean} | msgspec.to_builtins(audit)


class Scrub(Parameters, frozen=True):
    """``network``: read what is on nodes only, too."""

    network: bool = False


async def scrub(target: Administered, asked: Scrub) -> object:
    """Read and verify everything once."""
    report = await target.store.scrubber.run(network=asked.network)
    return {"clean": report.clean} | msgspec.to_builtins(report)


class Clean(Parameters, frozen=True):
    """``accept_loss``: packs that a rebuilt index does not know may go too."""

    accept_loss: bool = False


class CreateSnapshot(Parameters, frozen=True):
    """``full``: begin a new set even if none is due."""

    full: bool = False


async def clean(target: Administered, asked: Clean) -> object:
    """Free all the space that can be freed."""
    released = 0
    if asked.accept_loss:
        owner = target.store.presence.instance_id
        released = await target.store.commits.run(partial(release_quarantined, owner=owner))
    # Bodies of deleted objects first: their keys are overwritten before their blocks may go.
    await target.store.reaper.run()
    await target.store.checkpoint()
    cleaned = msgspec.to_builtins(await target.store.clean())
    return {"clean": True, "packs_released": released} | cleaned


async def create_snapshot(target: Administered, asked: CreateSnapshot) -> object:
    """Take a snapshot now; with nodes, bring it there with everything it names."""
    if target.shipping is None:
        return _shown(await target.snapshots.create(full=asked.full or None))
    info, on_nodes = await target.shipping.create(full=asked.full or None)
    return _shown(info) | {"on_nodes": on_nodes}


async def list_snapshots(target: Administered, _: NoParameters) -> object:
    """Every snapshot, the oldest first."""
    return [_shown(info) for info in await target.snapshots.list()]


def _shown(info: SnapshotInfo) -> dict[str, object]:
    return {
        "snapshot": info.name,
        "kind": "full" if info.after is None else "increment",
        "commit": info.upto,
        "bytes": info.size_bytes,
        "created": timestamp(info.created_us),
    }


UPKEEP_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "audit.space": Operation(NoParameters, audit_space),
    "audit.tuples": Operation(NoParameters, audit_tuples),
    "audit.orphans": Operation(NoParameters, audit_orphans),
    "scrub": Operation(Scrub, scrub),
    "clean": Operation(Clean, clean),
    "snapshot.create": Operation(CreateSnapshot, create_snapshot),
    "snapshot.list": Operation(NoParameters, list_snapshots),
}
