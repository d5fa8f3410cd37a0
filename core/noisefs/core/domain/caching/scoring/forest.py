"""Boosted forests of small trees, one for each horizon, as arrays that a compiled function walks through.

Each horizon's forest says how likely a key is read again within it; the score is the sum of these probabilities. That
orders keys by when they are read next, as Belady's policy does, and knows the outcome of the short horizons early.

Every tree has four levels. So a walk takes as many steps for every row and finds each by counting, without a branch
that a processor could foresee wrongly.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from noisefs.core.errors import InvalidRequest

LEVELS: Final = 4
LEAVES: Final = 1 << LEVELS
NODES: Final = LEAVES - 1
MOST_TREES: Final = 1000
_MAGIC: Final = b"NFSCACHE"
_VERSION: Final = 2
_HEADER: Final = struct.Struct("<8sHHHH32s")  # magic, version, trees, features, horizons, SHA-256 of all else


class BadModel(InvalidRequest):
    """A model file is not what this version writes, or damaged."""


@dataclass(frozen=True, eq=False)
class Forest:
    """As many trees for each horizon, one horizon after the other. Rows are ``features`` wide.

    Below node ``n`` come ``2n + 1``, for rows whose value is at most the threshold, and ``2n + 2``; the last level's
    are the leaves.
    """

    features: int
    horizons: int
    feature: NDArray[np.int32]
    """(trees, 15): which value a node looks at."""
    threshold: NDArray[np.float32]
    """(trees, 15): infinite for a node that sends all rows one way."""
    leaves: NDArray[np.float32]
    """(trees, 16): log odds."""

    def __post_init__(self) -> None:
        trees = len(self.leaves)
        if not 1 <= trees <= MOST_TREES or self.leaves.shape != (trees, LEAVES):
            raise BadModel(f"a model of {trees} trees with leaves {self.leaves.shape}: 1 to {MOST_TREES} of 16 allowed")
        if {self.feature.shape, self.threshold.shape} != {(trees, NODES)}:
            raise BadModel("a model's nodes do not fit its trees")
        if self.horizons < 1 or trees % self.horizons:
            raise BadModel(f"a model of {trees} trees cannot have {self.horizons} horizons")
        if self.feature.min() < 0 or self.feature.max() >= self.features:
            raise BadModel(f"a model looks at value {self.feature.max()} of rows of {self.features}")
        if np.isnan(self.threshold).any() or not np.isfinite(self.leaves).all():
            raise BadModel("a model holds what is no number")

    def encode(self) -> bytes:
        """As a file: header with a digest, then the arrays, little-endian."""
        body = b"".join(
            (
                self.feature.astype("<i4").tobytes(),
                self.threshold.astype("<f4").tobytes(),
                self.leaves.astype("<f4").tobytes(),
            )
        )
        shape = len(self.leaves), self.features, self.horizons
        return _HEADER.pack(_MAGIC, _VERSION, *shape, _digest(shape, body)) + body

    @classmethod
    def decode(cls, data: bytes) -> "Forest":
        """A file's forest.

        Raises:
            BadModel: Another version's, cut off, changed, or not a model.
        """
        if len(data) < _HEADER.size:
            raise BadModel(f"a model file of {len(data)} bytes is cut off")
        magic, version, trees, features, horizons, digest = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise BadModel(f"not a model file of version {_VERSION}")
        body = data[_HEADER.size :]
        inner = 4 * trees * NODES
        if len(body) != 2 * inner + 4 * trees * LEAVES or _digest((trees, features, horizons), body) != digest:
            raise BadModel("a model file is damaged")
        return cls(
            features,
            horizons,
            np.frombuffer(body[:inner], dtype="<i4").astype(np.int32).reshape(trees, NODES),
            np.frombuffer(body[inner : 2 * inner], dtype="<f4").astype(np.float32).reshape(trees, NODES),
            np.frombuffer(body[2 * inner :], dtype="<f4").astype(np.float32).reshape(trees, LEAVES),
        )


def _digest(shape: tuple[int, int, int], body: bytes) -> bytes:
    return hashlib.sha256(struct.pack("<3H", *shape) + body).digest()
