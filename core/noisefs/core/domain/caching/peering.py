"""What processes of one store say to each other about cells: who owns which, the messages, and the proof of belonging.

A message is cells under their bodies' keys, or ids: whoever listens learns ids, sizes and ciphertext, never contents.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import msgspec

from noisefs.core.domain.ids import BodyId
from noisefs.core.errors import AccessDenied, InvalidArgument

STRETCH: Final = 32
"""Neighbouring cells that have one owner: what a long read fetches at a time is one question."""

PATH: Final = "/cells"
PROOF: Final = "X-Noisefs-Peer"
LATE_S: Final = 60
"""How old a question may be: clocks differ, and a recorded one must not be of use for long."""

MOST_CELLS: Final = 64
MOST_QUESTION_BYTES: Final = 16 * 1024


class Question(msgspec.Struct, frozen=True, array_like=True):
    """Segments of one body, or its slice, that somebody wants."""

    body_id: bytes
    segments: tuple[int, ...]
    slices: bool


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """One of them."""

    segment: int
    generation: int
    sealed: bytes


def owner_of(body_id: BodyId, segment: int, names: Sequence[str]) -> str:
    """Whose it is: rendezvous hashing, so that of N owners one that comes or goes moves one cell in N."""
    stretch = body_id + (segment // STRETCH).to_bytes(8, "big")
    return max(names, key=lambda name: hashlib.blake2b(name.encode() + b"\0" + stretch, digest_size=8).digest())


def encode_question(question: Question) -> bytes:
    """Its bytes."""
    return msgspec.msgpack.encode(question)


def decode_question(raw: bytes) -> Question:
    """What is asked.

    Raises:
        InvalidArgument: It is no question, or asks for too much.
    """
    try:
        question = msgspec.msgpack.decode(raw, type=Question)
    except msgspec.DecodeError as exc:
        raise InvalidArgument("question", f"{len(raw)} bytes", str(exc)) from exc
    if not 1 <= len(question.segments) <= MOST_CELLS or len(question.body_id) != 16 or min(question.segments) < 0:
        raise InvalidArgument("question", len(question.segments), f"1 to {MOST_CELLS} segments of a body")
    return question


def encode_answers(answers: Sequence[Answer]) -> bytes:
    """Their bytes."""
    return msgspec.msgpack.encode(answers)


def decode_answers(raw: bytes) -> list[Answer]:
    """What was answered.

    Raises:
        InvalidArgument: It is no answer.
    """
    try:
        return msgspec.msgpack.decode(raw, type=list[Answer])
    except msgspec.DecodeError as exc:
        raise InvalidArgument("answer", f"{len(raw)} bytes", str(exc)) from exc


def prove(key: bytes, now_s: int, body: bytes) -> str:
    """The proof that a question comes from a process of this store: time and HMAC-SHA256, as a header's value."""
    return f"{now_s}:{_mac(key, now_s, body)}"


def check(key: bytes, now_s: int, body: bytes, proof: str) -> None:
    """Refuse a question without a valid, recent proof.

    Raises:
        AccessDenied: It has none.
    """
    stamp, _, mac = proof.partition(":")
    if not stamp.isdecimal() or len(stamp) > 12 or abs(now_s - int(stamp)) > LATE_S:
        raise AccessDenied("the question's proof has no time, or an old one")
    if not hmac.compare_digest(mac.encode(), _mac(key, int(stamp), body).encode()):
        raise AccessDenied("the question's proof is wrong")


def _mac(key: bytes, now_s: int, body: bytes) -> str:
    return hmac.new(key, f"{PATH} {now_s} ".encode() + body, hashlib.sha256).hexdigest()
