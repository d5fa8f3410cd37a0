"""Texts with ``*`` and ``?``, matched in time that grows with the text and the pattern, never with their product's
powers: a pattern is written by whoever may put a policy, so no regular expression with several stars is built.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

Variable = Callable[[str], str | None]
"""Value of a policy variable; ``None``: the request does not have it."""

_VARIABLE: Final = re.compile(r"\$\{\s*([^},]*?)\s*(?:,\s*'([^']*)'\s*)?\}")
_ESCAPES: Final = {"*": "*", "?": "?", "$": "$"}
_STAR: Final = "\ud800"
_ONE: Final = "\ud801"
"""Stand for wildcards in a compiled text, so that ``${*}`` and the values of variables stay literal. Halves of
surrogate pairs: no text of a request can hold one of these, and a policy must not.
"""


class Pattern:
    """A compiled pattern. Immutable. Cost of a match: about a microsecond."""

    __slots__ = ("_first", "_last", "_middle", "_whole", "text")

    def __init__(self, text: str, *, marked: bool = False) -> None:
        """``marked``: wildcards are marked already (:func:`marked`), others are literal."""
        self.text = text
        pieces = (text if marked else text.replace("*", _STAR).replace("?", _ONE)).split(_STAR)
        self._whole: _Piece | None = _Piece(pieces[0]) if len(pieces) == 1 else None
        self._first = _Piece(pieces[0])
        self._last = _Piece(pieces[-1])
        self._middle = tuple(_Piece(piece) for piece in pieces[1:-1] if piece)

    def matches(self, text: str) -> bool:
        """Whether the whole text is one of those meant. The leftmost place for every piece is as good as any other."""
        if self._whole is not None:
            return len(text) == self._whole.length and self._whole.at(text, 0)
        begin, end = self._first.length, len(text) - self._last.length
        if begin > end or not self._first.at(text, 0) or not self._last.at(text, end):
            return False
        for piece in self._middle:
            found = piece.find(text, begin, end)
            if found < 0:
                return False
            begin = found + piece.length
        return True


class _Piece:
    """What stands between two stars: literal, but for characters of which any will do."""

    __slots__ = ("_literal", "_search", "length")

    def __init__(self, text: str) -> None:
        self.length = len(text)
        self._literal = text
        self._search: re.Pattern[str] | None = None
        if _ONE in text:
            self._search = re.compile(".".join(re.escape(part) for part in text.split(_ONE)), re.DOTALL)

    def at(self, text: str, place: int) -> bool:
        if self._search is None:
            return text.startswith(self._literal, place)
        return self._search.match(text, place) is not None

    def find(self, text: str, begin: int, end: int) -> int:
        if self._search is None:
            return text.find(self._literal, begin, end)
        found = self._search.search(text, begin, end)
        return -1 if found is None else found.start()


class Template:
    """A text with policy variables (``${aws:username}``, also ``${aws:username, 'nobody'}``) and wildcards."""

    __slots__ = ("_pieces", "_wild", "names")

    def __init__(self, text: str, *, wild: bool) -> None:
        """``wild``: stars and question marks outside of variables are wildcards.

        Raises:
            ValueError: A ``${`` is not closed.
        """
        self._wild = wild
        self._pieces: list[str | tuple[str, str | None]] = []
        position = 0
        for found in _VARIABLE.finditer(text):
            self._add(text[position : found.start()])
            name = found[1]
            self._pieces.append(_ESCAPES[name] if name in _ESCAPES else (name, found[2]))
            position = found.end()
        self._add(text[position:])
        self.names = tuple(piece[0] for piece in self._pieces if isinstance(piece, tuple))
        """The variables."""

    def _add(self, text: str) -> None:
        if "${" in text:
            raise ValueError("a variable is not closed")
        self._pieces.append(text.replace("*", _STAR).replace("?", _ONE) if self._wild else text)

    def fill(self, variable: Variable) -> str | None:
        """The text with values in it, wildcards marked; ``None``: the request lacks one, so nothing is meant."""
        parts = []
        for piece in self._pieces:
            if isinstance(piece, str):
                parts.append(piece)
                continue
            value = variable(piece[0])
            if value is None:
                value = piece[1]
            if value is None:
                return None
            parts.append(value)
        return "".join(parts)


@lru_cache(maxsize=1024)
def _filled(text: str) -> Pattern:
    return Pattern(text, marked=True)


class Text:
    """A text of a policy that a value of the request is compared with, literally or by wildcards."""

    __slots__ = ("_pattern", "_template", "_wild", "raw")

    def __init__(self, raw: str, *, wild: bool, variables: bool) -> None:
        """``variables``: ``${...}`` is one; policies of version 2008-10-17 have none.

        Raises:
            ValueError: A ``${`` is not closed, or it is no Unicode text.
        """
        raw.encode()
        self.raw = raw
        self._wild = wild
        self._template = Template(raw, wild=wild) if variables and "${" in raw else None
        self._pattern = Pattern(raw) if wild and self._template is None else None

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of its variables."""
        return () if self._template is None else self._template.names

    @property
    def is_fixed(self) -> bool:
        """Whether it means one text, the same for every request."""
        return self._template is None and not (self._wild and ("*" in self.raw or "?" in self.raw))

    def matches(self, text: str, variable: Variable, *, fold: bool = False) -> bool:
        """Whether it means ``text``. ``fold``: whatever its case."""
        if self._pattern is not None:
            return self._pattern.matches(text)
        raw = self.raw if self._template is None else self._template.fill(variable)
        if raw is None:
            return False
        if self._wild:
            return _filled(raw).matches(text)
        return raw.casefold() == text.casefold() if fold else raw == text
