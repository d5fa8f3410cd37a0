"""A boosted forest of small trees, evaluated for a batch of rows at once with numpy alone.

Every tree has at most 16 leaves, numbered from left to right. Each inner node that a row fails clears the leaves of
its left branch from a 16-bit mask; the lowest bit left is the leaf. A batch costs a few array operations over
(nodes x rows), where one call of a library for a single row would cost more than the read that it serves.

Source: Lucchese et al., "QuickScorer: A Fast Algorithm to Rank Documents with Additive Ensembles of Regression Trees",
SIGIR 2015.
"""

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from noisefs.core.errors import InvalidRequest

MOST_LEAVES: Final = 16
MOST_TREES: Final = 1000
_NODES: Final = MOST_LEAVES - 1
_ALL: Final = 0xFFFF
_MAGIC: Final = b"NFSCACHE"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sHHHxx32s")  # magic, version, trees, features, SHA-256 of what follows


class BadModel(InvalidRequest):
    """A model file is not what this version writes, or damaged."""


@dataclass(frozen=True, slots=False, eq=False)
class Forest:
    """Trees as arrays. Rows are ``features`` wide; a node sends a row left where its value is at most the threshold."""

    features: int
    feature: NDArray[np.uint16]
    """(trees, 15): which value a node looks at; unused nodes look at 0."""
    threshold: NDArray[np.float32]
    """(trees, 15): infinite for unused nodes."""
    keeps: NDArray[np.uint16]
    """(trees, 15): the leaves that remain for a row above the threshold."""
    leaves: NDArray[np.float32]
    """(trees, 16)."""

    def __post_init__(self) -> None:
        trees = len(self.leaves)
        if not 1 <= trees <= MOST_TREES or self.leaves.shape != (trees, MOST_LEAVES):
            raise BadModel(f"a model of {trees} trees with leaves {self.leaves.shape}: 1 to {MOST_TREES} of 16 allowed")
        if {self.feature.shape, self.threshold.shape, self.keeps.shape} != {(trees, _NODES)}:
            raise BadModel("a model's nodes do not fit its trees")
        if int(self.feature.max()) >= self.features:
            raise BadModel(f"a model looks at value {int(self.feature.max())} of rows of {self.features}")
        # Zero is a mask too, of a tree that no row leaves by any leaf.
        if np.isnan(self.threshold).any() or not np.isfinite(self.leaves).all() or not (self.keeps != 0).all():
            raise BadModel("a model holds what is no number, or a tree without a leaf")

    @cached_property
    def _leaf_of(self) -> NDArray[np.uint8]:
        masks = np.arange(_ALL + 1, dtype=np.int32)
        table = np.zeros(_ALL + 1, dtype=np.uint8)
        for bit in range(MOST_LEAVES - 1, -1, -1):
            table[(masks >> bit) & 1 == 1] = bit
        return table

    @cached_property
    def _node_feature(self) -> NDArray[np.intp]:
        return self.feature.T.reshape(-1).astype(np.intp)

    @cached_property
    def _node_threshold(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.threshold.T.reshape(-1, 1))

    @cached_property
    def _node_keeps(self) -> NDArray[np.uint16]:
        return np.ascontiguousarray(self.keeps.T.reshape(-1, 1))

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sum of the trees for each row: larger means likelier. Cost: about 15 x trees compares a row."""
        trees = len(self.leaves)
        above = np.ascontiguousarray(rows.T)[self._node_feature] > self._node_threshold
        masks = np.where(above, self._node_keeps, np.uint16(_ALL)).reshape(_NODES, trees, len(rows))
        leaf = self._leaf_of[np.bitwise_and.reduce(masks, axis=0)]
        scores: NDArray[np.float32] = self.leaves[np.arange(trees)[:, None], leaf].sum(axis=0)
        return scores

    def encode(self) -> bytes:
        """As a file: header with a digest, then the arrays, little-endian."""
        body = b"".join(
            (
                self.feature.astype("<u2").tobytes(),
                self.threshold.astype("<f4").tobytes(),
                self.keeps.astype("<u2").tobytes(),
                self.leaves.astype("<f4").tobytes(),
            )
        )
        return _HEADER.pack(_MAGIC, _VERSION, len(self.leaves), self.features, hashlib.sha256(body).digest()) + body

    @classmethod
    def decode(cls, data: bytes) -> "Forest":
        """A file's forest.

        Raises:
            BadModel: Another version's, cut off, changed, or not a model.
        """
        if len(data) < _HEADER.size:
            raise BadModel(f"a model file of {len(data)} bytes is cut off")
        magic, version, trees, features, digest = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise BadModel(f"not a model file of version {_VERSION}")
        body = data[_HEADER.size :]
        nodes = trees * _NODES
        if len(body) != nodes * 8 + trees * MOST_LEAVES * 4 or hashlib.sha256(body).digest() != digest:
            raise BadModel("a model file is damaged")

        def take(kind: str, at: int, count: int, width: int) -> NDArray[np.generic]:
            return np.frombuffer(body, dtype=kind, count=count, offset=at).reshape(-1, width)

        return cls(
            features,
            take("<u2", 0, nodes, _NODES).astype(np.uint16),
            take("<f4", nodes * 2, nodes, _NODES).astype(np.float32),
            take("<u2", nodes * 6, nodes, _NODES).astype(np.uint16),
            take("<f4", nodes * 8, trees * MOST_LEAVES, MOST_LEAVES).astype(np.float32),
        )
