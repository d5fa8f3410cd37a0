"""Texts, times and URLs as S3's XML carries them."""

import re
import time
from functools import lru_cache
from typing import Final
from urllib.parse import quote

XML_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

_SPECIAL: Final = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]')
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}
_PLAIN_URL: Final = re.compile(r"[A-Za-z0-9/_.~-]*", re.ASCII)


def xml_text(text: str) -> str:
    """Escaped for an element's content. A character that XML 1.0 cannot carry becomes U+FFFD: one key of that kind must
    not make a whole listing unreadable, and ``encoding-type=url`` shows it.
    """
    return text if _SPECIAL.search(text) is None else _SPECIAL.sub(_escaped, text)


def _escaped(match: "re.Match[str]") -> str:
    character = match[0]
    if "\x7f" <= character <= "\x9f":
        return f"&#{ord(character)};"
    return _ESCAPES.get(character, "\ufffd")


def url_text(text: str) -> str:
    """Percent-encoded as under ``encoding-type=url``: slashes and unreserved characters stay."""
    return text if _PLAIN_URL.fullmatch(text) else quote(text, safe="/-_.~")


@lru_cache(maxsize=4096)
def _iso_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def iso_millis(micros: int) -> str:
    """``2026-01-02T03:04:05.678Z``: for a time that a client gave."""
    seconds, rest = divmod(micros, 1_000_000)
    return f"{_iso_second(seconds)[:-4]}{rest // 1000:03}Z"


def iso_time(micros: int) -> str:
    """``2026-01-02T03:04:05.000Z``: whole seconds, as ``Last-Modified`` says them."""
    return _iso_second(micros // 1_000_000)
