"""CAR streams for tests: blocks of noise under a root."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from noisefs.core.domain.ids import BlockId, RootId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.car import car_header, section_head
from noisefs.core.domain.nodes.dag_cbor import Link, encode_dag
from noisefs.core.domain.nodes.root import root_id
from noisefs.core.ports.nodes import Car


def noise(label: str, size_bytes: int) -> bytes:
    """The same bytes for the same label."""
    return hashlib.shake_128(label.encode()).digest(size_bytes)


def root_of(links: Sequence[BlockId], label: str = "") -> bytes:
    """A root in the shape of ours, sealed by nobody."""
    return encode_dag({"b": [Link(link) for link in links], "v": 1, "x": noise(f"root {label}", 40)})


@dataclass(frozen=True)
class Bundle:
    """Blocks and the root over them; ``others`` are linked as well, but not in the stream."""

    blocks: tuple[bytes, ...]
    others: tuple[BlockId, ...] = ()
    label: str = ""

    @property
    def ids(self) -> list[BlockId]:
        """Names of the blocks."""
        return [compute_block_id(block) for block in self.blocks]

    @property
    def raw_root(self) -> bytes:
        """The root's bytes."""
        return root_of([*self.ids, *self.others], self.label)

    @property
    def root(self) -> RootId:
        """The root's name."""
        return root_id(self.raw_root)

    def car(self, *, piece_bytes: int = 0) -> Car:
        """The stream; in pieces of one reused buffer of this length, or in its natural pieces."""
        pieces: list[bytes] = [car_header(self.root)]
        for name, block in zip(self.ids, self.blocks, strict=True):
            pieces += (section_head(name, len(block)), block)
        pieces += (section_head(self.root, len(self.raw_root)), self.raw_root)
        size = sum(map(len, pieces))

        async def parts() -> AsyncIterator[bytes | memoryview]:
            if not piece_bytes:
                for piece in pieces:
                    yield piece
                return
            whole, buffer = b"".join(pieces), bytearray(piece_bytes)
            for start in range(0, size, piece_bytes):
                piece = whole[start : start + piece_bytes]
                buffer[: len(piece)] = piece
                yield memoryview(buffer)[: len(piece)]
                buffer[:] = bytes(piece_bytes)

        return Car(self.root, size, len(self.blocks) + 1, parts)


def bundle(label: str, count: int = 4, size_bytes: int = 1000, others: Sequence[BlockId] = ()) -> Bundle:
    """Blocks of noise that no other label has."""
    return Bundle(tuple(noise(f"{label} {n}", size_bytes) for n in range(count)), tuple(others), label)
