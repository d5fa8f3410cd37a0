"""What a model is made from: rows, and when each was read again, as far as that has happened."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

HORIZONS: Final = (0.25, 0.5, 1.0, 2.0)
"""In residence times of the cache: is a key read again within so many?"""


class Samples(NamedTuple):
    """Rows, the oldest first."""

    rows: NDArray[np.float32]
    """(n, features)."""
    ages: NDArray[np.int64]
    """(n,): how many reads ago the row was taken."""
    gaps: NDArray[np.int64]
    """(n,): after how many reads its key was read again; 0 where it was not."""
    residence_reads: float
    """How many reads a key stays in an LRU cache of this size."""

    def settled(self, horizon: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Rows whose outcome for a horizon is known for all of their age, and labels: 1 for read again within it.

        Of rows that are younger than the horizon, only those that were read again would have an outcome; a model
        made with these sees too many of them, and keeps what was just read.
        """
        window = horizon * self.residence_reads
        old = self.ages >= window
        gaps = self.gaps[old]
        return self.rows[old], ((gaps > 0) & (gaps <= window)).astype(np.float32)
