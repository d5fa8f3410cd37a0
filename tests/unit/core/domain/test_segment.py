"""Sealing of segments: what is refused."""

import pytest

from noisefs.core.domain.ids import BodyId, StoreId
from noisefs.core.domain.sealing.segment import BodyCipher, nonce
from noisefs.core.errors import InvalidArgument, SegmentDamaged

STORE, BODY = StoreId(b"s" * 16), BodyId(b"b" * 16)


@pytest.fixture
def cipher() -> BodyCipher:
    return BodyCipher(bytes(32), STORE, BODY)


@pytest.mark.parametrize(
    ("key", "store_id", "body_id"), [(bytes(16), STORE, BODY), (bytes(32), STORE[:15], BODY), (bytes(32), STORE, b"")]
)
def test_keys_and_ids_of_wrong_lengths_are_refused(key: bytes, store_id: bytes, body_id: bytes) -> None:
    with pytest.raises(InvalidArgument):
        BodyCipher(key, StoreId(store_id), BodyId(body_id))


@pytest.mark.parametrize(("plain", "cells"), [(64, 79), (64, 160), (65, 80), (128, 80)])
def test_buffers_that_do_not_fit_each_other_are_refused(cipher: BodyCipher, plain: int, cells: int) -> None:
    one, other = memoryview(bytearray(plain)), memoryview(bytearray(cells))
    with pytest.raises(InvalidArgument):
        cipher.seal_segments(one, 0, 0, 64, other, final=False)
    with pytest.raises(InvalidArgument):
        cipher.open_segments(other, 0, 0, 64, one, final=False)


@pytest.mark.parametrize(("generation", "segment"), [(2**32, 0), (-1, 0), (0, 2**56), (0, -1)])
def test_numbers_that_do_not_fit_the_nonce_are_refused(cipher: BodyCipher, generation: int, segment: int) -> None:
    with pytest.raises(InvalidArgument):
        cipher.seal_slice(b"x", segment, generation)


def test_the_nonce_is_generation_segment_final() -> None:
    assert nonce(0x01020304, 0x05060708090A0B, final=True).hex() == "0102030405060708090a0b01"


def test_nothing_at_all_seals_to_nothing(cipher: BodyCipher) -> None:
    """A run of no segments is no error: callers need no special case."""
    cipher.seal_segments(memoryview(b""), 0, 0, 64, memoryview(bytearray()), final=True)
    cipher.open_segments(memoryview(b""), 0, 0, 64, memoryview(bytearray()), final=True)


def test_a_damaged_segment_names_body_and_number(cipher: BodyCipher) -> None:
    with pytest.raises(SegmentDamaged) as caught:
        cipher.open_segments(memoryview(bytes(160)), 7, 0, 64, memoryview(bytearray(128)), final=False)
    assert (caught.value.body_id, caught.value.segment) == (BODY, 7)


def test_a_cipher_never_shows_its_key() -> None:
    cipher = BodyCipher(b"k" * 32, STORE, BODY)
    assert "6b6b" not in repr(cipher)
    assert "kkkk" not in repr(cipher)
    assert not hasattr(cipher, "__dict__")
