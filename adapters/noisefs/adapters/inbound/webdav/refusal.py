"""A request that WebDAV's own rules refuse, as one exception and one answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from noisefs.adapters.inbound.webdav.statuses import headers_of, status_of, text_of
from noisefs.core.errors import NoisefsError

FINITE_DEPTH: Final = "propfind-finite-depth"
TOKEN_SUBMITTED: Final = "lock-token-submitted"  # noqa: S105  # an element's name
NO_CONFLICT: Final = "no-conflicting-lock"
NO_SEARCH: Final = "search-grammar-supported"
"""RFC 5323 section 2.3: what a search asks for is not supported. None is: no index knows properties or contents, so a
search would read the whole bucket; ``OPTIONS`` names no grammar (``DASL``)."""
PROTECTED: Final = "cannot-modify-protected-property"


class Refused(Exception):
    """The answer to a request is this status. ``condition`` names a precondition element of RFC 4918 section 16."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        condition: str = "",
        hrefs: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        challenges: Sequence[str] = (),
    ) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.condition = condition
        self.hrefs = tuple(hrefs)
        self.headers = dict(headers or {})
        self.challenges = tuple(challenges)

    def seen(self, shown: Callable[[str], str]) -> "Refused":
        """The same, with URL paths as whoever asks has them."""
        hrefs = [shown(href) for href in self.hrefs]
        return Refused(self.status, self.text, condition=self.condition, hrefs=hrefs, headers=self.headers)

    def __str__(self) -> str:
        """Status and text, for logs."""
        return f"{self.status}: {self.text}"

    @property
    def body(self) -> tuple[str, bytes]:
        """Content type and bytes of the answer: XML where a precondition is named, else a sentence."""
        if self.status in (204, 304):
            return "", b""
        if not self.condition:
            return "text/plain; charset=utf-8", f"{self.text}\n".encode("utf-8", "replace")
        hrefs = "".join(f"<D:href>{escape(href)}</D:href>" for href in self.hrefs)
        element = f"<D:{self.condition}>{hrefs}</D:{self.condition}>" if hrefs else f"<D:{self.condition}/>"
        xml = f'<?xml version="1.0" encoding="utf-8"?>\n<D:error xmlns:D="DAV:">{element}</D:error>'
        return "application/xml; charset=utf-8", xml.encode()


def refusal_of(error: NoisefsError) -> Refused:
    """The refusal that tells a client about an error of the services."""
    return Refused(status_of(error), text_of(error), headers=headers_of(error))
