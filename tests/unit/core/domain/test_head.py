"""Root key, keyring and head: rotation, wrong keys, damage, newer versions."""

import hashlib

import msgspec
import pytest

from noisefs.core.domain.geometry import Geometry
from noisefs.core.domain.ids import InstanceId, StoreId
from noisefs.core.domain.sealing.head import Epoch, Head, SnapshotPointer, decode_head, encode_head, read_passphrase
from noisefs.core.domain.sealing.keyring import Keyring, Passphrase, SnapshotKey, format_root_key, parse_root_key
from noisefs.core.domain.sealing.keys import SlowHash
from noisefs.core.errors import HeadDamaged, InvalidArgument, NewerFormat, WrongRootKey

ROOT = bytes(range(32))
SALT = b"t" * 32
CHEAP = SlowHash(memory_kib=8, iterations=1, lanes=1)
KEYRING = Keyring(
    StoreId(b"s" * 16), b"K" * 32, 1, (SnapshotKey(b"1" * 16, b"S" * 32, 5), SnapshotKey(b"2" * 16, b"T" * 32, 6, 90))
)
HEAD = Head(
    Geometry(262144, "uniform"),
    KEYRING,
    Epoch(2**64 - 1, b"e" * 16),
    7,
    SnapshotPointer(b"n" * 16, b"1" * 16, 2**64 - 1, 10, b"somewhere"),
    None,
    InstanceId(b"i" * 16),
)


def resealed(raw: bytes) -> bytes:
    """The same bytes with a digest that fits: tampering, not damage."""
    return raw[:-32] + hashlib.sha256(raw[:-32]).digest()


@pytest.mark.parametrize("passphrase", [None, Passphrase(b"p" * 16, CHEAP)])
def test_a_head_comes_back_as_it_was(passphrase: Passphrase | None) -> None:
    head = msgspec.structs.replace(HEAD, passphrase=passphrase)
    raw = encode_head(head, ROOT, salt=SALT)
    assert decode_head(raw, ROOT) == head
    assert read_passphrase(raw) == passphrase
    assert head.store_id == KEYRING.store_id


def test_a_head_shows_no_key_and_no_store_id() -> None:
    raw = encode_head(HEAD, ROOT, salt=SALT)
    assert not any(secret in raw for secret in (b"K" * 8, b"S" * 8, b"s" * 8, b"uniform", ROOT[:8]))
    assert "4b4b" not in repr(HEAD)
    assert "KKKK" not in repr(HEAD)
    assert "SSSS" not in repr(KEYRING.snapshot_keys)


def test_rotating_the_root_keeps_the_store_key() -> None:
    rotated = encode_head(decode_head(encode_head(HEAD, ROOT, salt=SALT), ROOT), b"new root" * 4, salt=b"u" * 32)
    assert decode_head(rotated, b"new root" * 4).keyring == KEYRING
    with pytest.raises(WrongRootKey):
        decode_head(rotated, ROOT)


def test_a_wrong_key_is_not_damage() -> None:
    with pytest.raises(WrongRootKey):
        decode_head(encode_head(HEAD, ROOT, salt=SALT), bytes(32))


def test_every_changed_byte_is_damage() -> None:
    raw = encode_head(msgspec.structs.replace(HEAD, passphrase=Passphrase(b"p" * 16, CHEAP)), ROOT, salt=SALT)
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 0x01 if at not in {5, 6} else 0x02
        with pytest.raises((HeadDamaged, NewerFormat)) as caught:
            decode_head(bytes(changed), ROOT)
        assert at in {4, 5, 6} or caught.type is HeadDamaged


def test_every_tampered_byte_is_found_by_the_tag() -> None:
    """The digest made to fit: the tag (or the key check, for the bytes that belong to it) covers everything."""
    raw = encode_head(msgspec.structs.replace(HEAD, passphrase=Passphrase(b"p" * 16, CHEAP)), ROOT, salt=SALT)
    for at in range(len(raw) - 32):
        changed = bytearray(raw)
        changed[at] ^= 0x80
        with pytest.raises((HeadDamaged, NewerFormat, WrongRootKey)):
            decode_head(resealed(bytes(changed)), ROOT)


