"""From LightGBM's description of its trees to the arrays of a forest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noisefs.core.domain.caching.scoring.forest import LEAVES, NODES, Forest

# Any: LightGBM's dump is nested dictionaries of its own making.
Node = Mapping[str, Any]


def compiled(horizons: Sequence[Sequence[Node]], features: int) -> Forest | None:
    """The forest of LightGBM's ``tree_info`` of each horizon; ``None`` if there is no tree.

    Thresholds are rounded to the precision of the rows, up, so that a value that was equal still goes left. A horizon
    with fewer trees than the others gets trees that say nothing.

    Args:
        horizons: Trees of :data:`.forest.LEVELS` levels at most.
        features: How wide rows are.
    """
    each = max((len(trees) for trees in horizons), default=0)
    if not each:
        return None
    feature = np.zeros((len(horizons), each, NODES), dtype=np.int32)
    threshold = np.full((len(horizons), each, NODES), np.inf, dtype=np.float32)
    leaves = np.zeros((len(horizons), each, LEAVES), dtype=np.float32)

    def place(tree: tuple[int, int], at: int, node: Node) -> None:
        if "leaf_value" in node:
            # All rows go on to the left of a leaf that is not on the last level.
            while at < NODES:
                at = 2 * at + 1
            leaves[tree][at - NODES] = node["leaf_value"]
            return
        limit = float(node["threshold"])
        rounded = np.float32(limit)
        feature[tree][at] = node["split_feature"]
        threshold[tree][at] = rounded if rounded >= limit else np.nextafter(rounded, np.float32(np.inf))
        place(tree, 2 * at + 1, node["left_child"])
        place(tree, 2 * at + 2, node["right_child"])

    for horizon, trees in enumerate(horizons):
        for number, info in enumerate(trees):
            place((horizon, number), 0, info["tree_structure"])
    return Forest(
        features, len(horizons), feature.reshape(-1, NODES), threshold.reshape(-1, NODES), leaves.reshape(-1, LEAVES)
    )
