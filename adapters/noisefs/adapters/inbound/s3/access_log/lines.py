"""Lines of an access log.

Source: S3 user guide, *Amazon S3 server access log format*: 26 fields with a space between them, ``-`` for what does
not apply; times in brackets and texts of clients in quotes. Unlike on AWS, a text of a client cannot end its quotes:
what could is percent-encoded; and signatures and tokens of presigned URLs are left out, which would let whoever reads
the log do the same again.
"""

import re
import time
from typing import Final, NamedTuple

from noisefs.adapters.inbound.s3.target import Target
from noisefs.adapters.inbound.s3.xml.text import url_text
from noisefs.core.domain.rights.identity import canonical_id
from noisefs.core.services.namespace.background.access_logs import Logged

_UNSAFE: Final = re.compile(r'["\\\x00-\x1f\x7f-\U0010ffff]')
_SECRET: Final = re.compile(r"(?<=[?&])(X-Amz-Signature|Signature|X-Amz-Security-Token)=[^&]*", re.IGNORECASE)
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_OF_BUCKET: Final = {
    "": "BUCKET",
    "acl": "ACL",
    "delete": "MULTI_OBJECT_DELETE",
    "logging": "LOGGING_STATUS",
    "object-lock": "OBJECT_LOCK_CONFIGURATION",
    "policy": "BUCKETPOLICY",
    "policyStatus": "BUCKETPOLICYSTATUS",
    "versions": "BUCKETVERSIONS",
}
_OF_OBJECT: Final = {
    "": "OBJECT",
    "attributes": "OBJECT_ATTRIBUTES",
    "legal-hold": "OBJECT_LOCK_LEGALHOLD",
    "renameObject": "OBJECT_RENAME",
    "retention": "OBJECT_LOCK_RETENTION",
    "tagging": "OBJECT_TAGGING",
    "uploadId": "UPLOAD",
}
"""What operations are about by sub-resource, where that is not the sub-resource's own name."""


class Line(NamedTuple):
    """One line's fields, in the order in which they are written. Empty or ``None``: does not apply."""

    logged: Logged
    at_us: int
    client: str
    requester: str
    request_id: str
    operation: str
    key: str
    request_line: str
    status: int
    error: str
    sent_bytes: int
    object_bytes: int | None
    total_ms: int
    turn_around_ms: int | None
    referer: str
    agent: str
    version_id: str
    host_id: str
    signature: str
    cipher: str
    auth: str
    host: str
    tls: str
    by_list: bool

    def text(self) -> str:
        """The line, with its end. Cost: some 10 us."""
        moment = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(self.at_us // 1_000_000))
        fields = (
            canonical_id(self.logged.owner),
            self.logged.bucket,
            f"[{moment}]",
            self.client or "-",
            self.requester or "-",
            self.request_id,
            self.operation,
            url_text(url_text(self.key)) or "-",
            quoted(self.request_line),
            str(self.status),
            self.error or "-",
            str(self.sent_bytes or "-"),
            "-" if self.object_bytes is None else str(self.object_bytes),
            str(self.total_ms),
            "-" if self.turn_around_ms is None else str(self.turn_around_ms),
            quoted(self.referer),
            quoted(self.agent),
            self.version_id or "-",
            self.host_id or "-",
            self.signature or "-",
            self.cipher or "-",
            self.auth or "-",
            safe(self.host).replace(" ", "%20") or "-",
            self.tls or "-",
            "-",  # the ARN of an access point, of which there are none
            "Yes" if self.by_list else "-",
        )
        return " ".join(fields) + "\n"


def quoted(text: str) -> str:
    """A text of a client in quotes; ``"-"`` without one."""
    return f'"{safe(text) or "-"}"'


def safe(text: str) -> str:
    """A text of a client in ASCII that ends neither quotes nor a line."""
    return _UNSAFE.sub(lambda found: _percent(found[0]), text)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def request_line_of(method: str, raw_path: str, version: str) -> str:
    """The first line of a request, without what signs it."""
    shown = _SECRET.sub(r"\1=REDACTED", raw_path)
    return f"{method} {shown} HTTP/{version}"


def operation_of(method: str, target: Target, sub: str, *, copies: bool) -> str:
    """What a request is called in logs: ``REST.PUT.OBJECT``. ``sub``: the sub-resource it names."""
    if method == "OPTIONS":
        return "REST.OPTIONS.PREFLIGHT"
    if not target.key:
        posted = method == "POST" and not sub
        return f"REST.{method}.{'OBJECT' if posted else _OF_BUCKET.get(sub) or _words(sub)}"
    part = sub == "uploadId" and method == "PUT"
    if copies:
        return f"REST.COPY.{'PART' if part else 'OBJECT'}"
    return f"REST.{method}.{'PART' if part else _OF_OBJECT.get(sub) or _words(sub)}"


def _words(sub: str) -> str:
    return _HUMP.sub("_", sub).replace("-", "_").upper()
