"""Packs on nodes: how they stand, what nodes say, and mending what lacks copies."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from noisefs.adapters.inbound.admin.operations.operation import Administered, Operation, Parameters
from noisefs.adapters.inbound.admin.operations.users import NoParameters, timestamp
from noisefs.core.errors import InvalidArgument
from noisefs.core.ports.index import Table
from noisefs.core.ports.workers import Lane
from noisefs.core.services.network.placing.census import Found
from noisefs.core.services.network.service import Network, NodeReport
from noisefs.core.services.network.status import PackStatus, pack_status, snapshot_on_nodes_us

LOOK_S: Final = 0.5
"""Between two looks at what is left to do."""


class NodeName(Parameters, frozen=True):
    """One node."""

    name: str


class Repair(Parameters, frozen=True):
    """``wait_s``: how long to go on before an answer says how much is left."""

    wait_s: float = 60.0


class Verify(Parameters, frozen=True):
    """``after``: where to go on, as the answer before said; ``wait_s``: how long to go on before there is an answer."""

    after: str = ""
    wait_s: float = 60.0


def _network(target: Administered) -> Network:
    if target.network is None:
        raise InvalidArgument("ipfs.nodes", [], "this store has no nodes: name some in the configuration")
    return target.network


async def _pack_status(target: Administered, reports: Sequence[NodeReport]) -> PackStatus:
    store = target.store
    configured = {report.name for report in reports if report.configured}
    return await store.workers.run(Lane.BACKGROUND, pack_status, store.index, store.geometry, configured)


async def status(target: Administered, _: NoParameters) -> object:
    """How packs stand, by what was last heard."""
    network = _network(target)
    store = target.store
    reports = [report for report in await network.report() if report.configured]
    packs = await _pack_status(target, reports)
    found = await network.census.look(fresh=True)
    taken_us = await store.workers.run(Lane.BACKGROUND, snapshot_on_nodes_us, store.index)
    local = await store.workers.run(Lane.BACKGROUND, store.packs.list)
    superseded = store.commits.superseded
    return {
        "clean": not (found.under_replicated or packs.waiting_packs or found.damaged_copies or superseded),
        "superseded": superseded or None,
        "nodes": len(reports),
        "nodes_ready": sum(report.ready for report in reports),
        "copies_wanted": found.wanted,
        "snapshot_on_nodes": timestamp(taken_us) if taken_us else None,
        "open_bytes": sum(pack.blocks for pack in local if not pack.sealed) * store.geometry.block_bytes,
        "packs": packs.packs,
        "bytes": packs.bytes,
        "packs_by_copies": {str(copies): count for copies, count in sorted(packs.by_copies.items())},
        "waiting_packs": packs.waiting_packs,
        "waiting_bytes": packs.waiting_bytes,
        "under_replicated": found.under_replicated,
        "damaged": found.damaged_copies,
        "beyond_mending": len(network.mending.beyond),
        "evicted_packs": packs.evicted_packs,
        "evicted_bytes": packs.evicted_bytes,
        "unpins_waiting": sum(report.unpins for report in reports),
    }


async def nodes(target: Administered, _: NoParameters) -> object:
    """Every node: what it said last, and what it holds."""
    network = _network(target)
    known = await network.report()
    packs = await _pack_status(target, known)
    reports = {report.name: _node(report) for report in known}
    for name in packs.by_node.keys() - reports.keys():
        reports[name] = _node(NodeReport(name, "", False, False, False, False, None, 0))
    return [reports[name] | {"packs": packs.by_node[name]} for name in sorted(reports)]


def _node(report: NodeReport) -> dict[str, object]:
    said = report.state
    if not report.configured:
        state = "not configured"
    elif report.draining:
        state = "draining" if report.ready else "draining, down"
    elif report.ready:
        state = "ready"
    else:
        state = "not asked yet" if said is None else "resting" if said.usable else "down"
    return {
        "node": report.name,
        "state": state,
        "zone": report.zone,
        "packs": 0,
        "unpins": report.unpins,
        "version": said.version if said else "",
        "peers": said.peers if said else None,
        "free_bytes": said.free_bytes if said else None,
        "repo_bytes": said.repo_bytes if said else None,
        "managed": report.managed,
        "reason": said.reason if said else "",
    }


async def forget(target: Administered, asked: NodeName) -> object:
    """Forget a node that is not configured any more."""
    return {"node": asked.name, "rows": await _network(target).forget_node(asked.name)}


async def check(target: Administered, _: NoParameters) -> object:
    """Ask every node for everything it should hold. Of one that is silent what it held is taken to be there still."""
    network = _network(target)
    found = await network.check()
    silent = [report.name for report in await network.report() if report.configured and not report.ready]
    return {"clean": not (_left(found) or silent), "nodes_silent": silent} | _shown(network, found)


async def verify(target: Administered, asked: Verify) -> object:
    """Read every block of every copy, from a key on; a part of them, and where to go on."""
    network = _network(target)
    try:
        after = bytes.fromhex(asked.after)
    except ValueError:
        raise InvalidArgument("after", asked.after, "what the answer before said") from None
    total = await target.store.workers.run(Lane.BACKGROUND, target.store.index.read, lambda tx: tx.count(Table.COPIES))
    if not after:
        await network.nodes.look()
    done = await network.verifying.verify(after, asked.wait_s)
    if not target.serving:
        await network.census.look(fresh=True)
        await network.mending.run()
    return {
        "files": total,
        "done": done.files,
        "copies": done.copies,
        "damaged": done.damaged,
        "unread": done.unread,
        "after": None if done.after is None else done.after.hex(),
    }


async def repair(target: Administered, asked: Repair) -> object:
    """Upload and copy what lacks copies, now; where a server runs, its jobs do it."""
    network = _network(target)
    loop = asyncio.get_running_loop()
    until_s = loop.time() + asked.wait_s
    await network.nodes.look()
    while True:
        found = await network.census.look(fresh=True)
        if not _left(found) or loop.time() >= until_s:
            return {"clean": not _left(found), "left": _left(found)} | _shown(network, found)
        for job in (network.mending, network.uploads, network.repair):
            job.news.set()
            job.wake.set()
        if target.serving:
            await asyncio.sleep(LOOK_S)
        else:
            done = await network.mending.run(), await network.uploads.run(), await network.repair.run()
            if not (done[0].mended or done[1].confirmed or done[2].mended or done[2].released):
                await asyncio.sleep(LOOK_S)


def _left(found: Found) -> int:
    return found.upload_packs + found.under_replicated + found.damaged_copies


def _shown(network: Network, found: Found) -> dict[str, object]:
    return {
        "copies_wanted": found.wanted,
        "waiting_packs": found.upload_packs,
        "under_replicated": found.under_replicated,
        "damaged": found.damaged_copies,
        "beyond_mending": len(network.mending.beyond),
        "surplus": len(found.surplus),
    }


IPFS_OPERATIONS: Final[dict[str, Operation[Any]]] = {  # Any: each operation has parameters of its own
    "ipfs.status": Operation(NoParameters, status),
    "ipfs.nodes": Operation(NoParameters, nodes),
    "ipfs.forget": Operation(NodeName, forget),
    "ipfs.check": Operation(NoParameters, check),
    "ipfs.verify": Operation(Verify, verify),
    "ipfs.repair": Operation(Repair, repair),
}
