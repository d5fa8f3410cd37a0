"""Adds golden vectors for formats that have none yet: ``python -m tests.vectors.make_vectors``.

A vector that is there is never touched: it stands for bytes that lie on somebody's disk. A changed format gets a new
version and a vector under a new name. The tests beside this file never call it.
"""

import dataclasses
import hashlib
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from noisefs.core.domain import records
from noisefs.core.domain.app_password import AppPassword
from noisefs.core.domain.buckets import event_rows
from noisefs.core.domain.files.log_file import Record
from noisefs.core.domain.files.log_records import seal_records
from noisefs.core.domain.geometry import STRATEGIES, Geometry
from noisefs.core.domain.ids import BodyId, InstanceId, PackId, RootId, StoreId
from noisefs.core.domain.login_flow import LoginFlow
from noisefs.core.domain.masking import strategy_named
from noisefs.core.domain.nodes.block_id import block_id_text, compute_block_id
from noisefs.core.domain.nodes.node_file import FileBlocks, blocks_of, salt_of, span_of
from noisefs.core.domain.nodes.root import RootKind, RootMeta, RootSealer, root_id
from noisefs.core.domain.packs.manifest import FillerEntry, LogEntry, Manifest, RunEntry, SharedEntry, seal_manifest
from noisefs.core.domain.records import SeedInfo
from noisefs.core.domain.sealing.head import Epoch, Head, SnapshotPointer, encode_head
from noisefs.core.domain.sealing.inner import CUSTOMER, NAMED, OuterKey, stream_cipher, wrap
from noisefs.core.domain.sealing.keyring import Keyring, Passphrase, SnapshotKey, format_root_key
from noisefs.core.domain.sealing.keys import KeyWrap, Label, SlowHash, derive, hash_password
from noisefs.core.domain.sealing.segment import BodyCipher
from noisefs.core.domain.sealing.shared_cell import SharedCellBuilder

HERE = Path(__file__).parent

Vector = dict[str, Any]  # JSON: a tree of strings and numbers
Vectors = dict[str, Vector]


def pattern(label: str, size: int) -> bytes:
    """Bytes that look random and are the same for ever: SHAKE-128 of the label."""
    return hashlib.shake_128(label.encode()).digest(size)


STORE = StoreId(pattern("store id", 16))
STORE_KEY = pattern("store key", 32)
PACK = PackId(pattern("pack id", 16))
BODY = BodyId(pattern("body id", 16))


def padding(into: memoryview) -> None:
    """Padding that is the same for ever."""
    into[:] = pattern("padding", len(into))


def segments() -> Vectors:
    """Sealed segments and slices."""
    key = pattern("body key", 32)
    cipher = BodyCipher(key, STORE, BODY)
    common = {"key": key.hex(), "store_id": STORE.hex(), "body_id": BODY.hex(), "body_format": 1}
    found: Vectors = {}
    for name, first, generation, final in (
        ("two segments", 0, 0, False),
        ("the last two segments", 5, 0, True),
        ("two segments that were moved", 2**55, 2**32 - 1, False),
    ):
        plain, cells = pattern("plaintext", 64), bytearray(96)
        cipher.seal_segments(memoryview(plain), first, generation, 32, memoryview(cells), final=final)
        found[name] = common | {
            "segment_bytes": 32,
            "first_segment": first,
            "generation": generation,
            "final": final,
            "plain": plain.hex(),
            "cells": cells.hex(),
        }
    for name, segment, generation in (("a slice", 0, 0), ("a tail that was moved", 12, 7)):
        plain = pattern(name, 21)
        found[name] = common | {
            "segment": segment,
            "generation": generation,
            "plain": plain.hex(),
            "sealed": cipher.seal_slice(plain, segment, generation).hex(),
        }
    return found


def masks() -> Vectors:
    """Which blocks mask which, for whole packs of each strategy, and one masked run each."""
    found: Vectors = {}
    for name in STRATEGIES:
        key = derive(STORE_KEY, Label.RANDOMIZERS)
        strategy = strategy_named(name, pack_id=PACK, prf_key=key)
        table = [[position, 0, *strategy.randomizers(position, 0)] for position in range(max(strategy.seeds, 2), 511)]
        manifests = [[at, *strategy.manifest_randomizers(at)] for at in range(max(strategy.seeds, 3), 512)]
        plan = strategy.plan(max(strategy.seeds, 6), 3)
        assert plan is not None
        before = pattern("blocks before", plan.start * 16)
        cells, out, noise = pattern("cells", 48), bytearray(plan.total_blocks * 16), iter(range(plan.count))

        def block_at(at: int, before: bytes = before) -> memoryview:
            return memoryview(before)[at * 16 : (at + 1) * 16]

        def fill(into: memoryview, noise: Any = noise) -> None:  # Any: an iterator shared by the calls
            into[:] = pattern(f"noise {next(noise)}", len(into))

        strategy.mask_run(plan, memoryview(cells), memoryview(out), block_at, fill)
        found[name] = {
            "pack_id": PACK.hex(),
            "prf_key": key.hex(),
            "some_randomizers": table[:12] + table[120:130] + table[-8:],
            "all_randomizers_sha256": digest_of(table),
            "some_manifests": manifests[:4] + manifests[-4:],
            "all_manifests_sha256": digest_of(manifests),
            "run": [plan.position, plan.count, plan.seed, plan.stride, plan.total_blocks],
            "blocks_before": before.hex(),
            "cells": cells.hex(),
            "blocks": out.hex(),
        }
    return found


