"""Manifests: worst case, refusals, newer versions."""

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from noisefs.core.domain.ids import BodyId, PackId, StoreId
from noisefs.core.domain.packs.manifest import (
    Entry,
    FillerEntry,
    LogEntry,
    Manifest,
    RunEntry,
    SharedEntry,
    entry_end,
    open_manifest,
    seal_manifest,
)
from noisefs.core.domain.records import SeedInfo
from noisefs.core.domain.sealing.keys import Label, derive
from noisefs.core.errors import InvalidArgument, NewerFormat, PackDamaged

STORE, PACK, KEY = StoreId(b"s" * 16), PackId(b"p" * 16), b"k" * 32
BODY = BodyId(b"\xff" * 16)
NO_SEEDS = (SeedInfo(None),) * 4


def quiet(into: memoryview) -> None:
    into[:] = b"\xa5" * len(into)


def seal(manifest: Manifest, segment_bytes: int = 4096, salt: bytes = b"t" * 24) -> bytes:
    return seal_manifest(manifest, store_key=KEY, store_id=STORE, segment_bytes=segment_bytes, salt=salt, padding=quiet)


def reopen(cell: bytes, blocks: int, segment_bytes: int = 4096) -> Manifest:
    return open_manifest(cell, store_key=KEY, store_id=STORE, pack_id=PACK, blocks=blocks, segment_bytes=segment_bytes)


def test_the_largest_manifest_fits_the_smallest_block() -> None:
    """507 runs of one cell, every number as large as it gets, every seed with its source."""
    seeds = tuple(SeedInfo(PackId(b"\xff" * 16), 511, BODY) for _ in range(4))
    entries = tuple(RunEntry(4 + at, 1, 1, BODY, 2**56 - 1, 3, 2**32 - 1) for at in range(507))
    manifest = Manifest(PACK, "uniform", 2**32 - 1, seeds, 512, entries)

    assert reopen(seal(manifest, 131072), 512, 131072) == manifest
    assert reopen(seal(manifest, 24 * 1024), 512, 24 * 1024) == manifest


def test_a_manifest_that_does_not_fit_is_refused() -> None:
    entries = tuple(RunEntry(4 + at, 1, 1, BODY, 0, 3, 0) for at in range(507))
    with pytest.raises(InvalidArgument):
        seal(Manifest(PACK, "chain", 0, NO_SEEDS, 512, entries), 4096)


def test_a_salt_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        seal(Manifest(PACK, "chain", 0, NO_SEEDS, 6, ()), salt=b"short")


@pytest.mark.parametrize(
    ("entry", "end"),
    [
        (RunEntry(6, 3, 3, BODY, 0, 0, 0), 13),
        (RunEntry(6, 3, 1, BODY, 0, 0, 0), 9),
        (SharedEntry(6, 0, 0), 7),
        (FillerEntry(6, 5), 11),
        (LogEntry(6, 1, 0), 7),
    ],
)
def test_entries_know_where_they_end(entry: Entry, end: int) -> None:
    assert entry_end(entry) == end


@pytest.mark.parametrize(
    ("strategy", "blocks", "entries"),
    [
        ("twist", 6, ()),
        ("chain", 4, ()),
        ("chain", 513, ()),
        ("chain", 8, (SharedEntry(3, 0, 0),)),
        ("chain", 8, (SharedEntry(7, 0, 0),)),
        ("chain", 8, (FillerEntry(4, 0),)),
        ("chain", 8, (SharedEntry(5, 0, 0), SharedEntry(5, 0, 0))),
        ("chain", 8, (FillerEntry(4, 2), SharedEntry(5, 0, 0))),
        ("chain", 8, (SharedEntry(6, 0, 0), SharedEntry(5, 0, 0))),
    ],
)
def test_what_no_pack_can_hold_is_no_manifest(strategy: str, blocks: int, entries: tuple[Entry, ...]) -> None:
    with pytest.raises(InvalidArgument):
        Manifest(PACK, strategy, 0, NO_SEEDS, blocks, entries)


@pytest.mark.parametrize("cut", [0, 23, 4111, 4113])
def test_a_block_of_another_size_is_damage(cut: int) -> None:
    cell = seal(Manifest(PACK, "chain", 0, NO_SEEDS, 6, ()))
    with pytest.raises(PackDamaged, match="bytes"):
        reopen((cell + b"\0")[:cut], 6)


@pytest.mark.parametrize("at", [0, 23, 24, 500, 4111])
def test_any_changed_byte_is_damage(at: int) -> None:
    cell = bytearray(seal(Manifest(PACK, "chain", 0, NO_SEEDS, 6, ())))
    cell[at] ^= 1
    with pytest.raises(PackDamaged, match="not its manifest"):
        reopen(bytes(cell), 6)


def sealed_by_somebody(content: bytes) -> bytes:
    """A cell that verifies, with other content."""
    plain = len(content).to_bytes(4, "big") + content
    plain += bytes(4096 - 24 - len(plain))
    salt = b"t" * 24
    aad = STORE + PACK + bytes([0, 6, 0, 1])
    return salt + AESGCM(derive(KEY, Label.MANIFEST, salt)).encrypt(bytes(12), plain, aad)


def test_a_newer_manifest_is_called_newer() -> None:
    with pytest.raises(NewerFormat):
        reopen(sealed_by_somebody(msgspec.msgpack.encode([2, "something", "else"])), 6)


@pytest.mark.parametrize("content", [b"", b"\xc1", msgspec.msgpack.encode([1, "twist", 0, [], []])])
def test_a_manifest_that_opens_but_makes_no_sense_is_damage(content: bytes) -> None:
    with pytest.raises(PackDamaged, match="cannot be read"):
        reopen(sealed_by_somebody(content), 6)


def test_fields_that_a_later_version_appends_are_ignored() -> None:
    cell = sealed_by_somebody(msgspec.msgpack.encode([1, "chain", 0, [[None], [None]], [[2, 4, 0, 0]], "later"]))
    assert reopen(cell, 6).entries == (SharedEntry(4, 0, 0),)
