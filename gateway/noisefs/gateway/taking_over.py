"""The way back for a gateway that stopped writing because another one goes on with its store.

Promise: nothing is changed unless the operator accepts the loss of what the other one wrote since. Then this folder
begins an epoch above all that nodes hold heads of, and brings its own state and that head onto them: from then on the
other gateway, if it still runs, stops, and whoever restores gets this state. A crash at any step is repaired by the
next start. What the other one put on nodes stays pinned there: nobody here knows what is in it.
"""

from dataclasses import dataclass

from noisefs.adapters.outbound.sqlite.index import SqliteIndex
from noisefs.core.domain.sealing.head import head_name
from noisefs.core.errors import InvalidArgument
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Lane
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.network.restoring.survey import Survey, survey
from noisefs.gateway.assembly import open_store
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder
from noisefs.gateway.ground import Ground, open_ground
from noisefs.gateway.networking import open_network


@dataclass(frozen=True, slots=True)
class Rival:
    """What nodes say about another gateway. ``reason``: why this one does not write; empty: there is no other."""

    reason: str
    newest: str
    """The newest head on nodes."""
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What was done.

    Attributes:
        rival: From whom.
        epoch: The new one's counter; the present one's where nothing was done.
        done: Whether this folder goes on with the store.
        on_nodes: Whether its state, and a head that names it, are on a node.
        lacking: Packs and files that have too few copies on nodes now: the other one may have let go of them.
    """

    rival: Rival
    epoch: int
    done: bool = False
    on_nodes: bool = False
    lacking: int = 0


async def take_over(folder: Folder, config: Config, telemetry: Telemetry, *, accept_loss: bool) -> TakenOver:
    """Go on with a store that another gateway has taken, or, without ``accept_loss``, say what would be lost.

    Raises:
        InvalidArgument: There are no nodes, so nobody can have taken it.
        StoreBusy: A server runs on this folder: stop it first.
        StoreNotFound: No node that answers holds a head of it.
        NoisefsError: As :func:`~noisefs.gateway.assembly.open_store`.
    """
    if not config.ipfs.nodes:
        raise InvalidArgument("ipfs.nodes", [], "without nodes no other gateway is noticed: there is nothing to take")
    async with open_ground(folder, config, telemetry) as ground:
        found, reason = await _look(ground)
        rival = Rival(reason, head_name(found.head), found.warnings)
        if not (reason and accept_loss):
            return TakenOver(rival, ground.head.epoch.counter)
        above = found.head.epoch.counter
        head = await ground.workers.run(Lane.DISK, ground.head_file.begin_epoch, above)
    async with open_store(folder, config, telemetry, background=False) as opened:
        assert opened.shipping is not None, "there are nodes"
        assert opened.network is not None, "as above"
        _info, on_nodes = await opened.shipping.create(full=True)
        lacking = (await opened.network.check()).under_replicated
    return TakenOver(rival, head.epoch.counter, True, on_nodes, lacking)


async def _look(ground: Ground) -> tuple[Survey, str]:
    """What nodes hold, and why this gateway does not write."""
    index = SqliteIndex.open(ground.folder.index, ground.keys.index, create=False)
    commits = CommitQueue(index, ground.workers, ground.telemetry)
    try:
        async with open_network(ground, index, commits) as networked:
            assert networked is not None, "there are nodes"
            nodes = networked.network.nodes.all()
            found = await survey(nodes, ground.head.store_id, ground.head_file.open, ground.workers)
            return found, networked.heads.superseded
    finally:
        await commits.close()
        index.close()
