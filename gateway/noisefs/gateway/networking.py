"""Nodes of the configuration, and the network of a store over them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from noisefs.adapters.outbound.ipfs.cluster import ClusterNode
from noisefs.adapters.outbound.ipfs.limits import Credentials
from noisefs.adapters.outbound.ipfs.node import KuboNode
from noisefs.adapters.outbound.localfiles.files import LocalFiles
from noisefs.adapters.outbound.localhead.keeper import LocalHeadKeeper
from noisefs.core.domain.windows import parse_window
from noisefs.core.errors import ConfigError, NoisefsError
from noisefs.core.ports.index import Index
from noisefs.core.ports.nodes import Node, NodeState
from noisefs.core.ports.telemetry import Telemetry
from noisefs.core.ports.workers import Lane
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.jobs import Job
from noisefs.core.services.network.confirming.blocks import Confirmer
from noisefs.core.services.network.heads.heads import LOOK_EVERY_S as HEADS_EVERY_S
from noisefs.core.services.network.heads.heads import Heads, head_rows
from noisefs.core.services.network.reading.fetching import Fetcher
from noisefs.core.services.network.reading.packs import NetworkPacks
from noisefs.core.services.network.reading.reads import ReadTimes
from noisefs.core.services.network.releasing.eviction import NOTES_EVERY_S, Evictor
from noisefs.core.services.network.service import Network, NetworkSettings
from noisefs.core.services.store import PackNews, Store
from noisefs.gateway.config.schema import IpfsConfig, NodeDeclaration
from noisefs.gateway.durable import confirmer_over, restorable
from noisefs.gateway.ground import Ground
from noisefs.gateway.rootkey import first_line

log = logging.getLogger(__name__)

EVICT_EVERY_S: Final = 5.0
WATCH_EVERY_S: Final = 1.0
AGE_EVERY_S: Final = 5.0
"""How late a pack may be sealed for its age."""


def nodes_of(config: IpfsConfig, telemetry: Telemetry) -> list[Node]:
    """The configured nodes. Close each.

    Raises:
        ConfigError: An address is none, or a file with a secret cannot be read.
    """
    return [_node(node, telemetry) for node in config.nodes]


def _node(node: NodeDeclaration, telemetry: Telemetry) -> Node:
    credentials = _credentials(node)
    kubo = KuboNode(
        node.kubo or node.api,
        gateway=node.gateway or "",
        name=node.known_as,
        zone=node.zone,
        managed=node.managed,
        credentials=credentials,
        telemetry=telemetry,
    )
    if node.kind == "kubo":
        return kubo
    return ClusterNode(node.api, kubo, name=node.known_as, zone=node.zone, credentials=credentials, telemetry=telemetry)


def _credentials(node: NodeDeclaration) -> Credentials:
    return Credentials(
        token=_secret(f"token_file of node {node.known_as}", node.token, node.token_file),
        user=node.user,
        password=_secret(f"password_file of node {node.known_as}", node.password, node.password_file),
    )


def _secret(field: str, value: SecretStr | None, file: Path | None) -> str:
    if file is not None:
        return first_line(field, file)
    return "" if value is None else value.get_secret_value()


def check_public(config: IpfsConfig, states: Mapping[str, NodeState | None]) -> None:
    """Refuse nodes that say they are part of the public network. One that says nothing is nobody's mistake.

    Raises:
        ConfigError: There is one, and the configuration does not allow it.
    """
    for name, state in states.items():
        if state is not None and state.public and not config.public:
            raise ConfigError(
                "ipfs.nodes",
                name,
                "it is part of the public network: everybody would see which node holds which pack, its size and when "
                "it came; give it a swarm key, or set ipfs.public = true",
            )


async def ask_nodes(config: IpfsConfig, telemetry: Telemetry) -> dict[str, NodeState]:
    """What every configured node says of itself now.

    Raises:
        ConfigError: A node is configured wrongly, or is public and may not be.
    """
    nodes = nodes_of(config, telemetry)
    try:
        states = await asyncio.gather(*(node.state() for node in nodes))
    finally:
        await asyncio.gather(*(node.close() for node in nodes))
    found = {node.name: state for node, state in zip(nodes, states, strict=True)}
    check_public(config, found)
    return found


@dataclass(frozen=True, slots=True)
class Networked:
    """The network of a running store."""

    network: Network
    heads: Heads
    confirmer: Confirmer
    fetcher: Fetcher
    packs: NetworkPacks
    reads: ReadTimes
    ipfs: IpfsConfig

    def news(self) -> PackNews:
        """What the store has to tell."""
        return PackNews(self.network.pack_sealed, self.network.pack_dropped)

    def evictor(self, ground: Ground, store: Store) -> Evictor:
        """Keeps the local packs below their limit."""
        return Evictor(
            index=store.index,
            packs=ground.packs,
            commits=store.commits,
            workers=ground.workers,
            clock=ground.clock,
            telemetry=ground.telemetry,
            geometry=ground.head.geometry,
            nodes=self.network.nodes,
            reads=self.reads,
            seeds=store.seeds,
            gate=store.gate,
            limit_bytes=self.ipfs.local_packs_max_bytes,
        )

    def jobs(self, store: Store, evictor: Evictor) -> list[Job]:
        """What runs beside the store's own jobs."""
        return [
            *self.network.jobs(),
            Job("heads", HEADS_EVERY_S, self.heads.owns, leader_only=False, light=True),
            Job("aged", AGE_EVERY_S, partial(store.seal_aged, self.ipfs.pack_max_age_s), leader_only=False, light=True),
            Job("evict", EVICT_EVERY_S, evictor.run, group="eviction"),
            Job("crowd", WATCH_EVERY_S, evictor.watch, leader_only=False, light=True),
            Job("reads", NOTES_EVERY_S, evictor.note_reads, leader_only=False, light=True),
        ]

    async def end(self, evictor: Evictor) -> None:
        """Ask for no more blocks, and write down what was read. The jobs must have ended."""
        await self.fetcher.close()
        try:
            await evictor.note_reads()
        except NoisefsError as exc:  # it only says which packs to keep longest
            log.info("reads.not_noted", extra={"cause": str(exc)})


