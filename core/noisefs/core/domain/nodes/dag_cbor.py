"""The part of dag-cbor (IPLD specification) that roots and CAR headers need: canonical bytes, and strict reading.

Kinds: unsigned integers, bytes, text, lists, maps with text keys, links (tag 42). One value has one encoding: heads as
short as can be, keys ascending by length and then by bytes; whatever else is refused. Cost: 1 ms for 512 links.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from noisefs.core.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Link:
    """A content id, binary."""

    cid: bytes


Dag = int | bytes | str | Link | Sequence["Dag"] | Mapping[str, "Dag"]

_UINT: Final = 0
_BYTES: Final = 2
_TEXT: Final = 3
_LIST: Final = 4
_MAP: Final = 5
_TAG: Final = 6
_CID_TAG: Final = 42
_IDENTITY: Final = b"\0"
"""The multibase prefix of binary, which stands in front of every content id."""
_WIDTHS: Final = {24: struct.Struct(">B"), 25: struct.Struct(">H"), 26: struct.Struct(">I"), 27: struct.Struct(">Q")}
_MAX_DEPTH: Final = 8


def encode_dag(value: Dag) -> bytes:
    """The one encoding of a value.

    Raises:
        InvalidArgument: It is of a kind that is not here.
    """
    out = bytearray()
    _write(out, value)
    return bytes(out)


def decode_dag(raw: bytes) -> Dag:
    """The value in these bytes, all of them.

    Raises:
        InvalidArgument: They are not the canonical encoding of one.
    """
    try:
        value, end = _read(raw, 0, 0)
    except (IndexError, struct.error) as exc:
        raise InvalidArgument("dag-cbor", f"{len(raw)} bytes", "a whole value") from exc
    if end != len(raw):
        raise InvalidArgument("dag-cbor", f"{len(raw) - end} bytes behind the value", "none")
    return value


def _head(out: bytearray, major: int, number: int) -> None:
    if number < 24:
        out.append(major << 5 | number)
        return
    kind = 24 if number < 1 << 8 else 25 if number < 1 << 16 else 26 if number < 1 << 32 else 27
    out.append(major << 5 | kind)
    out += _WIDTHS[kind].pack(number)


def _write(out: bytearray, value: Dag) -> None:
    if isinstance(value, Link):
        _head(out, _TAG, _CID_TAG)
        _write(out, _IDENTITY + value.cid)
    elif isinstance(value, bytes):
        _head(out, _BYTES, len(value))
        out += value
    elif isinstance(value, str):
        raw = value.encode()
        _head(out, _TEXT, len(raw))
        out += raw
    elif isinstance(value, bool):
        raise InvalidArgument("dag-cbor", value, "an integer, bytes, text, a link, a list or a map")
    elif isinstance(value, int):
        if not 0 <= value < 1 << 64:
            raise InvalidArgument("dag-cbor integer", value, "a u64")
        _head(out, _UINT, value)
    elif isinstance(value, Mapping):
        _head(out, _MAP, len(value))
        for key in sorted(value, key=_key_order):
            _write(out, key)
            _write(out, value[key])
    else:
        _head(out, _LIST, len(value))
        for item in value:
            _write(out, item)


def _key_order(key: str) -> tuple[int, bytes]:
    raw = key.encode()
    return len(raw), raw


def _read(raw: bytes, at: int, depth: int) -> tuple[Dag, int]:
    if depth > _MAX_DEPTH:
        raise InvalidArgument("dag-cbor depth", depth, f"at most {_MAX_DEPTH}")
    major, number, at = _read_head(raw, at)
    if major == _UINT:
        return number, at
    if major in (_BYTES, _TEXT):
        if number > len(raw) - at:
            raise InvalidArgument("dag-cbor string", f"{number} bytes", f"at most the {len(raw) - at} that follow")
        data = raw[at : at + number]
        return (data if major == _BYTES else _text(data)), at + number
    if major in (_LIST, _MAP) and number > len(raw) - at:
        raise InvalidArgument("dag-cbor list", f"{number} items", "no more than bytes that follow")
    if major == _LIST:
        items: list[Dag] = []
        for _ in range(number):
            item, at = _read(raw, at, depth + 1)
            items.append(item)
        return items, at
    if major == _MAP:
        return _read_map(raw, at, number, depth)
    if major == _TAG and number == _CID_TAG:
        inner, at = _read(raw, at, depth + 1)
        if not isinstance(inner, bytes) or not inner.startswith(_IDENTITY):
            raise InvalidArgument("dag-cbor link", repr(inner), "bytes that begin with a zero")
        return Link(inner[1:]), at
    raise InvalidArgument("dag-cbor kind", f"{major}:{number}", "an integer, bytes, text, a link, a list or a map")


def _read_map(raw: bytes, at: int, count: int, depth: int) -> tuple[Dag, int]:
    fields: dict[str, Dag] = {}
    before: tuple[int, bytes] | None = None
    for _ in range(count):
        key, at = _read(raw, at, depth + 1)
        if not isinstance(key, str) or (before is not None and _key_order(key) <= before):
            raise InvalidArgument("dag-cbor key", repr(key), "text keys, ascending by length, then by bytes")
        before = _key_order(key)
        fields[key], at = _read(raw, at, depth + 1)
    return fields, at


def _read_head(raw: bytes, at: int) -> tuple[int, int, int]:
    major, low = raw[at] >> 5, raw[at] & 0x1F
    if low < 24:
        return major, low, at + 1
    width = _WIDTHS.get(low)
    if width is None:
        raise InvalidArgument("dag-cbor length", low, "a definite one")
    number: int = width.unpack_from(raw, at + 1)[0]
    if number < 24 or (low > 24 and number < 1 << (8 << (low - 25))):
        raise InvalidArgument("dag-cbor length", number, "the shortest form of it")
    return major, number, at + 1 + width.size


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise InvalidArgument("dag-cbor text", repr(data[:40]), "UTF-8") from exc