def digest_of(table: list[list[int]]) -> str:
    """SHA-256 over the numbers as big-endian u16."""
    return hashlib.sha256(b"".join(struct.pack(f">{len(row)}H", *row) for row in table)).hexdigest()


def manifests() -> Vectors:
    """A manifest with an entry of each kind."""
    manifest = Manifest(
        PACK,
        "chain",
        3,
        (SeedInfo(PackId(pattern("source", 16)), 77, BODY), SeedInfo(None), SeedInfo(None), SeedInfo(None)),
        101,
        (
            RunEntry(4, 8, 1, BODY, 2**40, 0, 3),
            SharedEntry(12, 0, 3),
            FillerEntry(13, 20),
            LogEntry(33, 2**33, 1),
            RunEntry(34, 66, 1, BODY, 0, 3, 0),
        ),
    )
    salt = pattern("salt", 24)
    cell = seal_manifest(manifest, store_key=STORE_KEY, store_id=STORE, segment_bytes=512, salt=salt, padding=padding)
    return {
        "format 1": {
            "store_key": STORE_KEY.hex(),
            "store_id": STORE.hex(),
            "pack_id": PACK.hex(),
            "salt": salt.hex(),
            "segment_bytes": 512,
            "blocks": manifest.blocks,
            "strategy": manifest.strategy,
            "generation": manifest.generation,
            "seeds": plain(manifest.seeds),
            "entries": plain(manifest.entries),
            "cell": cell.hex(),
        }
    }


def shared_cells() -> Vectors:
    """A cell with a whole slice and both ends of split ones."""
    builder = SharedCellBuilder(528)
    slices = []
    for segment, generation, offset, total, size in ((3, 1, 60, 100, 40), (0, 1, 0, 50, 50), (2**50, 1, 0, 90, 30)):
        data = pattern(f"slice {segment}", size)
        at = builder.add(BODY, segment, generation, offset, total, data)
        slices.append([BODY.hex(), segment, generation, at, size, offset, total, data.hex()])
    cell = builder.seal(store_key=STORE_KEY, store_id=STORE, pack_id=PACK, cell_number=42, padding=padding)
    return {
        "format 1": {
            "store_key": STORE_KEY.hex(),
            "store_id": STORE.hex(),
            "pack_id": PACK.hex(),
            "cell_number": 42,
            "slices": slices,
            "cell": cell.hex(),
        }
    }


def keys() -> Vectors:
    """Derived keys, envelopes, password hashes."""
    found: Vectors = {
        f"derived: {label.value}": {
            "key": STORE_KEY.hex(),
            "label": label.value,
            "context": b"context".hex(),
            "derived": derive(STORE_KEY, label, b"context").hex(),
        }
        for label in Label
    }
    wrap, key = KeyWrap(STORE_KEY, STORE, 5), pattern("body key", 32)
    found["wrapped body key"] = {
        "store_key": STORE_KEY.hex(),
        "store_id": STORE.hex(),
        "key_generation": 5,
        "body_id": BODY.hex(),
        "key": key.hex(),
        "envelope": wrap.wrap_body_key(key, BODY).hex(),
    }
    found["wrapped secret"] = {
        "store_key": STORE_KEY.hex(),
        "store_id": STORE.hex(),
        "key_generation": 5,
        "access_key_id": "AKIAEXAMPLE",
        "secret": "wJalrXUtnFEMI/K7MDENG",
        "envelope": wrap.wrap_secret("wJalrXUtnFEMI/K7MDENG", "AKIAEXAMPLE").hex(),
    }
    found["password"] = {
        "password": "pass\u00e9 \U0001f511",
        "envelope": hash_password("pass\u00e9 \U0001f511", pattern("salt", 16), SlowHash(64, 2, 2)).hex(),
    }
    return found