@asynccontextmanager
async def open_network(ground: Ground, index: Index, commits: CommitQueue) -> AsyncIterator[Networked | None]:
    """The network over the configured nodes, none of which has to answer now; ``None`` where none is configured.

    Raises:
        ConfigError: A node is public and may not be, or is configured wrongly.
    """
    ipfs = ground.config.ipfs
    if not ipfs.nodes:
        if await ground.workers.run(Lane.BACKGROUND, index.read, head_rows):
            hint = "this store is on nodes: what is only there cannot be read before ipfs.nodes names them"
            log.warning("ipfs.no_nodes", extra={"hint": hint})
        yield None
        return
    ground.disk.make_folder(str(ground.folder.roots))
    nodes = nodes_of(ipfs, ground.telemetry)
    reads = ReadTimes(ground.clock)
    network = Network(
        nodes,
        index=index,
        packs=ground.packs,
        commits=commits,
        workers=ground.workers,
        clock=ground.clock,
        entropy=ground.entropy,
        telemetry=ground.telemetry,
        keys=ground.keys,
        geometry=ground.head.geometry,
        root_files=LocalFiles(ground.folder.roots),
        settings=network_settings(ipfs),
        epoch=lambda: ground.head.epoch.counter,
        owns=lambda: heads.owns(),  # noqa: PLW0108 - it is made below
        covered=lambda: heads.covered(),  # noqa: PLW0108 - as above
        restorable=lambda: restorable(ground, network, index),
    )
    confirmer = confirmer_over(ground, network, index, commits)
    network.take_over_from(confirmer)
    heads = Heads(
        keeper=LocalHeadKeeper(ground.head_file),
        nodes=network.nodes,
        store_id=ground.head.store_id,
        index=index,
        commits=commits,
        workers=ground.workers,
        on_superseded=lambda error: commits.supersede(str(error)),
    )
    try:
        await network.nodes.look()
        check_public(ipfs, {name: network.nodes.state(name) for name in network.nodes.names})
        fetcher = Fetcher(
            nodes=network.nodes,
            roots=network.roots,
            index=index,
            workers=ground.workers,
            clock=ground.clock,
            telemetry=ground.telemetry,
            timeout_s=ipfs.read_timeout_s,
            suspect=network.damage.suspect,
        )
        packs = NetworkPacks(
            ground.packs,
            ground.head.geometry.block_bytes,
            fetcher=fetcher,
            reads=reads,
            telemetry=ground.telemetry,
        )
        await heads.owns()  # before the first write
        yield Networked(network, heads, confirmer, fetcher, packs, reads, ipfs)
    finally:
        await network.close()


def network_settings(ipfs: IpfsConfig) -> NetworkSettings:
    """What the configuration says about the network."""
    return NetworkSettings(
        copies=ipfs.copies,
        draining=frozenset(node.known_as for node in ipfs.nodes if node.drain),
        public=ipfs.public,
        min_free_bytes=ipfs.min_free_bytes,
        min_free_inodes=ipfs.min_free_inodes,
        uploads_at_once=ipfs.uploads_at_once,
        upload_bytes_per_s=ipfs.upload_bytes_per_s,
        down_after_s=ipfs.down_after_s,
        health_every_s=ipfs.health_every_s,
        verify_every_s=ipfs.verify_every_s,
        reconcile_every_s=ipfs.reconcile_every_s,
        gc_windows=tuple(parse_window(text) for text in ipfs.gc_windows),
    )
