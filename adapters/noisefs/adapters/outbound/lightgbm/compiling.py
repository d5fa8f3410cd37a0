"""From LightGBM's description of its trees to the arrays of a forest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noisefs.core.domain.caching.forest import MOST_LEAVES, Forest

_ALL = (1 << MOST_LEAVES) - 1

# Any: LightGBM's dump is nested dictionaries of its own making.
Node = Mapping[str, Any]


class _Tree:
    """One tree's nodes and leaves, numbered from left to right."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.leaves: list[float] = []
        self.nodes: list[tuple[int, float, int]] = []

    def walk(self, node: Node) -> None:
        if "leaf_value" in node:
            self.leaves.append(float(node["leaf_value"]))
            return
        at, first = len(self.nodes), len(self.leaves)
        self.nodes.append((0, 0.0, 0))
        self.walk(node["left_child"])
        lost = ((1 << len(self.leaves)) - 1) & ~((1 << first) - 1)
        self.nodes[at] = int(node["split_feature"]), float(node["threshold"]), _ALL & ~lost
        self.walk(node["right_child"])


def compiled(trees: Sequence[Node], features: int) -> Forest | None:
    """The forest of LightGBM's ``tree_info``; ``None`` if there is no tree.

    Thresholds are rounded to the precision of the rows, up, so that a value that was equal still goes left.
    """
    if not trees:
        return None
    shape = (len(trees), MOST_LEAVES - 1)
    feature = np.zeros(shape, dtype=np.uint16)
    threshold = np.full(shape, np.inf, dtype=np.float32)
    keeps = np.full(shape, _ALL, dtype=np.uint16)
    leaves = np.zeros((len(trees), MOST_LEAVES), dtype=np.float32)
    for number, info in enumerate(trees):
        tree = _Tree(features)
        tree.walk(info["tree_structure"])
        leaves[number, : len(tree.leaves)] = tree.leaves
        for at, (looks_at, limit, mask) in enumerate(tree.nodes):
            rounded = np.float32(limit)
            feature[number, at] = looks_at
            threshold[number, at] = rounded if rounded >= limit else np.nextafter(rounded, np.float32(np.inf))
            keeps[number, at] = mask
    return Forest(features, feature, threshold, keeps, leaves)