def heads() -> Vectors:
    """Heads with and without a passphrase, and a root key file."""
    root, salt = pattern("root key", 32), pattern("head salt", 32)
    keyring = Keyring(
        STORE,
        STORE_KEY,
        2,
        (SnapshotKey(pattern("key id", 16), pattern("snapshot key", 32), 1_700_000_000_000_000, 0),),
    )
    head = Head(
        Geometry(262144, "uniform"),
        keyring,
        Epoch(3, pattern("epoch", 16)),
        2**40,
        SnapshotPointer(pattern("snapshot", 16), pattern("key id", 16), 99, 1_700_000_000_000_001, b"where"),
        None,
        InstanceId(pattern("instance", 16)),
    )
    phrase = Passphrase(pattern("phrase salt", 16), SlowHash(64, 2, 2))
    stretched = phrase.stretch("open sesame")
    locked = msgspec.structs.replace(head, passphrase=phrase, snapshot=None)
    return {
        "root key file": {"key": root.hex(), "text": format_root_key(root)},
        "format 1, root key": {
            "root_key": root.hex(),
            "salt": salt.hex(),
            "fields": plain(head),
            "head": encode_head(head, root, salt=salt).hex(),
        },
        "format 1, passphrase": {
            "passphrase": "open sesame",
            "root_key": stretched.hex(),
            "salt": salt.hex(),
            "fields": plain(locked),
            "head": encode_head(locked, stretched, salt=salt).hex(),
        },
    }


def block_ids() -> Vectors:
    """Names of blocks."""
    return {
        name: {
            "block": block.hex(),
            "id": compute_block_id(block).hex(),
            "text": block_id_text(compute_block_id(block)),
        }
        for name, block in (("empty", b""), ("hello", b"hello world"))
    }


def roots() -> Vectors:
    """A root of each kind."""
    found: Vectors = {}
    for kind in RootKind:
        links = tuple(compute_block_id(pattern(f"{kind.name} block {n}", 40)) for n in range(3))
        meta = RootMeta(kind, pattern("pack", 16), 7, 2, 99, 98, "name \u00e9", 250, 1_700_000_000_000_000, 3)
        nonce = pattern(f"{kind.name} nonce", 12)
        raw = RootSealer(STORE, STORE_KEY).seal(links, meta, nonce=nonce)
        found[f"format 1, {kind.name}"] = {
            "store_key": STORE_KEY.hex(),
            "store_id": STORE.hex(),
            "nonce": nonce.hex(),
            "links": [link.hex() for link in links],
            "meta": plain_fields(meta),
            "root": raw.hex(),
            "id": root_id(raw).hex(),
        }
    return found


def rows() -> Vectors:
    """One row of each record class, every field set."""
    # After the comma: fields that were appended when the class had its vector already.
    examples = {kind.__name__: example(kind) for kind in sorted(record_classes(), key=lambda kind: kind.__name__)}
    examples["Body, partly covered"] = example(records.Body)
    examples["Bucket, with versions and locks"] = example(records.Bucket)
    examples["Version, of several and locked"] = example(records.Version)
    examples["Version, sealed twice"] = example(records.Version)
    examples["Part, sealed twice"] = example(records.Part)
    examples["Copies, damaged"] = example(records.Copies)
    examples["Usage, with quotas"] = example(records.Usage)
    examples["User, with a root"] = example(records.User)
    examples["Version, tagged"] = example(records.Version)
    return {name: {"fields": plain_fields(row), "row": records.encode(row).hex()} for name, row in examples.items()}


def record_classes() -> list[type[records.Record]]:
    """Every class of row, those of events, of devices' passwords and of their sign-in included."""
    found = records.Record.__subclasses__()
    assert {event_rows.EventQueue, event_rows.WaitingEvent, AppPassword, LoginFlow} <= set(found)
    return found


def example(kind: type[records.Record]) -> records.Record:
    """A row of this class with a telling value in every field, from the field's type."""
    fields = msgspec.structs.fields(kind)
    return kind(**{field.name: _value(field.type, f"{kind.__name__}.{field.name}") for field in fields})


def _value(kind: Any, label: str) -> Any:  # Any: types and values of every field there is
    origin: Any = getattr(kind, "__origin__", None)
    arguments: tuple[Any, ...] = getattr(kind, "__args__", ())
    if hasattr(kind, "__supertype__"):
        return _value(kind.__supertype__, label)
    if kind is bool:
        return True
    if kind is int:
        return int.from_bytes(pattern(label, 5), "big")
    if kind is str:
        return f"{label} \u00e9"
    if kind is bytes:
        return pattern(label, 16)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return tuple(_value(each, f"{label}.{at}") for at, each in enumerate(arguments))
    if origin is tuple:
        return tuple(_value(arguments[0], f"{label}.{at}") for at in range(2))
    if origin is dict:
        return {"one": _value(arguments[1], label)}
    if isinstance(kind, type) and issubclass(kind, records.Record):
        return example(kind)
    (present,) = (one for one in arguments if one is not type(None))
    return _value(present, label)


