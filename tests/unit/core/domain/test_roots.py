"""Roots and their dag-cbor: one encoding, nothing believed that is not ours."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.core.domain.ids import StoreId
from noisefs.core.domain.nodes.block_id import compute_block_id
from noisefs.core.domain.nodes.dag_cbor import Link, decode_dag, encode_dag
from noisefs.core.domain.nodes.root import NONCE_BYTES, RootKind, RootMeta, RootSealer, links_of, root_id
from noisefs.core.errors import InvalidArgument, NewerFormat, RootDamaged

STORE = StoreId(b"s" * 16)
KEY = b"k" * 32
LINKS = tuple(compute_block_id(bytes([n])) for n in range(5))
META = RootMeta(RootKind.PACK, pack_id=b"p" * 16, count=5, log_number=77)

VALUES = st.recursive(
    st.integers(0, 2**64 - 1) | st.binary() | st.text() | st.binary(min_size=1).map(Link),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=5,
)


@given(VALUES)
def test_a_value_has_one_encoding(value: object) -> None:
    again = decode_dag(encode_dag(value))  # type: ignore[arg-type]
    assert again == value
    assert encode_dag(again) == encode_dag(value)


def test_deep_values_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="depth"):
        decode_dag(b"\x81" * 100 + b"\0")


@given(st.binary(max_size=60))
def test_other_bytes_are_refused_or_canonical(raw: bytes) -> None:
    try:
        value = decode_dag(raw)
    except InvalidArgument:
        return
    assert encode_dag(value) == raw


@pytest.mark.parametrize(
    ("value", "raw"),
    [  # RFC 8949 appendix A, as far as dag-cbor allows it
        (0, "00"),
        (24, "1818"),
        (1000, "1903e8"),
        (1000000000000, "1b000000e8d4a51000"),
        (b"\x01\x02\x03\x04", "4401020304"),
        ("IETF", "6449455446"),
        ([1, [2, 3], [4, 5]], "8301820203820405"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
        ({"b": 1, "aa": 2}, "a2616201626161" + "02"),
        (Link(b"\x01\x55"), "d82a43000155"),
    ],
)
def test_known_encodings(value: object, raw: str) -> None:
    assert encode_dag(value).hex() == raw  # type: ignore[arg-type]
    assert decode_dag(bytes.fromhex(raw)) == value


@pytest.mark.parametrize(
    "raw", ["1817", "190001", "9f00ff", "f5", "fb3ff0000000000000", "a2616200616100", "d8190000", "5bffffffffffffffff"]
)
def test_what_is_not_canonical_is_refused(raw: str) -> None:
    with pytest.raises(InvalidArgument):
        decode_dag(bytes.fromhex(raw))


def test_a_root_tells_its_store_everything_and_others_its_links() -> None:
    raw = RootSealer(STORE, KEY).seal(LINKS, META, nonce=os.urandom(NONCE_BYTES))
    opened = RootSealer(STORE, KEY).open(raw)
    assert (opened.links, opened.meta) == (LINKS, META)
    assert links_of(raw) == LINKS
    assert META.pack_id not in raw
    assert re.fullmatch("01711220[0-9a-f]{64}", root_id(raw).hex())


def test_roots_of_others_are_not_believed() -> None:
    raw = RootSealer(STORE, KEY).seal(LINKS, META, nonce=bytes(NONCE_BYTES))
    for store, key in ((StoreId(b"t" * 16), KEY), (STORE, b"l" * 32)):
        with pytest.raises(RootDamaged):
            RootSealer(store, key).open(raw)


@given(st.data())
def test_a_changed_root_is_not_believed(data: st.DataObject) -> None:
    raw = bytearray(RootSealer(STORE, KEY).seal(LINKS, META, nonce=bytes(NONCE_BYTES)))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((RootDamaged, NewerFormat)):
        RootSealer(STORE, KEY).open(bytes(raw))


def test_links_in_another_order_are_not_believed() -> None:
    sealer = RootSealer(STORE, KEY)
    fields = decode_dag(sealer.seal(LINKS, META, nonce=bytes(NONCE_BYTES)))
    assert isinstance(fields, dict)
    swapped = encode_dag({**fields, "b": list(reversed(fields["b"]))})
    with pytest.raises(RootDamaged):
        sealer.open(swapped)
