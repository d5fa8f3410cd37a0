"""How a Kubo is: its version, who it is, what room it has, whom it knows, and whether it is public."""

import asyncio
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from noisefs.adapters.outbound.ipfs.answers import Json, judge_version
from noisefs.adapters.outbound.ipfs.client import HttpNode, rpc_path
from noisefs.adapters.outbound.ipfs.private import why_public
from noisefs.adapters.outbound.ipfs.together import together
from noisefs.core.errors import NodeUnavailable
from noisefs.core.ports.nodes import NodeState

EMPTY_BLOCK: Final = "/ipfs/bafkqaaa?format=raw"
"""The empty block, whose name holds it: every trustless gateway serves it (specification "Trustless Gateway")."""


@dataclass(frozen=True, slots=True)
class _Room:
    free_bytes: int | None = None
    free_inodes: int | None = None
    has_swarm_key: bool | None = None


class Probe:
    """Asks one Kubo how it is. ``gateway_works``: what the last answer said of its gateway."""

    def __init__(self, rpc: HttpNode, gateway: HttpNode | None) -> None:
        """Talk through these."""
        self._rpc = rpc
        self._gateway = gateway
        self.gateway_works = gateway is not None

    async def state(self) -> NodeState:
        """All there is to know, within ``state_s``. Never raises."""
        try:
            version, identity, size, system, peers, config = await together(
                self._ask("version"),
                self._ask("id"),
                self._try("repo/stat?size-only=true"),
                self._try("diag/sys"),
                self._try("swarm/peers"),
                self._try("config/show"),
            )
        except NodeUnavailable as exc:
            return NodeState(usable=False, reason=str(exc))
        gateway = await self._ask_gateway()
        usable, reason = judge_version(str(version.get("Version", "")))
        room = await self._room(system)
        public = why_public(config, has_swarm_key=room.has_swarm_key) if config else None
        return NodeState(
            usable=usable,
            reason="; ".join(part for part in (reason, gateway, public) if part),
            version=str(version.get("Version", "")),
            peer_id=str(identity.get("ID", "")),
            free_bytes=room.free_bytes,
            free_inodes=room.free_inodes,
            repo_bytes=_number(size, "RepoSize"),
            peers=_count(peers, "Peers"),
            public=None if public is None else bool(public),
        )

    async def _ask(self, call: str) -> Json:
        doing = call.partition("?")[0]
        raw = await self._rpc.whole("POST", rpc_path(call), doing, wait_s=self._rpc.limits.state_s)
        try:
            answer = json.loads(raw or b"")
        except ValueError as exc:
            raise NodeUnavailable(self._rpc.node, doing, "the answer is no JSON") from exc
        if not isinstance(answer, dict):
            raise NodeUnavailable(self._rpc.node, doing, "the answer is no object")
        return answer

    async def _try(self, call: str) -> Json:
        """An answer that we can do without: a token may be limited to other calls."""
        try:
            return await self._ask(call)
        except NodeUnavailable:
            return {}

    async def _ask_gateway(self) -> str:
        if self._gateway is None:
            return ""
        try:
            await self._gateway.whole("GET", EMPTY_BLOCK, "gateway", wait_s=self._rpc.limits.state_s)
        except NodeUnavailable as exc:
            self.gateway_works = False
            return f"its gateway fails, so blocks are read through the RPC: {exc}"
        self.gateway_works = True
        return ""

    async def _room(self, system: Json) -> _Room:
        """Kubo tells free bytes only; of a repository on this machine we see for ourselves."""
        told = _Room(_number(_part(system, "diskinfo"), "free_space"))
        repo = str(_part(system, "environment").get("IPFS_PATH") or "")
        if not (repo and _is_loopback(urlsplit(self._rpc.base).hostname or "")):
            return told
        try:
            async with asyncio.timeout(self._rpc.limits.state_s):
                return await asyncio.to_thread(_look, Path(repo)) or told
        except TimeoutError:
            return told


def _look(repo: Path) -> _Room | None:
    """What the file system of a repository says; ``None`` where there is none."""
    try:
        if not (repo / "datastore_spec").is_file():
            return None
        stat = os.statvfs(repo / "blocks" if (repo / "blocks").is_dir() else repo)
        inodes = stat.f_favail if stat.f_files else None
        return _Room(stat.f_bavail * stat.f_frsize, inodes, (repo / "swarm.key").is_file())
    except OSError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _part(answer: Json, name: str) -> Mapping[str, object]:
    part = answer.get(name)
    return cast(Mapping[str, object], part) if isinstance(part, dict) else {}


def _number(answer: Json, name: str) -> int | None:
    number = answer.get(name)
    return int(number) if isinstance(number, int | float) else None


def _count(answer: Json, name: str) -> int | None:
    """How many there are; Kubo says ``null`` for none."""
    items = answer.get(name, False)
    return len(items or ()) if items is None or isinstance(items, list) else None
