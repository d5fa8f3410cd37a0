"""What a request leaves in access logs: a line in that of its bucket, one in that of the bucket that a copy reads, and
one for each key that a batch deletes.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from aiohttp import web

from noisefs.adapters.inbound.s3.access_log.lines import Line, operation_of, request_line_of
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.operations.copying import source_of
from noisefs.adapters.inbound.s3.subresources import subresource_of
from noisefs.adapters.inbound.s3.target import Target
from noisefs.core.domain.rights.caller_keys import arn_of
from noisefs.core.services.namespace.background.access_logs import AccessLogs, Logged

_READS: Final = frozenset({"REST.GET.OBJECT", "REST.HEAD.OBJECT"})
_WRITES: Final = frozenset({"REST.PUT.OBJECT", "REST.PUT.PART"})


class Copied(NamedTuple):
    """What a copy reads, where that is logged."""

    logged: Logged
    key: str
    version_id: str


class Heard(NamedTuple):
    """A request as it came, where it will leave something. ``logged``: its bucket, where that is logged."""

    logged: Logged | None
    copied: Copied | None
    request: web.BaseRequest
    target: Target
    headers: Mapping[str, str]
    at_us: int


@dataclass(slots=True)
class Told:
    """How a request ended. ``received_s``: when its body was there, by ``time.monotonic``."""

    error: str = ""
    sent_bytes: int = 0
    seconds: float = 0.0
    received_s: float = 0.0


def heard_of(
    logs: AccessLogs, request: web.BaseRequest, target: Target, headers: Mapping[str, str], now_us: int
) -> Heard | None:
    """What will be needed of a request; ``None``: it leaves nothing. Cost: one get for a bucket, and one for a copy."""
    logged = logs.of(target.bucket) if target.bucket else None
    copied = _copied(logs, headers) if target.key and "x-amz-copy-source" in headers else None
    if logged is None and copied is None:
        return None
    return Heard(logged, copied, request, target, headers, now_us)


def _copied(logs: AccessLogs, headers: Mapping[str, str]) -> Copied | None:
    try:
        source = source_of(headers["x-amz-copy-source"])
    except S3Error:
        return None  # told by the operation itself
    logged = logs.of(source.bucket)
    return None if logged is None else Copied(logged, source.key, source.version_id or "")


def lines_of(
    logs: AccessLogs, heard: Heard, call: Call | None, answer: Answer, ids: Mapping[str, str], told: Told
) -> Iterator[Line]:
    """The lines of a request that has ended. ``call``: ``None`` where nobody knows who sent it."""
    request, headers = heard.request, heard.headers
    target = heard.target if call is None else call.target
    tls = None if request.transport is None else request.transport.get_extra_info("ssl_object")
    cipher = None if tls is None else tls.cipher()
    who = None if call is None or not call.who.user_id else call.who
    operation = operation_of(request.method, heard.target, _sub_of(heard.target), copies="x-amz-copy-source" in headers)
    begun_s = time.monotonic() if call is None or not call.sending_s else call.sending_s
    line = Line(
        logged=heard.logged or _source_of(heard).logged,
        at_us=heard.at_us,
        client=str(request.get("client") or request.remote or ""),
        requester="" if who is None else arn_of(who),
        request_id=ids["x-amz-request-id"],
        operation=operation,
        key=target.key,
        request_line=request_line_of(request.method, request.raw_path, f"{request.version[0]}.{request.version[1]}"),
        status=answer.status,
        error="" if answer.status < 400 else told.error,
        sent_bytes=told.sent_bytes,
        object_bytes=_object_bytes(operation, answer, headers),
        total_ms=int(told.seconds * 1000),
        turn_around_ms=max(0, int((begun_s - told.received_s) * 1000)),
        referer=headers.get("referer", ""),
        agent=headers.get("user-agent", ""),
        version_id=answer.headers.get("x-amz-version-id", "") or target.params.get("versionId", ""),
        host_id=ids["x-amz-id-2"],
        signature="" if who is None else "SigV4",
        cipher="" if cipher is None else cipher[0],
        auth=_auth_of(call),
        host=headers.get("host", ""),
        tls="" if tls is None else tls.version() or "",
        by_list=False,
    )
    if heard.logged is not None:
        by_list = call is not None and answer.status < 400 and logs.needed_list(call.who, target.bucket)
        yield line._replace(by_list=by_list)
        for key, version_id, error in () if call is None else call.deleted:
            status = S3Error(error).status if error else 204
            yield line._replace(
                operation="BATCH.DELETE.OBJECT",
                key=key,
                version_id=version_id,
                status=status,
                error=error,
                sent_bytes=0,
                turn_around_ms=None,
            )
    if heard.copied is not None:
        source = heard.copied
        yield line._replace(
            logged=source.logged,
            operation=f"{operation}_GET",
            key=source.key,
            version_id=source.version_id,
            sent_bytes=0,
            turn_around_ms=None,
        )


def _source_of(heard: Heard) -> Copied:
    assert heard.copied is not None, "a request that leaves nothing was heard"
    return heard.copied


def _sub_of(target: Target) -> str:
    try:
        return subresource_of(target) if target.params else ""
    except S3Error:
        return ""


def _auth_of(call: Call | None) -> str:
    if call is None or call.session.credential is None:
        return ""
    return "QueryString" if call.session.presigned else "AuthHeader"


def _object_bytes(operation: str, answer: Answer, headers: Mapping[str, str]) -> int | None:
    """The size of the object that a request is about, where it is known without another look."""
    text = ""
    if operation in _READS and answer.status in (200, 206):
        text = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
    elif operation in _WRITES and answer.status == 200:
        text = headers.get("x-amz-decoded-content-length") or headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None
