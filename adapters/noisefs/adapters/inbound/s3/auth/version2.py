"""AWS Signature Version 2, for tools that know nothing newer: served only where the operator says so.

It covers the method, three headers, what begins with ``x-amz-``, the path and the sub-resources; neither the body nor
any other part of the query. Pure functions on text. Source: S3 User Guide, *Signing and authenticating REST requests
(AWS Signature Version 2)*.
"""

import base64
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from noisefs.adapters.inbound.s3.auth.signature import path_encoded_anew, same
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.subresources import SUBRESOURCES
from noisefs.adapters.inbound.s3.target import Target

_BEGIN: Final = "AWS "
_QUERY_FIELDS: Final = ("AWSAccessKeyId", "Signature", "Expires")
_ISO: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_EXPIRES: Final = re.compile(r"\d{1,11}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_NEEDED: Final = "AWS authentication requires a valid Date or x-amz-date header"
_SESSION_PARAM: Final = "x-amz-security-token"
_UNSEEN_BY_SDKS: Final = frozenset(
    {"abac", "append", "attributes", "encryption", "legal-hold", "ownershipControls", "policyStatus"}
    | {"publicAccessBlock", "renameObject", "retention", "session"}
)
"""Sub-resources younger than the signature: SDKs send them, and leave them out of what they sign."""
_SIGNED: Final = (
    SUBRESOURCES
    | {"partNumber", "versionId", "response-content-type", "response-content-language", "response-expires"}
    | {"response-cache-control", "response-content-disposition", "response-content-encoding"}
)
"""Query parameters that are signed: those that make another operation or another answer of a request."""


class OlderClaim(msgspec.Struct, frozen=True):
    """An unverified claim. ``expires``: of a presigned URL, as it came; ``None``: headers carry the signature."""

    access_key_id: str
    signature: str
    expires: str | None = None
    token: str | None = None

    def is_by(self, secret: str, method: str, target: Target, headers: Mapping[str, str], virtual: str) -> bool:
        """Whether the owner of this secret signed the request. ``virtual``: the bucket, where the host names it.

        A URL must cover every sub-resource, as whoever has it could add one.
        """
        key = secret.encode()
        for names in (_SIGNED,) if self.expires is not None else (_SIGNED, _SIGNED - _UNSEEN_BY_SDKS):
            for place in _places(target, virtual):
                text = _text(self, method, place + _signed_query(target, names), target, headers)
                digest = hmac.digest(key, text.encode("utf-8", "surrogateescape"), "sha1")
                if same(base64.b64encode(digest).decode(), self.signature):
                    return True
        return False

    def ends_s(self) -> int | None:
        """When a presigned URL ends, in seconds since the epoch; ``None``: headers carry the signature.

        Raises:
            S3Error: ``AccessDenied``: it does not say.
        """
        if self.expires is not None and not _EXPIRES.fullmatch(self.expires):
            raise S3Error("AccessDenied", f"Invalid date (should be seconds since epoch): {self.expires[:40]}")
        return None if self.expires is None else int(self.expires)


def stamp_of(headers: Mapping[str, str]) -> str:
    """When the headers were signed, as Version 4 writes it.

    Raises:
        S3Error: ``AccessDenied``: they do not say.
    """
    text = headers.get("x-amz-date", headers.get("date", ""))
    if _ISO.fullmatch(text):
        return text
    try:
        moment = parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise S3Error("AccessDenied", _DATE_NEEDED) from exc
    if moment < _EPOCH:
        raise S3Error("AccessDenied", _DATE_NEEDED)
    return moment.strftime("%Y%m%dT%H%M%SZ")


def older_claim_of(headers: Mapping[str, str], params: Mapping[str, str]) -> OlderClaim | None:
    """The claim of a request that is signed in this way; ``None``: it is not.

    Raises:
        S3Error: ``InvalidArgument``, ``AccessDenied``: it is malformed.
    """
    authorization = headers.get("authorization", "").strip()
    if authorization.startswith(_BEGIN):
        access_key_id, colon, signature = authorization.removeprefix(_BEGIN).strip().rpartition(":")
        if not colon or not access_key_id or not signature:
            raise S3Error(
                "InvalidArgument",
                "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
                ArgumentName="Authorization",
                ArgumentValue=_BEGIN.strip(),
            )
        return OlderClaim(access_key_id, signature, token=headers.get(_SESSION_PARAM))
    if authorization or "X-Amz-Algorithm" in params or not ("AWSAccessKeyId" in params or "Signature" in params):
        return None
    if any(not params.get(name) for name in _QUERY_FIELDS):
        raise S3Error(
            "AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        )
    token = headers.get(_SESSION_PARAM) or params.get(_SESSION_PARAM)
    return OlderClaim(params["AWSAccessKeyId"], params["Signature"], params["Expires"], token)


def _places(target: Target, virtual: str) -> list[str]:
    """The path as clients sign it: as it was sent, or encoded by the rules; a bucket's with a slash that they send or
    do not.
    """
    found = dict.fromkeys((target.raw_path, path_encoded_anew(target.raw_path)))
    if virtual:
        return [f"/{virtual}{path}" for path in found]
    return [*found, *(f"{path}/" for path in found if target.bucket and not target.key and not path.endswith("/"))]


def _text(claim: OlderClaim, method: str, resource: str, target: Target, headers: Mapping[str, str]) -> str:
    """What is signed."""
    hoisted = {name.lower(): value for name, value in target.params.items()} if claim.expires is not None else {}
    known = {**hoisted, **headers}
    date = claim.expires
    if date is None:
        date = "" if "x-amz-date" in headers else headers.get("date", "")
    ours = sorted((name, value.strip()) for name, value in known.items() if name.startswith("x-amz-"))
    first = (method, known.get("content-md5", ""), known.get("content-type", ""), date)
    return "\n".join([*first, *(f"{name}:{value}" for name, value in ours), resource])


def _signed_query(target: Target, names: frozenset[str]) -> str:
    found = sorted(name for name in target.params if name in names)
    shown = [f"{name}={target.params[name]}" if target.params[name] else name for name in found]
    return f"?{'&'.join(shown)}" if shown else ""
