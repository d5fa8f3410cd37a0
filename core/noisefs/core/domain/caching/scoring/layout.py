"""What is remembered of a key's reads, as columns of arrays, and the row of numbers that a model sees of it.

A key that is remembered has a slot: a row of ``ints`` and one of ``floats``. Times are counted in reads. Neighbours and
groups are slots too, so that a compiled function finds all it needs without asking Python.

Compiled code that is kept on disk is known by the text of :mod:`.kernel` alone: where a number here changes, change
that text too.
"""

from typing import Final

NONE: Final = -1
"""In place of a slot."""
NEVER: Final = 1e9
"""In place of a time that was not: longer than any number of reads that matters."""

# ints, of each slot
LAST, FIRST, AFTER, BEFORE, NEXT, GROUP, PLACE, POOLED, AWAITED, NEWER, OLDER, SIZE = range(12)
"""Last and first read, last read of the next neighbour; slots of both neighbours; group; place among the residents;
whether it is in the pool; its newest sample; its neighbours in order of reads; bytes."""
INTS: Final = 12

# floats, of each slot
GAP_1, GAP_2, GAP_3, GAP_4, COUNT, SHORT, LONG = range(7)
BEFORE_AGE, BEFORE_GAP, POSITION, PROTOCOL, SEQUENTIAL, BUCKET = range(7, 13)
"""The last gaps between reads, reads in all, two counters that decay, the neighbour's age and gap when this was read,
and what the reader told."""
FLOATS: Final = 13

# of the whole
NOW, RESIDENTS, BYTES, POOL, SAMPLED, RANDOM, NEWEST, OLDEST = range(8)
"""Reads so far, how many and how many bytes are resident, entries of the pool, samples taken, state of the random
numbers, ends of the order of reads, slots in use."""
STATE: Final = 8

# of each sample
SAMPLE_SLOT, SAMPLE_TIME, SAMPLE_GAP, SAMPLE_NEXT = range(4)
"""Whose, when, after how many reads it was read again (0: not yet), and the next older one of the same slot."""
SAMPLE: Final = 4

ROW: Final = (
    "age",
    "gap_1",
    "gap_2",
    "gap_3",
    "gap_4",
    "count",
    "short",
    "long",
    "first_age",
    "before_age_now",
    "before_gap_now",
    "next_age_now",
    "next_gap_now",
    "group_age",
    "group_heat",
    "position",
    "before_age",
    "before_gap",
    "after_age",
    "size",
    "protocol",
    "sequential",
    "bucket_class",
)
"""What a model sees, in this order."""
COLUMNS: Final = len(ROW)

SHORT_RATE: Final = 2.0
LONG_RATE: Final = 0.25
"""How quickly the two counters forget, per residence time of the cache; a group's heat forgets at a rate of 1."""
