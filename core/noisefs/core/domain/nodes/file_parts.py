"""A snapshot file as parts on nodes, each under a root of its own: a root that is still read links so many blocks only.

A file that fits under one root is one part, of kind ``FILE``, as in the first released version. The parts of a longer
one are of kind ``PART``, and say their number in ``first``. The last bears the file's own name, those before it
``NAME~NUMBER``. In block 0 of each part stands the root of the part before it, and in that of the first one the root of
the file before, as between files (:mod:`.node_file`): so who has the last part's root has the file, and all before it.
"""

from dataclasses import dataclass
from typing import Final

from noisefs.core.domain.nodes.node_file import bytes_in
from noisefs.core.domain.nodes.root import RootKind

MOST_BLOCKS: Final = 25_000
"""Links of a root that is still read (:data:`~noisefs.core.domain.nodes.root.MAX_ROOT_BYTES`): 3 GiB of a file. Never
changed: a file that lies on nodes must be cut in the same places when it is sealed again."""
FILE_KINDS: Final = (RootKind.FILE, RootKind.PART)
_SEPARATOR: Final = "~"


@dataclass(frozen=True, slots=True)
class FilePart:
    """A stretch of a file.

    Attributes:
        name: What its root and its row are called.
        kind: Of its root.
        number: From 0.
        offset_bytes, size_bytes: Where in the file.
    """

    name: str
    kind: RootKind
    number: int
    offset_bytes: int
    size_bytes: int


def parts_of(name: str, size_bytes: int, block_bytes: int, most_blocks: int = MOST_BLOCKS) -> list[FilePart]:
    """The parts of a file, in order; one at least. ``most_blocks``: of a part."""
    room = bytes_in(most_blocks, block_bytes)
    count = max(1, -(-size_bytes // room))
    kind = RootKind.FILE if count == 1 else RootKind.PART
    return [
        FilePart(
            name if number == count - 1 else part_name(name, number),
            kind,
            number,
            number * room,
            min(room, size_bytes - number * room),
        )
        for number in range(count)
    ]


def part_name(name: str, number: int) -> str:
    """What a part is called that others follow."""
    return f"{name}{_SEPARATOR}{number}"


def whole_name(name: str) -> str:
    """The file that a part of this name is of."""
    return name.partition(_SEPARATOR)[0]
