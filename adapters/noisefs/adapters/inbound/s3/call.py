"""One request on its way through the adapter: what every operation is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from noisefs.adapters.inbound.s3.auth.gatekeeper import Session
from noisefs.adapters.inbound.s3.body.incoming import Incoming
from noisefs.adapters.inbound.s3.failure import invalid_argument
from noisefs.adapters.inbound.s3.target import Target
from noisefs.core.domain.requests import Principal

_NUMBER_DIGITS_MOST: Final = 18
_NOT_HOISTED: Final = ("x-amz-checksum-", "x-amz-sdk-checksum-")
"""SDKs that presign put these into the query for a body they do not know yet."""
_SIGNING: Final = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-signature",
        "x-amz-date",
        "x-amz-signedheaders",
        "x-amz-expires",
        "x-amz-content-sha256",
        "x-amz-security-token",
    }
)


@dataclass(slots=True)
class Call:
    """A request whose sender is known. ``headers``: lower-case names, values of one name joined with commas."""

    request: web.BaseRequest
    target: Target
    headers: dict[str, str]
    session: Session
    incoming: Incoming
    ids: Mapping[str, str]
    """Headers that every answer carries."""
    sent_bytes: int = 0
    """Body bytes of the answer that were sent already."""
    sending_s: float = 0.0
    """When a streamed answer began, by ``time.monotonic``; 0: none did."""
    logged: bool = False
    """Whether the bucket has an access log."""
    deleted: list[tuple[str, str, str]] = field(default_factory=list)
    """Key, version id and error code of what a batch deleted, where that is logged."""

    @property
    def who(self) -> Principal:
        """The user."""
        return self.session.principal

    @property
    def bucket(self) -> str:
        """Its name."""
        return self.target.bucket

    @property
    def key(self) -> str:
        """The object's."""
        return self.target.key

    @property
    def is_head(self) -> bool:
        """Whether only headers are wanted."""
        return self.request.method == "HEAD"

    def param(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.target.params.get(name, default)

    def number(self, name: str, default: int, most: int) -> int:
        """A query parameter that counts, capped at ``most``.

        Raises:
            S3Error: ``InvalidArgument``: it is no number, or negative.
        """
        text = self.target.params.get(name)
        if not text:
            return default
        if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= _NUMBER_DIGITS_MOST):
            raise invalid_argument(name, text, f"Provided {name} not an integer or within integer range")
        if text.startswith("-"):
            raise invalid_argument(name, text, f"Argument {name} must be an integer between 0 and 2147483647")
        return min(int(text), most)

    def version_id(self) -> str | None:
        """The version that is asked for.

        Raises:
            S3Error: ``InvalidArgument``: it is empty.
        """
        text = self.target.params.get("versionId")
        if text is not None and not text:
            raise invalid_argument("versionId", text, "Version id cannot be the empty string")
        return text


def headers_of(received: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request by lower-case name; values of one name joined with commas, as they are signed."""
    found: dict[str, str] = {}
    for name, value in received.items():
        lower = name.lower()
        found[lower] = f"{found[lower]},{value}" if lower in found else value
    return found


def hoist(headers: dict[str, str], params: Mapping[str, str]) -> None:
    """Take the ``x-amz-`` headers that a presigned URL carries in its query (it is signed as a whole)."""
    for name, value in params.items():
        lower = name.lower()
        if lower.startswith("x-amz-") and lower not in _SIGNING and not lower.startswith(_NOT_HOISTED):
            headers.setdefault(lower, value)
