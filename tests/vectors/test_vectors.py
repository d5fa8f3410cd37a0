"""Bytes that lie on disks are still read, and today's code writes the same ones.

The JSON files are never edited, only added to; nothing here regenerates them.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from noisefs.core.domain import records
from noisefs.core.domain.files.log_records import open_records, seal_records
from noisefs.core.domain.ids import BodyId, PackId, StoreId
from noisefs.core.domain.masking import RunPlan, strategy_named
from noisefs.core.domain.nodes.block_id import block_id_text, compute_block_id, parse_block_id
from noisefs.core.domain.nodes.node_file import SALT_BYTES, FileBlocks, blocks_of, salt_of, span_of, split_front
from noisefs.core.domain.nodes.root import RootKind, RootMeta, RootSealer, root_id
from noisefs.core.domain.packs.manifest import open_manifest, seal_manifest
from noisefs.core.domain.records import Inner
from noisefs.core.domain.sealing.head import decode_head, encode_head, read_passphrase
from noisefs.core.domain.sealing.inner import OuterKey, stream_cipher, unwrap, wrap
from noisefs.core.domain.sealing.keyring import SnapshotKey, format_root_key, parse_root_key
from noisefs.core.domain.sealing.keys import KeyWrap, Label, derive, verify_password
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.domain.sealing.shared_cell import SharedCellBuilder, open_directory
from tests.vectors.make_vectors import digest_of, padding, pattern, plain, plain_fields, record_classes

Vector = dict[str, Any]  # JSON: a tree of strings and numbers


@cache
def suite(name: str) -> dict[str, Vector]:
    vectors: dict[str, Vector] = json.loads((Path(__file__).parent / f"{name}.json").read_text())
    return vectors


def raw(vector: Vector, *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


@pytest.mark.parametrize("name", suite("segments"))
def test_segments_and_slices(name: str) -> None:
    vector = suite("segments")[name]
    key, store_id, body_id, clear = raw(vector, "key", "store_id", "body_id", "plain")
    cipher = BodyCipher(key, StoreId(store_id), BodyId(body_id), vector["body_format"])
    if "sealed" in vector:
        (sealed,) = raw(vector, "sealed")
        assert cipher.open_slice(sealed, vector["segment"], vector["generation"]) == clear
        assert cipher.seal_slice(clear, vector["segment"], vector["generation"]) == sealed
        return
    (cells,) = raw(vector, "cells")
    first, generation, size, final = (
        vector[field] for field in ("first_segment", "generation", "segment_bytes", "final")
    )
    opened, sealed_again = bytearray(len(clear)), bytearray(len(cells))
    cipher.open_segments(memoryview(cells), first, generation, size, memoryview(opened), final=final)
    cipher.seal_segments(memoryview(clear), first, generation, size, memoryview(sealed_again), final=final)
    assert opened == clear
    assert sealed_again == cells


@pytest.mark.parametrize("name", suite("inner_streams"))
def test_inner_streams(name: str) -> None:
    vector = suite("inner_streams")[name]
    key, store_id, nonce, data_key, envelope = raw(vector, "outer_key", "store_id", "nonce", "data_key", "envelope")
    outer = OuterKey(vector["kind"], key, vector["name"])
    assert unwrap(Inner(outer.kind, envelope), outer, StoreId(store_id)) == data_key
    assert wrap(data_key, outer, StoreId(store_id), nonce) == envelope
    stream_id, clear, sealed = raw(vector, "stream_id", "plain", "sealed")
    cipher = stream_cipher(data_key, stream_id, StoreId(store_id))
    assert cipher.open_slice(sealed, vector["segment"], 0) == clear


@pytest.mark.parametrize("name", suite("roots"))
def test_roots(name: str) -> None:
    vector = suite("roots")[name]
    store_id, store_key, nonce, root = raw(vector, "store_id", "store_key", "nonce", "root")
    sealer = RootSealer(StoreId(store_id), store_key)
    opened = sealer.open(root)
    assert plain_fields(opened.meta) == vector["meta"]
    assert [link.hex() for link in opened.links] == vector["links"]
    assert root_id(root).hex() == vector["id"]
    assert sealer.seal(opened.links, opened.meta, nonce=nonce) == root


@pytest.mark.parametrize("name", suite("node_files"))
def test_node_files(name: str) -> None:
    vector = suite("node_files")[name]
    store_id, store_key, before, data = raw(vector, "store_id", "store_key", "previous", "file")
    size, blocks = vector["block_bytes"], [bytes.fromhex(block) for block in vector["blocks"]]
    opener = FileBlocks(StoreId(store_id), store_key, blocks[0][:SALT_BYTES], size)
    previous, opened = split_front(b"".join(opener.open(number, block) for number, block in enumerate(blocks)))
    assert (previous or b"", opened[: len(data)]) == (before, data)
    assert salt_of(StoreId(store_id), store_key, previous, [data]) == blocks[0][:SALT_BYTES]
    spans = [span_of(number, size) for number in range(blocks_of(len(data), size))]
    sealed = [opener.seal(number, data[at : at + n], previous) for number, (at, n) in enumerate(spans)]
    assert sealed == blocks


@pytest.mark.parametrize("name", suite("log_records"))
def test_log_records(name: str) -> None:
    vector = suite("log_records")[name]
    store_id, store_key, key_id, key, file_id = raw(vector, "store_id", "store_key", "key_id", "key", "file_id")
    blocks, of_set = [bytes.fromhex(block) for block in vector["blocks"]], SnapshotKey(key_id, key, 0)
    meta = RootMeta(RootKind.LOG, log_number=vector["log_number"], size_bytes=vector["size_bytes"])
    store, size = StoreId(store_id), vector["block_bytes"]
    opened = open_records(blocks, meta, store_id=store, store_key=store_key, keys={key_id: of_set}, block_bytes=size)
    assert [[record.sequence, plain(record.tables)] for record in opened] == vector["records"]
    sealed = seal_records(opened, store_id=store, store_key=store_key, key=of_set, file_id=file_id, block_bytes=size)
    assert sealed == (blocks, meta.size_bytes)


@pytest.mark.parametrize("name", suite("masks"))
def test_masks(name: str) -> None:
    vector = suite("masks")[name]
    pack_id, prf_key, before, cells, blocks = raw(vector, "pack_id", "prf_key", "blocks_before", "cells", "blocks")
    strategy = strategy_named(name, pack_id=PackId(pack_id), prf_key=prf_key)
    table = [[at, 0, *strategy.randomizers(at, 0)] for at in range(max(strategy.seeds, 2), 511)]
    manifests = [[at, *strategy.manifest_randomizers(at)] for at in range(max(strategy.seeds, 3), 512)]

    assert all(row in table for row in vector["some_randomizers"])
    assert digest_of(table) == vector["all_randomizers_sha256"]
    assert all(row in manifests for row in vector["some_manifests"])
    assert digest_of(manifests) == vector["all_manifests_sha256"]

    plan = RunPlan(*vector["run"])
    held = before + blocks
    opened = bytearray(len(cells))
    strategy.unmask(
        plan.position, plan.count, plan.seed, lambda at: memoryview(held)[at * 16 : (at + 1) * 16], memoryview(opened)
    )
    assert opened == cells

    again, noise = bytearray(len(blocks)), iter(range(plan.count))

    def fill(into: memoryview) -> None:
        into[:] = pattern(f"noise {next(noise)}", len(into))

    strategy.mask_run(
        plan, memoryview(cells), memoryview(again), lambda at: memoryview(before)[at * 16 : (at + 1) * 16], fill
    )
    assert again == blocks


@pytest.mark.parametrize("name", suite("manifests"))
def test_manifests(name: str) -> None:
    vector = suite("manifests")[name]
    store_key, store_id, pack_id, salt, cell = raw(vector, "store_key", "store_id", "pack_id", "salt", "cell")
    manifest = open_manifest(
        cell,
        store_key=store_key,
        store_id=StoreId(store_id),
        pack_id=PackId(pack_id),
        blocks=vector["blocks"],
        segment_bytes=vector["segment_bytes"],
    )
    assert manifest.pack_id == pack_id
    assert (manifest.blocks, manifest.strategy) == (vector["blocks"], vector["strategy"])
    assert manifest.generation == vector["generation"]
    assert plain(manifest.seeds) == vector["seeds"]
    assert plain(manifest.entries) == vector["entries"]
    again = seal_manifest(
        manifest,
        store_key=store_key,
        store_id=StoreId(store_id),
        segment_bytes=vector["segment_bytes"],
        salt=salt,
        padding=padding,
    )
    assert again == cell


@pytest.mark.parametrize("name", suite("shared_cells"))
def test_shared_cells(name: str) -> None:
    vector = suite("shared_cells")[name]
    store_key, store_id, pack_id, cell = raw(vector, "store_key", "store_id", "pack_id", "cell")
    number = vector["cell_number"]
    entries = open_directory(
        cell, store_key=store_key, store_id=StoreId(store_id), pack_id=PackId(pack_id), cell_number=number
    )
    builder = SharedCellBuilder(len(cell))
    assert len(entries) == len(vector["slices"])
    for entry, (body_id, segment, generation, offset, length, piece_offset, piece_total, data) in zip(
        entries, vector["slices"], strict=True
    ):
        expected = [bytes.fromhex(body_id), segment, generation, offset, length, piece_offset, piece_total]
        assert [getattr(entry, field) for field in entry.__struct_fields__] == expected
        assert cell[offset : offset + length].hex() == data
        builder.add(entry.body_id, segment, generation, piece_offset, piece_total, bytes.fromhex(data))
    again = builder.seal(
        store_key=store_key, store_id=StoreId(store_id), pack_id=PackId(pack_id), cell_number=number, padding=padding
    )
    assert again == cell


@pytest.mark.parametrize("name", suite("keys"))
def test_keys(name: str) -> None:
    vector = suite("keys")[name]
    if "derived" in vector:
        key, context, derived = raw(vector, "key", "context", "derived")
        assert derive(key, Label(vector["label"]), context) == derived
    elif "password" in vector:
        (envelope,) = raw(vector, "envelope")
        assert verify_password(vector["password"], envelope)
    else:
        store_key, store_id, envelope = raw(vector, "store_key", "store_id", "envelope")
        wrap = KeyWrap(store_key, StoreId(store_id), vector["key_generation"])
        if "secret" in vector:
            assert wrap.unwrap_secret(envelope, vector["access_key_id"]) == vector["secret"]
            assert wrap.wrap_secret(vector["secret"], vector["access_key_id"]) == envelope
        else:
            key, body_id = raw(vector, "key", "body_id")
            assert wrap.unwrap_body_key(envelope, BodyId(body_id)) == key
            assert wrap.wrap_body_key(key, BodyId(body_id)) == envelope


def test_every_label_has_a_vector() -> None:
    assert {f"derived: {label.value}" for label in Label} <= suite("keys").keys()


@pytest.mark.parametrize("name", suite("heads"))
def test_heads(name: str) -> None:
    vector = suite("heads")[name]
    if "text" in vector:
        assert parse_root_key(vector["text"]).hex() == vector["key"]
        assert format_root_key(bytes.fromhex(vector["key"])) == vector["text"]
        return
    root_key, salt, stored = raw(vector, "root_key", "salt", "head")
    phrase = read_passphrase(stored)
    assert (phrase is not None) is ("passphrase" in vector)
    if phrase is not None:
        assert phrase.stretch(vector["passphrase"]) == root_key
    head = decode_head(stored, root_key)
    assert plain(head) == vector["fields"]
    assert encode_head(head, root_key, salt=salt) == stored


@pytest.mark.parametrize("name", suite("block_ids"))
def test_block_ids(name: str) -> None:
    vector = suite("block_ids")[name]
    block, block_id = raw(vector, "block", "id")
    assert compute_block_id(block) == block_id == parse_block_id(vector["text"])
    assert block_id_text(compute_block_id(block)) == vector["text"]


@pytest.mark.parametrize("name", suite("records"))
def test_rows(name: str) -> None:
    """A row written by any released version is read with every value it had; fields appended since have defaults."""
    vector = suite("records")[name]
    (stored,) = raw(vector, "row")
    kinds = {kind.__name__: kind for kind in record_classes()}
    row = records.decode(kinds[name.partition(",")[0]], stored)
    for field, value in vector["fields"].items():
        assert _begins(plain(getattr(row, field)), value), field


def _begins(found: object, expected: object) -> bool:
    """Equal, but for fields that were appended to rows within the row."""
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) >= len(expected) and all(map(_begins, found, expected))
    return found == expected


def test_every_record_class_has_a_vector() -> None:
    assert {kind.__name__ for kind in record_classes()} <= {name.partition(",")[0] for name in suite("records")}


def test_the_test_pattern_is_the_same_for_ever() -> None:
    assert pattern("store id", 4).hex() == suite("segments")["a slice"]["store_id"][:8]