@pytest.mark.parametrize("length", [0, 3, 50, 100, -1])
def test_a_cut_head_is_damage(length: int) -> None:
    raw = encode_head(HEAD, ROOT, salt=SALT)[:length]
    with pytest.raises(HeadDamaged):
        decode_head(raw, ROOT)
    with pytest.raises(HeadDamaged):
        read_passphrase(raw)


@pytest.mark.parametrize("at", [5, 6])
def test_a_newer_head_is_called_newer(at: int) -> None:
    raw = bytearray(encode_head(HEAD, ROOT, salt=SALT))
    raw[at] += 1
    with pytest.raises(NewerFormat):
        decode_head(resealed(bytes(raw)), ROOT)
    with pytest.raises(NewerFormat):
        read_passphrase(resealed(bytes(raw)))


def test_parameters_only_an_attacker_would_ask_for_are_refused() -> None:
    raw = encode_head(msgspec.structs.replace(HEAD, passphrase=Passphrase(b"p" * 16, CHEAP)), ROOT, salt=SALT)
    small = msgspec.msgpack.encode([b"p" * 16, 8, 1, 1])
    huge = msgspec.msgpack.encode([b"p" * 16, 127, 127, 1])
    assert raw.count(small) == 1
    with pytest.raises(HeadDamaged):
        read_passphrase(resealed(raw.replace(small, huge)))


def test_salts_numbers_and_ids_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        encode_head(HEAD, ROOT, salt=b"short")
    with pytest.raises(InvalidArgument):
        Epoch(2**64, b"e" * 16)
    with pytest.raises(InvalidArgument):
        Epoch(0, b"e")
    with pytest.raises(InvalidArgument):
        msgspec.structs.replace(HEAD, sequence=-1)
    with pytest.raises(InvalidArgument):
        Passphrase(b"short")


def test_a_root_key_file_is_one_line() -> None:
    text = format_root_key(ROOT)
    assert text == "noisefs-root-key-1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
    assert parse_root_key(f"\n {text}") == ROOT
    with pytest.raises(InvalidArgument):
        format_root_key(ROOT[1:])


@pytest.mark.parametrize(
    "text",
    ["", "noisefs-root-key-1:", ROOT.hex(), f"noisefs-root-key-1:{ROOT.hex()}00", f"noisefs-root-key-2:{ROOT.hex()}"],
)
def test_a_file_without_a_root_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(WrongRootKey) as caught:
        parse_root_key(text)
    assert ROOT.hex() not in str(caught.value)


def test_a_passphrase_always_gives_the_same_root_key() -> None:
    phrase = Passphrase(b"p" * 16, CHEAP)
    assert phrase.stretch("caf\u00e9") == phrase.stretch("cafe\u0301")
    assert phrase.stretch("coffee") != phrase.stretch("caf\u00e9")
    assert len(phrase.stretch("x")) == 32


def test_snapshot_keys_come_and_go() -> None:
    key = SnapshotKey(b"3" * 16, b"U" * 32, 8)
    keyring = KEYRING.with_snapshot_key(key)
    assert keyring.snapshot_key(b"3" * 16) == key
    expiring = keyring.with_snapshot_key(SnapshotKey(b"3" * 16, b"U" * 32, 8, 100))
    assert len(expiring.snapshot_keys) == 3
    assert [one.key_id[:1] for one in expiring.without_expired(90).snapshot_keys] == [b"1", b"3"]
    assert expiring.without_expired(100).snapshot_key(b"3" * 16) is None


@pytest.mark.parametrize(
    "parts",
    [
        (b"s", b"K" * 32, 1, ()),
        (b"s" * 16, b"K", 1, ()),
        (b"s" * 16, b"K" * 32, 0, ()),
        (b"s" * 16, b"K" * 32, 1, (SnapshotKey(b"1", b"S" * 32, 0),)),
        (b"s" * 16, b"K" * 32, 1, (SnapshotKey(b"1" * 16, b"S", 0),)),
        (b"s" * 16, b"K" * 32, 1, (SnapshotKey(b"1" * 16, b"S" * 32, 0), SnapshotKey(b"1" * 16, b"T" * 32, 0))),
    ],
)
def test_keyrings_that_cannot_be_are_refused(parts: tuple[bytes, bytes, int, tuple[SnapshotKey, ...]]) -> None:
    store_id, store_key, generation, keys = parts
    with pytest.raises(InvalidArgument) as caught:
        Keyring(StoreId(store_id), store_key, generation, keys)
    assert "KKKK" not in str(caught.value)