def plain(value: object) -> Any:  # Any: JSON
    """A value as JSON: bytes as hex, values as lists of their class name and fields."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return [type(value).__name__, *(plain(getattr(value, name)) for name in value.__struct_fields__)]
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return [type(value).__name__, *(plain(getattr(value, field.name)) for field in fields)]
    assert value is None or isinstance(value, str | int)
    return value


def plain_fields(row: msgspec.Struct) -> dict[str, Any]:  # Any: JSON
    """A row's fields by name, as JSON."""
    return {field: plain(getattr(row, field)) for field in row.__struct_fields__}


def node_files() -> Vectors:
    """A file as blocks on nodes, with and without one that it builds on."""
    found: Vectors = {}
    for name, before in {
        "alone": None,
        "behind another": RootId(bytes.fromhex("01711220") + pattern("before", 32)),
    }.items():
        data, block_bytes = pattern("file", 700), 272
        salt = salt_of(STORE, STORE_KEY, before, [data])
        sealer = FileBlocks(STORE, STORE_KEY, salt, block_bytes)
        blocks = []
        for number in range(blocks_of(len(data), block_bytes)):
            begin, size = span_of(number, block_bytes)
            blocks.append(sealer.seal(number, data[begin : begin + size], before).hex())
        found[f"format 1, {name}"] = {
            "store_key": STORE_KEY.hex(),
            "store_id": STORE.hex(),
            "block_bytes": block_bytes,
            "previous": (before or b"").hex(),
            "file": data.hex(),
            "blocks": blocks,
        }
    return found


def log_records() -> Vectors:
    """Records of commits as blocks on nodes: in one block, and in several."""
    key = SnapshotKey(pattern("key id", 16), pattern("snapshot key", 32), 1_700_000_000_000_000, 0)
    found: Vectors = {}
    for name, block_bytes, value_bytes in (("one block", 16384, 60), ("several blocks", 4096, 5000)):
        rows = [
            Record(
                2**40, [("objects", [(b"name \xc3\xa9", pattern("row", 40)), (b"gone", None)]), ("keys", [(b"k", b"")])]
            ),
            Record(2**40 + 2, [("inline", [(pattern("inline key", 24), pattern("inline bytes", value_bytes))])]),
        ]
        file_id = pattern(f"{name} file id", 16)
        blocks, size = seal_records(
            rows, store_id=STORE, store_key=STORE_KEY, key=key, file_id=file_id, block_bytes=block_bytes
        )
        found[f"format 1, {name}"] = {
            "store_key": STORE_KEY.hex(),
            "store_id": STORE.hex(),
            "key_id": key.key_id.hex(),
            "key": key.key.hex(),
            "file_id": file_id.hex(),
            "block_bytes": block_bytes,
            "log_number": rows[-1].sequence,
            "size_bytes": size,
            "records": [[row.sequence, plain(row.tables)] for row in rows],
            "blocks": [block.hex() for block in blocks],
        }
    return found


def inner_streams() -> Vectors:
    """Envelopes of data keys, and the end of an inner stream."""
    data_key, stream_id = pattern("data key", 32), pattern("stream id", 16)
    clear = pattern("inner plain", 40)
    found: Vectors = {}
    for outer in (
        OuterKey(CUSTOMER, pattern("customer key", 32)),
        OuterKey(NAMED, pattern("named key", 32), "n\u00e9"),
    ):
        nonce = pattern(f"nonce {outer.kind}", 12)
        found[f"format 1, kind {outer.kind}"] = {
            "kind": outer.kind,
            "outer_key": outer.key.hex(),
            "name": outer.name,
            "store_id": STORE.hex(),
            "nonce": nonce.hex(),
            "data_key": data_key.hex(),
            "envelope": wrap(data_key, outer, STORE, nonce).hex(),
            "stream_id": stream_id.hex(),
            "segment": 3,
            "plain": clear.hex(),
            "sealed": stream_cipher(data_key, stream_id, STORE).seal_slice(clear, 3, 0).hex(),
        }
    return found


SUITES: dict[str, Callable[[], Vectors]] = {
    "segments": segments,
    "masks": masks,
    "manifests": manifests,
    "shared_cells": shared_cells,
    "keys": keys,
    "heads": heads,
    "block_ids": block_ids,
    "records": rows,
    "roots": roots,
    "node_files": node_files,
    "log_records": log_records,
    "inner_streams": inner_streams,
}


def main() -> None:
    """Add what is missing."""
    for suite, make in SUITES.items():
        path = HERE / f"{suite}.json"
        there: Vectors = json.loads(path.read_text()) if path.exists() else {}
        missing = {name: vector for name, vector in make().items() if name not in there}
        if missing:
            path.write_text(json.dumps(there | missing, indent=1, ensure_ascii=True) + "\n")
        sys.stdout.write(f"{suite}: {len(there)} kept, {len(missing)} added\n")


if __name__ == "__main__":
    main()
