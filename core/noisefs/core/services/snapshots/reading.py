"""Reading one snapshot: every frame is verified before anything of it is believed."""

from collections.abc import Iterator

from noisefs.core.domain.files.snapshot_file import (
    HEADER_BYTES,
    LENGTH_BYTES,
    Closing,
    Frame,
    Opening,
    Rows,
    SnapshotOpener,
    parse_header,
)
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.errors import FileNotInStore, SnapshotDamaged
from noisefs.core.ports.files import FileStore
from noisefs.core.services.snapshots.catalog import SnapshotInfo


def frames(files: FileStore, name: str, store_id: StoreId, keys: dict[bytes, SnapshotKey]) -> Iterator[Frame]:
    """The frames of a file, in order, each verified; ends behind the last one.

    Raises:
        SnapshotDamaged: The file is missing, cut off, changed or longer than it should be, or its key is gone.
        NewerFormat: A later version of this program wrote it.
    """
    try:
        header = files.read(name, 0, HEADER_BYTES)
        key_id, _ = parse_header(name, header)
        if key_id not in keys:
            raise SnapshotDamaged(name, f"its key {key_id.hex()} is not in the keyring")
        opener = SnapshotOpener(name, store_id, header, keys[key_id])
        offset = HEADER_BYTES
        last = False
        while not last:
            size, last = opener.length(files.read(name, offset, LENGTH_BYTES))
            offset += LENGTH_BYTES
            yield opener.open(files.read(name, offset, size))
            offset += size
        if files.read(name, offset, 1):
            raise SnapshotDamaged(name, "something follows its end")
    except FileNotInStore as exc:
        raise SnapshotDamaged(name, "its file is gone") from exc


def rows(files: FileStore, info: SnapshotInfo, store_id: StoreId, keys: dict[bytes, SnapshotKey]) -> Iterator[Rows]:
    """The rows of a snapshot, and the check that the file is the one its name says. Raises as :func:`frames`."""
    total = 0
    for frame in frames(files, info.name, store_id, keys):
        match frame:
            case Opening():
                if (frame.after, frame.created_us) != (info.after, info.created_us):
                    raise SnapshotDamaged(info.name, "it has another snapshot's name")
            case Rows():
                total += len(frame.rows)
                yield frame
            case Closing():
                if (frame.upto, frame.rows) != (info.upto, total):
                    raise SnapshotDamaged(info.name, "it has another snapshot's name, or rows are missing")


def verify(files: FileStore, info: SnapshotInfo, store_id: StoreId, keys: dict[bytes, SnapshotKey]) -> None:
    """Read it all. Raises as :func:`frames`."""
    for _ in rows(files, info, store_id, keys):
        pass
