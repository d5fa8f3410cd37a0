"""Derived keys, envelopes, slow hashes."""

import pytest

from noisefs.core.domain.ids import BodyId, StoreId
from noisefs.core.domain.sealing.keys import KeyWrap, Label, SlowHash, derive, hash_password, verify_password
from noisefs.core.errors import IndexDamaged, InvalidArgument, NewerFormat

STORE, BODY, KEY = StoreId(b"s" * 16), BodyId(b"b" * 16), b"k" * 32
CHEAP = SlowHash(memory_kib=8, iterations=1, lanes=1)


def test_every_label_and_context_gives_another_key() -> None:
    keys = {derive(KEY, label, context) for label in Label for context in (b"", b"a", b"b", b"ab")}
    assert len(keys) == 4 * len(Label)
    assert {len(key) for key in keys} == {32}


def test_keys_of_other_lengths_derive_nothing() -> None:
    with pytest.raises(InvalidArgument):
        derive(b"short", Label.INDEX)


def test_a_body_key_unwraps_for_its_body_only() -> None:
    wrap = KeyWrap(KEY, STORE)
    envelope = wrap.wrap_body_key(b"B" * 32, BODY)
    assert wrap.unwrap_body_key(envelope, BODY) == b"B" * 32
    for other, body_id in (
        (wrap, BodyId(b"c" * 16)),
        (KeyWrap(KEY, StoreId(b"t" * 16)), BODY),
        (KeyWrap(b"j" * 32, STORE), BODY),
        (KeyWrap(KEY, STORE, 2), BODY),
    ):
        with pytest.raises(IndexDamaged):
            other.unwrap_body_key(envelope, body_id)


@pytest.mark.parametrize("at", [1, 4, 5, 30, -1])
def test_a_changed_envelope_does_not_unwrap(at: int) -> None:
    wrap = KeyWrap(KEY, STORE)
    envelope = bytearray(wrap.wrap_body_key(b"B" * 32, BODY))
    envelope[at] ^= 1
    with pytest.raises(IndexDamaged):
        wrap.unwrap_body_key(bytes(envelope), BODY)


@pytest.mark.parametrize("envelope", [b"", b"\1", b"\1\0\0\0\1short"])
def test_a_short_envelope_does_not_unwrap(envelope: bytes) -> None:
    with pytest.raises(IndexDamaged):
        KeyWrap(KEY, STORE).unwrap_body_key(envelope, BODY)


def test_an_envelope_of_a_newer_algorithm_is_called_newer() -> None:
    wrap = KeyWrap(KEY, STORE)
    with pytest.raises(NewerFormat):
        wrap.unwrap_body_key(b"\2" + wrap.wrap_body_key(b"B" * 32, BODY)[1:], BODY)


def test_a_secret_is_not_a_body_key() -> None:
    """Purposes are kept apart even where the owner's bytes are the same."""
    wrap = KeyWrap(KEY, STORE)
    envelope = wrap.wrap_secret("se¢ret", "b" * 16)
    assert wrap.unwrap_secret(envelope, "b" * 16) == "se¢ret"
    with pytest.raises(IndexDamaged):
        wrap.unwrap_body_key(envelope, BODY)
    with pytest.raises(IndexDamaged):
        wrap.unwrap_secret(envelope, "AKIA")


def test_a_store_id_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        KeyWrap(KEY, StoreId(b"s" * 15))


def test_passwords_verify_and_others_do_not() -> None:
    envelope = hash_password("correct horse", b"t" * 16, CHEAP)
    assert verify_password("correct horse", envelope)
    assert not verify_password("Correct horse", envelope)
    assert not verify_password("", envelope)
    assert hash_password("correct horse", b"u" * 16, CHEAP) != envelope


def test_a_password_is_the_same_however_its_accents_are_typed() -> None:
    assert verify_password("caf\u00e9", hash_password("cafe\u0301", b"t" * 16, CHEAP))


def test_the_default_cost_is_no_less_than_owasp_asks() -> None:
    assert verify_password("x", hash_password("x", b"t" * 16))
    cost = SlowHash()
    assert cost.memory_kib >= 19 * 1024
    assert cost.iterations >= 2


@pytest.mark.parametrize("envelope", [b"", b"\1", b"\1" + bytes(57), b"\1" + b"\xff" * 57])
def test_a_damaged_hash_is_damage_and_not_a_wrong_password(envelope: bytes) -> None:
    with pytest.raises(IndexDamaged):
        verify_password("x", envelope)


def test_a_hash_of_a_newer_algorithm_is_called_newer() -> None:
    with pytest.raises(NewerFormat):
        verify_password("x", b"\2" + hash_password("x", b"t" * 16, CHEAP)[1:])


def test_a_salt_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        hash_password("x", b"short", CHEAP)


@pytest.mark.parametrize(("memory", "passes", "lanes"), [(7, 1, 1), (8, 0, 1), (8, 1, 0), (15, 1, 2), (2**23, 1, 1)])
def test_costs_out_of_range_are_refused(memory: int, passes: int, lanes: int) -> None:
    with pytest.raises(InvalidArgument):
        SlowHash(memory, passes, lanes)
