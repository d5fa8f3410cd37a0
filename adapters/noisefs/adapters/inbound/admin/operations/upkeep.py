"""Looking after a store: audits, scrubbing, cleaning. Each answer has ``clean``: whether all is as it should be."""

from typing import Any, Final

import msgspec

from noisefs.adapters.inbound.admin.operations.operation import Operation
from noisefs.adapters.inbound.admin.operations.users import NoParameters
from noisefs.core.ports.workers import Lane
from noisefs.core.services.store import Store


async def audit_space(store: Store, _: NoParameters) -> object:
    """Stored bytes against live ones."""
    return {"clean": True} | msgspec.to_builtins(await store.workers.run(Lane.BACKGROUND, store.auditor.space))


async def audit_tuples(store: Store, _: NoParameters) -> object:
    """Whether the masks are what is promised."""
    audit = await store.workers.run(Lane.BACKGROUND, store.auditor.tuples)
    broken = audit.unreadable or audit.runs_on_own_seed or audit.pairs_used_twice
    alone = audit.strategy == "chain" and audit.data_blocks_in_one_tuple
    return {"clean": not (broken or alone)} | msgspec.to_builtins(audit)


async def audit_orphans(store: Store, _: NoParameters) -> object:
    """What refers to nothing, and what nothing refers to."""
    audit = await store.workers.run(Lane.BACKGROUND, store.auditor.orphans)
    return {"clean": audit.clean} | msgspec.to_builtins(audit)


async def scrub(store: Store, _: NoParameters) -> object:
    """Read and verify everything once."""
    report = await store.scrubber.run()
    return {"clean": report.clean} | msgspec.to_builtins(report)


async def clean(store: Store, _: NoParameters) -> object:
    """Free all the space that can be freed."""
    # Bodies of deleted objects first: their keys are overwritten before their blocks may go.
    await store.reaper.run()
    await store.checkpoint()
    return {"clean": True} | msgspec.to_builtins(await store.cleaner.run(everything=True))


UPKEEP_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "audit.space": Operation(NoParameters, audit_space),
    "audit.tuples": Operation(NoParameters, audit_tuples),
    "audit.orphans": Operation(NoParameters, audit_orphans),
    "scrub": Operation(NoParameters, scrub),
    "clean": Operation(NoParameters, clean),
}
