"""What Kubo's answers mean, errors included: they hide in 500s, in the rows of a 200, and in trailers.

A proxy on the way may drop trailers. So where it matters an answer counts only with the part that success alone brings.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

from noisefs.core.domain.ids import BlockId, RootId
from noisefs.core.domain.nodes.root import ROOT_PREFIX
from noisefs.core.errors import LinksMissing, NodeFull, NodeRefused, NodeUnavailable

Json = Mapping[str, object]

RECOMMENDED: Final = (0, 43)
OLDEST: Final = (0, 20)
"""Before it ``files/cp`` makes no parents and ``pin/ls`` is slow beyond use."""

_FULL: Final = re.compile(r"no space left|disk quota exceeded|read-only file system|not enough space", re.IGNORECASE)
_ABSENT: Final = re.compile(r"could not find|not found|context deadline exceeded", re.IGNORECASE)
_PIN: Final = re.compile(rb'"(bafyrei[a-z2-7]{52})":\{"Type":"recursive"')
_PIN_BYTES: Final = 400
"""Longer than any entry of a list of pins that is of interest."""
_LIST_START: Final = b"{"
_LIST_END: Final = b"}\n"
_ID_CHARS: Final = 59
_SHOWN_CHARS: Final = 300


def id_text(name: BlockId | RootId | bytes) -> str:
    """The base32 text of a block's or root's name."""
    return "b" + base64.b32encode(name).decode("ascii").rstrip("=").lower()


def parse_root_id(text: str) -> RootId | None:
    """The root id in its text form; ``None`` if it is the name of something else."""
    if len(text) != _ID_CHARS or not text.startswith("b"):
        return None
    try:
        raw = base64.b32decode(text[1:].upper() + "======")
    except (binascii.Error, ValueError):
        return None
    return RootId(raw) if raw.startswith(ROOT_PREFIX) and id_text(raw) == text else None


def failure(node: str, doing: str, status: int, body: bytes) -> NodeUnavailable:
    """The error that an answer with this status stands for."""
    text = message_of(body)
    if status in (401, 403):
        return NodeRefused(node, doing, f"it does not let us in ({status}): check its token or user and password")
    if status in (404, 405) and not body.startswith(b"{"):
        return NodeRefused(node, doing, f"it does not know this call ({status}): is this the address of a Kubo RPC?")
    if status == 507 or _FULL.search(text):
        return NodeFull(node, doing, shorten(text) or status)
    return NodeUnavailable(node, doing, shorten(text) or f"status {status}")


def message_of(body: bytes) -> str:
    """What an error answer says, on one line."""
    try:
        content = json.loads(body)
    except ValueError:
        content = body.decode(errors="replace")
    if isinstance(content, dict):
        content = content.get("Message") or content.get("Error") or content.get("message") or ""
    return " ".join(str(content).split())


def shorten(text: str) -> str:
    """A long message without its middle: the cause stands at its end."""
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS // 2]} … {text[-_SHOWN_CHARS // 2 :]}"


def row_of(node: str, doing: str, line: bytes) -> Json:
    """One row of a stream of JSON objects.

    Raises:
        NodeUnavailable: It is none, or tells an error.
    """
    try:
        row = json.loads(line)
    except ValueError as exc:
        raise NodeUnavailable(node, doing, f"a broken row: {line[:80]!r}") from exc
    if not isinstance(row, dict):
        raise NodeUnavailable(node, doing, f"a row of another kind: {line[:80]!r}")
    if row.get("Error") or (row.get("Message") and row.get("Type") == "error"):
        raise failure(node, doing, 500, line)
    return cast(Json, row)


def check_import(node: str, doing: str, root: RootId, rows: list[Json]) -> None:
    """Check that an import pinned its root.

    Raises:
        LinksMissing: Links of the root could not be found.
        NodeFull: It had no space.
        NodeUnavailable: Something else went wrong, or the answer is cut short.
    """
    for row in rows:
        about = row.get("Root")
        if not isinstance(about, dict) or _link(about.get("Cid")) != id_text(root):
            continue
        why = str(about.get("PinErrorMsg") or "")
        if not why:
            return
        if _FULL.search(why):
            raise NodeFull(node, doing, shorten(why))
        if _ABSENT.search(why):
            raise LinksMissing(node, doing, shorten(why))
        raise NodeUnavailable(node, doing, shorten(why))
    raise NodeUnavailable(node, doing, "the answer does not tell what became of the root")


class PinList:
    """Reads a list of recursive pins (``{"Keys": {cid: {"Type": "recursive"…}…}}``) piece by piece.

    The list is one object that Kubo sends only when it has it whole, so an error is a 500 and a list that ends as one
    object ends is complete. Rows of ``stream=true`` end the same way after an error as without one, but for a trailer.
    """

    def __init__(self) -> None:
        """Nothing was read."""
        self._rest = b""
        self._any = False

    def feed(self, piece: bytes) -> Iterator[RootId]:
        """Roots of ours (dag-cbor, sha2-256) in what has come so far, each once."""
        data = self._rest + piece
        if not self._any and data:
            self._any = data.startswith(_LIST_START)
        end = 0
        for found in _PIN.finditer(data):
            end = found.end()
            root = parse_root_id(found[1].decode("ascii"))
            if root is not None:
                yield root
        self._rest = data[max(end, len(data) - _PIN_BYTES) :]

    def whole(self) -> bool:
        """Whether what has come is a list, from its beginning to its end."""
        return self._any and self._rest.endswith(_LIST_END)


def parse_version(text: str) -> tuple[int, int] | None:
    """Major and minor number; ``None`` if it has none."""
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def judge_version(text: str) -> tuple[bool, str]:
    """Whether we can work with this version of Kubo, and what is to be said about it."""
    version = parse_version(text)
    if version is None:
        return False, f"it does not tell a version of Kubo: {text[:40]!r}"
    if version < OLDEST:
        return False, f"Kubo {text} is too old: at least {OLDEST[0]}.{OLDEST[1]} is needed"
    if version < RECOMMENDED:
        return True, f"Kubo {text} is older than {RECOMMENDED[0]}.{RECOMMENDED[1]}, with which this version is tested"
    return True, ""


def _link(cid: object) -> object:
    return cid.get("/") if isinstance(cid, dict) else cid
