"""Which heads nodes hold of a store that has no machine any more, and which of them is to be believed.

Promise: the head with the highest epoch, then the highest sequence number, that opens under the root key. A node may
offer an old one, or hide what it has: all nodes are compared, and what they disagree about is told.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.sealing.head import Head, head_name, parse_head_name
from noisefs.core.errors import (
    FileNotInStore,
    HeadDamaged,
    InvalidArgument,
    NodeUnavailable,
    StoreNotFound,
    WrongRootKey,
)
from noisefs.core.ports.nodes import Node
from noisefs.core.ports.workers import Lane, Workers


@dataclass(slots=True)
class Survey:
    """What nodes hold of one store.

    Attributes:
        head: The one to restore from.
        holders: By head: names of nodes that list it.
        reached: Names of nodes that answered.
        warnings: What a person should know before believing it.
    """

    head: Head
    holders: dict[str, tuple[str, ...]]
    reached: frozenset[str]
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Look:
    """What one node offered."""

    node: Node
    names: list[str]
    newest: Head | None = None
    problems: list[str] = field(default_factory=list)


async def find_store(nodes: Sequence[Node], wanted: StoreId | None) -> tuple[StoreId, list[str]]:
    """The store that nodes keep heads for, and warnings about nodes that cannot be asked.

    Raises:
        NodeUnavailable: No node answers.
        StoreNotFound: No node that answers has heads of it, or of any.
        InvalidArgument: There are several, and none is ``wanted``.
    """
    found: set[StoreId] = set()
    warnings: list[str] = []
    for node, answer in zip(nodes, await asyncio.gather(*map(_stores, nodes)), strict=True):
        if isinstance(answer, NodeUnavailable):
            warnings.append(_unasked(node, answer))
        else:
            found.update(answer)
    if len(warnings) == len(nodes):
        raise NodeUnavailable("any", "looking for a store", "; ".join(warnings))
    if wanted is not None:
        if wanted not in found:
            raise StoreNotFound(f"no node holds a head of the store {wanted.hex()}; {_told(warnings)}")
        return wanted, warnings
    if not found:
        raise StoreNotFound(f"no node holds a head of any store; {_told(warnings)}")
    if len(found) > 1:
        ids = ", ".join(sorted(one.hex() for one in found))
        raise InvalidArgument("stores on these nodes", ids, "name the one to restore with --store")
    return found.pop(), warnings


async def survey(
    nodes: Sequence[Node], store_id: StoreId, open_head: Callable[[bytes], Head], workers: Workers
) -> Survey:
    """Compare the heads of all nodes. ``open_head`` opens one under the root key; it runs on a worker lane.

    Raises:
        WrongRootKey: The newest head of a node is another root key's: an old key is not to bring back an old state.
        StoreNotFound: No head opens.
        NewerFormat: A newer version of this program wrote one.
    """
    looks = await asyncio.gather(*(_look(node, store_id, open_head, workers) for node in nodes))
    warnings = [problem for look in looks for problem in look.problems]
    heads = [look.newest for look in looks if look.newest is not None]
    if not heads:
        raise StoreNotFound(f"no head of the store {store_id.hex()} can be read; {_told(warnings)}")
    best = max(heads, key=_order)
    holders: dict[str, tuple[str, ...]] = {}
    for look in looks:
        for name in look.names:
            holders[name] = (*holders.get(name, ()), look.node.name)
        if look.newest is not None:
            warnings += _differences(look.node.name, look.newest, best)
    return Survey(best, holders, frozenset(look.node.name for look in looks if look.names), warnings)


def _order(head: Head) -> tuple[int, int]:
    return head.epoch.counter, head.sequence


def _differences(node: str, newest: Head, best: Head) -> list[str]:
    if _order(newest) < _order(best):
        return [f"node {node} offers the head {head_name(newest)} as its newest, another one has {head_name(best)}"]
    if newest.epoch.random != best.epoch.random or newest.writer != best.writer:
        return [f"node {node} has another head {head_name(newest)}: two gateways wrote this store at the same time"]
    return []


async def _look(node: Node, store_id: StoreId, open_head: Callable[[bytes], Head], workers: Workers) -> _Look:
    """The newest head of one node that opens, and what is wrong with newer ones."""
    look = _Look(node, [])
    try:
        look.names = sorted((name for name in await node.heads(store_id) if parse_head_name(name)), reverse=True)
        for name in look.names:
            try:
                head = await workers.run(Lane.CPU, open_head, await node.head(store_id, name))
            except WrongRootKey as exc:
                raise WrongRootKey(f"the head {name} on node {node.name}: {exc}") from exc
            except (HeadDamaged, FileNotInStore) as exc:
                look.problems.append(f"node {node.name}: the head {name} cannot be used: {exc}")
                continue
            if head.store_id == store_id and head_name(head) == name:
                look.newest = head
                break
            look.problems.append(f"node {node.name}: the head {name} is another one under a false name")
    except NodeUnavailable as exc:
        look.problems.append(_unasked(node, exc))
    return look


async def _stores(node: Node) -> list[StoreId] | NodeUnavailable:
    try:
        return await node.stores()
    except NodeUnavailable as exc:
        return exc


def _unasked(node: Node, cause: NodeUnavailable) -> str:
    return f"node {node.name} cannot be asked: {str(cause).removeprefix(f'node {node.name}: ')}"


def _told(warnings: list[str]) -> str:
    return "; ".join(warnings) or "every node answered"
