"""A root key as people write it on paper and type it back: groups of four, with a checksum.

Alphabet: Crockford's base 32, without I, L, O and U; reading takes small letters, O for 0, and I and L for 1. 32 bytes
of key and 3 of SHA-256 over a label and the key make 56 digits: 14 groups. A slip goes unnoticed once in 16 million
times; any other is told before the key is tried.
"""

import hashlib
from typing import Final

from noisefs.core.domain.sealing.keys import KEY_BYTES
from noisefs.core.errors import WrongRootKey

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ: Final = {digit: value for value, digit in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_CHECK_BYTES: Final = 3
_BITS: Final = 5
_DIGITS: Final = (KEY_BYTES + _CHECK_BYTES) * 8 // _BITS
_GROUP: Final = 4
_LABEL: Final = b"noisefs root key on paper 1"


def spell_key(key: bytes) -> str:
    """The key in groups of four digits, with a space between two."""
    number = int.from_bytes(key + _check(key), "big")
    digits = "".join(_ALPHABET[number >> shift & 31] for shift in range((_DIGITS - 1) * _BITS, -1, -_BITS))
    return " ".join(digits[at : at + _GROUP] for at in range(0, _DIGITS, _GROUP))


def read_spelled_key(text: str) -> bytes:
    """The key in a text that was typed; spaces, line ends and hyphens do not matter.

    Raises:
        WrongRootKey: Digits are missing, or the checksum is wrong. The message repeats none of them.
    """
    typed = "".join(text.replace("-", " ").split()).upper()
    if len(typed) != _DIGITS:
        raise WrongRootKey(f"{len(typed)} letters and digits were typed: a root key on paper has {_DIGITS}")
    number = 0
    for at, digit in enumerate(typed):
        if digit not in _READ:
            raise WrongRootKey(
                f"group {at // _GROUP + 1} of the root key has something that is no letter or digit of it"
            )
        number = number << _BITS | _READ[digit]
    raw = number.to_bytes(KEY_BYTES + _CHECK_BYTES, "big")
    key, check = raw[:KEY_BYTES], raw[KEY_BYTES:]
    if check != _check(key):
        raise WrongRootKey("the root key's checksum is wrong: a letter or digit of it is mistyped")
    return key


def _check(key: bytes) -> bytes:
    return hashlib.sha256(_LABEL + key).digest()[:_CHECK_BYTES]
