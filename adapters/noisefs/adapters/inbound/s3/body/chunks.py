"""Takes a body out of its ``aws-chunked`` framing and verifies the signatures in it. No I/O.

The framing: ``<size in hex>[;chunk-signature=<hex>] CRLF <bytes> CRLF``, a last chunk of size 0, then trailing headers
where they were announced. Source: S3 API Reference, *Signature calculations: transferring payload in multiple chunks*.
"""

import hashlib
import re
from enum import Enum
from typing import Final

from noisefs.adapters.inbound.s3.auth.signature import EMPTY_SHA256, ChunkSigner, same
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.core.errors import IncompleteBody

HELD_MOST: Final = 1 << 20
"""A signed chunk up to this size is held back until its signature was verified. A larger one goes on as it comes, and a
wrong signature at its end refuses the body as a whole: nothing of it becomes visible, and memory stays bounded."""

_LINE_MOST: Final = 1024
_TRAILERS_MOST: Final = 16
_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-fA-F]{64}))?\s*")
_SIGNATURE: Final = "x-amz-trailer-signature"


class _State(Enum):
    SIZE = "a chunk's size"
    DATA = "a chunk's bytes"
    DATA_END = "the end of a chunk"
    TRAILER = "trailing headers"
    LAST_LINE = "the last line"
    DONE = "nothing"


class ChunkDecoder:
    """A push parser: feed what arrives, take what comes out. Cost: no copies; SHA-256 where chunks are signed."""

    def __init__(self, size: int, signer: ChunkSigner | None, *, trailing: bool) -> None:
        """``size``: declared, without framing; ``signer``: where chunks are signed; ``trailing``: headers follow."""
        self._declared = size
        self._signer = signer
        self._trailing = trailing
        self._state = _State.SIZE
        self._line = b""
        self._left = 0
        self._taken = 0
        self._signature = ""
        self._sha256 = hashlib.sha256()
        self._hold = False
        self._held: list[memoryview] = []
        self.trailers: dict[str, str] = {}
        """Trailing headers, lower-case names; complete after :meth:`finish`."""

    def feed(self, data: bytes) -> list[memoryview]:
        """Take the next bytes as received; what of the body they made available.

        Raises:
            S3Error: ``SignatureDoesNotMatch``, ``MalformedTrailerError``.
            IncompleteBody: The framing is broken, or there are more bytes than declared.
        """
        out: list[memoryview] = []
        view = memoryview(data)
        at, end = 0, len(data)
        while at < end:
            if self._state is _State.DATA:
                upto = min(end, at + self._left)
                self._take(view[at:upto], out)
                at = upto
                continue
            newline = data.find(b"\n", at)
            if newline < 0:
                self._line += data[at:]
                self._check_line()
                break
            self._line += data[at:newline]
            self._check_line()
            line, self._line = self._line.removesuffix(b"\r"), b""
            at = newline + 1
            self._take_line(line)
        return out

    def finish(self) -> None:
        """The body has ended.

        Raises:
            IncompleteBody: Before its time, or with another number of bytes than declared.
            S3Error: ``MalformedTrailerError``, ``SignatureDoesNotMatch``.
        """
        if self._state is _State.TRAILER and not self._line and not self._needs_signature:
            self._end_trailers()  # some clients leave the last empty line out
        if self._state not in (_State.DONE, _State.LAST_LINE):
            raise IncompleteBody(f"the chunked body ended where {self._state.value} should be")
        if self._taken != self._declared:
            raise IncompleteBody(f"the chunks have {self._taken} bytes, x-amz-decoded-content-length {self._declared}")

    @property
    def _needs_signature(self) -> bool:
        return self._signer is not None and _SIGNATURE not in self.trailers

    def _check_line(self) -> None:
        if len(self._line) > _LINE_MOST:
            raise IncompleteBody(f"a line of the chunked body is longer than {_LINE_MOST} bytes")

    def _take(self, piece: memoryview, out: list[memoryview]) -> None:
        self._left -= len(piece)
        self._taken += len(piece)
        if self._signer is not None:
            self._sha256.update(piece)
        if self._hold:
            self._held.append(piece)
        else:
            out.append(piece)
        if self._left == 0:
            self._state = _State.DATA_END
            self._check_signature(self._sha256.hexdigest() if self._signer is not None else "")
            out += self._held
            self._held = []

    def _take_line(self, line: bytes) -> None:
        match self._state:
            case _State.SIZE:
                self._begin_chunk(line)
            case _State.DATA_END:
                if line:
                    raise IncompleteBody("a chunk is longer than its size says")
                self._state = _State.SIZE
            case _State.TRAILER:
                self._take_trailer(line)
            case _State.LAST_LINE if not line:
                self._state = _State.DONE
            case _:
                raise IncompleteBody("the body goes on behind its last chunk")

    def _begin_chunk(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise IncompleteBody("the size line of a chunk is malformed")
        size = int(found[1], 16)
        self._signature = (found[2] or b"").decode()
        if self._taken + size > self._declared:
            raise IncompleteBody(f"the chunks have more bytes than x-amz-decoded-content-length {self._declared}")
        if size == 0:
            self._check_signature(EMPTY_SHA256)
            self._state = _State.TRAILER if self._trailing else _State.LAST_LINE
            return
        self._left = size
        self._hold = self._signer is not None and size <= HELD_MOST
        if self._signer is not None:
            self._sha256 = hashlib.sha256()
        self._state = _State.DATA

    def _check_signature(self, sha256: str) -> None:
        if self._signer is not None and not same(self._signer.chunk(sha256), self._signature.lower()):
            raise S3Error("SignatureDoesNotMatch", "The signature of a chunk does not match its bytes.")

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            if self.trailers or self._signer is None:
                self._end_trailers()
            return
        name, separator, value = line.partition(b":")
        if not separator or len(self.trailers) >= _TRAILERS_MOST:
            raise S3Error("MalformedTrailerError")
        try:
            self.trailers[name.decode("ascii").strip().lower()] = value.decode("ascii").strip()
        except UnicodeDecodeError as exc:
            raise S3Error("MalformedTrailerError") from exc

    def _end_trailers(self) -> None:
        if self._signer is not None:
            given = self.trailers.pop(_SIGNATURE, None)
            if given is None:
                raise S3Error("MalformedTrailerError")
            lines = "".join(f"{name}:{value}\n" for name, value in sorted(self.trailers.items()))
            digest = hashlib.sha256(lines.encode()).hexdigest()
            if not same(self._signer.trailer(digest), given.lower()):
                raise S3Error("SignatureDoesNotMatch", "The signature of the trailing headers does not match them.")
        self._state = _State.DONE
