"""XOR of whole blocks, in place, at memory speed (numpy; the interpreter lock is released for each block)."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from noisefs.core.errors import InvalidArgument, RandomizerReuse

Lanes: TypeAlias = npt.NDArray[np.uint64]
"""A block seen as 64-bit words: every block size is a multiple of 8 bytes."""

_PEEK_BYTES = 32
"""Two blocks of noise that agree in this many bytes (chance 2**-256) are worth comparing whole."""


def lanes(block: memoryview | bytes | bytearray) -> Lanes:
    """The bytes as words, without a copy; writable when the bytes are."""
    return np.frombuffer(block, dtype=np.uint64)


def xor_into(out: memoryview, *operands: memoryview) -> None:
    """Write the XOR of two or more equally long operands to ``out``, which may be one of them.

    XOR is its own inverse: the same call masks and unmasks.

    Raises:
        InvalidArgument: Fewer than two operands, or lengths that differ or are no multiple of 8.
    """
    if len(operands) < 2 or len(out) % 8 or any(len(operand) != len(out) for operand in operands):
        raise InvalidArgument(
            "operand lengths", [len(operand) for operand in operands], f"two or more of {len(out)} bytes"
        )
    target = lanes(out)
    np.bitwise_xor(lanes(operands[0]), lanes(operands[1]), out=target)
    for operand in operands[2:]:
        np.bitwise_xor(target, lanes(operand), out=target)


def require_distinct(randomizers: Sequence[memoryview]) -> None:
    """Refuse a tuple two of whose randomizers are the same bytes and would cancel out.

    Raises:
        RandomizerReuse: Two are equal.
    """
    for i, one in enumerate(randomizers):
        for other in randomizers[i + 1 :]:
            if one[:_PEEK_BYTES] == other[:_PEEK_BYTES] and one == other:
                raise RandomizerReuse("two randomizers of one tuple are the same block and would cancel out")
