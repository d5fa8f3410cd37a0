"""Log records as they lie on nodes: what commits changed since a snapshot, in one file under one root of kind LOG.

A file (:mod:`.log_file`, one frame) holds one record or a few, in order: rows **as they were when the last of these
commits was the newest**, each key once in a record. So a record does not say what each commit did, but applying all
records of a file to the index as it was at any commit from ``log_first - 1`` to ``log_number`` gives it as of
``log_number``; applying them again changes nothing. The file is sealed once more and cut into blocks
(:mod:`..nodes.node_file`, with no root in front). Its key is one that heads on nodes hold already.

The root says ``log_first`` and ``log_number`` (the first and the last of these commits, both included), ``size_bytes``
of the file, and the ``epoch``. Files of one epoch may overlap: see :func:`in_order`. Those of another epoch belong to
another course of history, and are never mixed.
"""

from collections.abc import Iterable, Mapping, Sequence

from noisefs.core.domain.files.log_file import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    LogOpener,
    LogSealer,
    Record,
    parse_frame_head,
    parse_header,
)
from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.nodes.node_file import SALT_BYTES, FileBlocks, blocks_of, salt_of, span_of, split_front
from noisefs.core.domain.nodes.root import RootMeta
from noisefs.core.domain.sealing.keyring import SnapshotKey
from noisefs.core.errors import InvalidArgument, RootDamaged


def seal_records(
    records: Sequence[Record],
    *,
    store_id: StoreId,
    store_key: bytes,
    key: SnapshotKey,
    file_id: bytes,
    block_bytes: int,
) -> tuple[list[bytes], int]:
    """The blocks of a file of these records, and the file's size. Cost: about 1 µs per KiB, off the event loop.

    Args:
        records: At least one, their numbers ascending.
        key: Of the set whose key opens it.
        file_id: 16 random bytes.
        block_bytes: Of every block of the store.

    Raises:
        InvalidArgument: There is no record, or numbers do not ascend.
    """
    if not records:
        raise InvalidArgument("log records", 0, "at least one")
    sealer = LogSealer(store_id, key, file_id)
    for record in records:
        sealer.add(record)
    file = bytes(sealer.header) + bytes(sealer.seal())
    sealing = FileBlocks(store_id, store_key, salt_of(store_id, store_key, None, (file,)), block_bytes)
    blocks = []
    for number in range(blocks_of(len(file), block_bytes)):
        begin, size = span_of(number, block_bytes)
        blocks.append(sealing.seal(number, file[begin : begin + size]))
    return blocks, len(file)


def open_records(
    blocks: Sequence[bytes],
    meta: RootMeta,
    *,
    store_id: StoreId,
    store_key: bytes,
    keys: Mapping[bytes, SnapshotKey],
    block_bytes: int,
) -> list[Record]:
    """The records in a root's blocks, all of them verified, to be applied in this order.

    Args:
        blocks: Those the root links, in order.
        meta: What the root says.
        keys: Of all sets, by id.

    Raises:
        RootDamaged: A block, or the file in them, does not verify, or its key is gone.
        NewerFormat: A later version of this program wrote it.
    """
    if len(blocks) != blocks_of(meta.size_bytes, block_bytes) or not blocks:
        raise RootDamaged(f"log records of {meta.size_bytes} bytes cannot be {len(blocks)} blocks")
    opening = FileBlocks(store_id, store_key, blocks[0][:SALT_BYTES], block_bytes)
    plain = [opening.open(number, block) for number, block in enumerate(blocks)]
    plain[0] = split_front(plain[0])[1]
    file = b"".join(plain)[: meta.size_bytes]
    ids = parse_header(file[:HEADER_BYTES])
    if ids is None or ids[0] not in keys:
        raise RootDamaged("log records: the key of their set is not in the keyring")
    raw = file[HEADER_BYTES : HEADER_BYTES + FRAME_HEAD_BYTES]
    head = parse_frame_head(raw)
    sealed = file[HEADER_BYTES + FRAME_HEAD_BYTES :]
    if head is None or head.size_bytes != len(sealed):
        raise RootDamaged("log records: their file has another length")
    found = LogOpener(store_id, file[:HEADER_BYTES], keys[ids[0]]).open(raw, sealed)
    if not found or found[-1].sequence != meta.log_number:
        raise RootDamaged("log records do not open, or end with another number than their root says")
    return found


def in_order(found: Iterable[RootMeta], reached: int, epoch: int) -> list[RootMeta]:
    """Which files of an epoch bring an index of commit ``reached`` furthest without a gap, in the order to apply them.

    The last one's ``log_number`` is what is reached then. Cost: n log n.
    """
    waiting = sorted((meta for meta in found if meta.epoch == epoch), key=lambda meta: meta.log_first, reverse=True)
    chosen: list[RootMeta] = []
    best: RootMeta | None = None
    while True:
        while waiting and waiting[-1].log_first <= reached + 1:
            meta = waiting.pop()
            if best is None or meta.log_number > best.log_number:
                best = meta
        if best is None or best.log_number <= reached:
            return chosen
        chosen.append(best)
        reached = best.log_number
