"""From LightGBM's description of its trees to the arrays of a forest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noisefs.core.domain.caching.forest import MOST_LEAVES, NODE, NODES, Forest

# Any: LightGBM's dump is nested dictionaries of its own making.
Node = Mapping[str, Any]


class _Tree:
    """One tree's nodes and leaves, numbered from left to right; every node before those below it."""

    def __init__(self) -> None:
        self.leaves: list[float] = []
        self.nodes: list[list[float]] = []

    def walk(self, node: Node) -> int:
        """The number of what starts here: of a node, or ``-1 - leaf``."""
        if "leaf_value" in node:
            self.leaves.append(float(node["leaf_value"]))
            return -len(self.leaves)
        at = len(self.nodes)
        self.nodes.append([])
        limit = float(node["threshold"])
        rounded = np.float32(limit)
        if rounded < limit:
            rounded = np.nextafter(rounded, np.float32(np.inf))
        self.nodes[at] = [
            node["split_feature"],
            float(rounded),
            self.walk(node["left_child"]),
            self.walk(node["right_child"]),
        ]
        return at


def compiled(horizons: Sequence[Sequence[Node]], features: int) -> Forest | None:
    """The forest of LightGBM's ``tree_info`` of each horizon; ``None`` if there is no tree.

    Thresholds are rounded to the precision of the rows, up, so that a value that was equal still goes left. A horizon
    with fewer trees than the others gets trees that say nothing.
    """
    each = max((len(trees) for trees in horizons), default=0)
    if not each:
        return None
    nodes = np.zeros((len(horizons), each, NODES, NODE), dtype=np.float32)
    nodes[..., 2:] = -1
    leaves = np.zeros((len(horizons), each, MOST_LEAVES), dtype=np.float32)
    for horizon, trees in enumerate(horizons):
        for number, info in enumerate(trees):
            tree = _Tree()
            tree.walk(info["tree_structure"])
            leaves[horizon, number, : len(tree.leaves)] = tree.leaves
            if tree.nodes:
                nodes[horizon, number, : len(tree.nodes)] = tree.nodes
    return Forest(features, len(horizons), nodes.reshape(-1, NODES, NODE), leaves.reshape(-1, MOST_LEAVES))
