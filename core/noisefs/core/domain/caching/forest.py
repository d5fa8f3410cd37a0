"""Boosted forests of small trees, one for each horizon, as arrays that a compiled function walks through.

Each horizon's forest says how likely a key is read again within it; the score is the sum of these probabilities. That
orders keys by when they are read next, as Belady's policy does, and knows the outcome of the short horizons early.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from noisefs.core.errors import InvalidRequest

MOST_LEAVES: Final = 16
MOST_TREES: Final = 1000
NODES: Final = MOST_LEAVES - 1
NODE: Final = 4
"""Of a node: which value it looks at, its threshold, where a row goes that is at most that, and where others go. Both
are a node's number, or ``-1 - leaf``."""
_MAGIC: Final = b"NFSCACHE"
_VERSION: Final = 2
_HEADER: Final = struct.Struct("<8sHHHH32s")  # magic, version, trees, features, horizons, SHA-256 of all else


class BadModel(InvalidRequest):
    """A model file is not what this version writes, or damaged."""


@dataclass(frozen=True, eq=False)
class Forest:
    """As many trees for each horizon, one horizon after the other. Rows are ``features`` wide."""

    features: int
    horizons: int
    nodes: NDArray[np.float32]
    """(trees, 15, 4): see :data:`NODE`."""
    leaves: NDArray[np.float32]
    """(trees, 16): log odds."""

    def __post_init__(self) -> None:
        trees = len(self.leaves)
        if not 1 <= trees <= MOST_TREES or self.leaves.shape != (trees, MOST_LEAVES):
            raise BadModel(f"a model of {trees} trees with leaves {self.leaves.shape}: 1 to {MOST_TREES} of 16 allowed")
        if self.nodes.shape != (trees, NODES, NODE):
            raise BadModel(f"a model of {trees} trees has nodes {self.nodes.shape}")
        if self.horizons < 1 or trees % self.horizons:
            raise BadModel(f"a model of {trees} trees cannot have {self.horizons} horizons")
        if np.isnan(self.nodes).any() or not np.isfinite(self.leaves).all():
            raise BadModel("a model holds what is no number")
        looks_at, onward = self.nodes[:, :, 0], self.nodes[:, :, 2:]
        if looks_at.min() < 0 or looks_at.max() >= self.features:
            raise BadModel(f"a model looks at value {looks_at.max():g} of rows of {self.features}")
        # Onward to later nodes only, so that every walk ends.
        later = onward > np.arange(NODES, dtype=np.float32)[None, :, None]
        if not ((later & (onward < NODES)) | ((onward < 0) & (onward >= -MOST_LEAVES))).all():
            raise BadModel("a model's nodes lead nowhere")

    def encode(self) -> bytes:
        """As a file: header with a digest, then the arrays, little-endian."""
        body = self.nodes.astype("<f4").tobytes() + self.leaves.astype("<f4").tobytes()
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
        inner = trees * NODES * NODE
        if len(body) != 4 * (inner + trees * MOST_LEAVES) or _digest((trees, features, horizons), body) != digest:
            raise BadModel("a model file is damaged")
        numbers = np.frombuffer(body, dtype="<f4").astype(np.float32)
        return cls(
            features, horizons, numbers[:inner].reshape(trees, NODES, NODE), numbers[inner:].reshape(trees, MOST_LEAVES)
        )


def _digest(shape: tuple[int, int, int], body: bytes) -> bytes:
    return hashlib.sha256(struct.pack("<3H", *shape) + body).digest()
