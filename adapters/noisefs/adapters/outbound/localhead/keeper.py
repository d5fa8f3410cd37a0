"""The head's file as whoever puts heads on nodes sees it."""

import msgspec

from noisefs.adapters.outbound.localhead.head_file import HeadFile
from noisefs.core.domain.sealing.head import Head, SnapshotPointer
from noisefs.core.ports.heads import HeadKeeper, SealedHead


class LocalHeadKeeper(HeadKeeper):
    """Over a :class:`HeadFile`. Thread-safe; several processes may use it."""

    def __init__(self, file: HeadFile) -> None:
        """Keep the head in this file."""
        self.file = file

    def read(self) -> SealedHead:
        """The file's bytes, opened."""
        raw = self.file.read_bytes()
        return SealedHead(self.file.open(raw), raw)

    def point(self, pointer: SnapshotPointer) -> SealedHead:
        """Change the file; another process's change that comes in between is in what is returned."""
        self.file.change(lambda head: msgspec.structs.replace(head, snapshot=pointer))
        return self.read()

    def open(self, raw: bytes) -> Head:
        """With the file's root key."""
        return self.file.open(raw)
