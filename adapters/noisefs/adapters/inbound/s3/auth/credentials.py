"""What a request says about who signed it: the ``Authorization`` header, or the query of a presigned URL."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from noisefs.adapters.inbound.s3.auth.signature import ALGORITHM, SERVICE, Scope
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument

_CREDENTIALS_MOST: Final = 4096
"""Longest ``Authorization`` value that is looked at."""
_STAMP: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,18}", re.ASCII)
_EXPIRES_MOST_S: Final = 7 * 86_400
"""A presigned URL lives a week at most (S3 API Reference, *Authenticating requests: using query parameters*)."""

_QUERY_FIELDS: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_URLS_OF_SDKS: Final = (
    " Some SDKs sign URLs with Signature Version 2 unless they are told otherwise; for boto3: "
    "Config(signature_version='s3v4'). The operator can accept such URLs: s3.signature_v2."
)
_HEADER: Final = "AuthorizationHeaderMalformed"
_QUERY: Final = "AuthorizationQueryParametersError"


class Claim(msgspec.Struct, frozen=True):
    """An unverified claim: who signed which headers, when and how.

    ``expires_s`` is given for a presigned URL only. ``stamp`` is empty where a request has no ``x-amz-date``.
    """

    access_key_id: str
    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str
    stamp: str
    expires_s: int | None = None

    @property
    def presigned(self) -> bool:
        """Whether the query carries it."""
        return self.expires_s is not None


def claim_of(
    headers: Mapping[str, str], params: Mapping[str, str], region: str, services: tuple[str, ...] = (SERVICE,)
) -> Claim:
    """The claim of a request. ``services``: any of which it may be made for; others than S3 know no regions.

    Raises:
        S3Error: There is none (``AccessDenied``), it is malformed, made for another region or service, or of a kind
            that is not supported; the code tells.
    """
    authorization = headers.get("authorization", "").strip()
    if params and ("X-Amz-Algorithm" in params or "X-Amz-Signature" in params or "X-Amz-Credential" in params):
        if authorization:
            raise invalid_argument(
                "Authorization",
                "",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                "parameter or the Authorization header should be specified",
            )
        return _from_query(params, region, services)
    if authorization.startswith(f"{ALGORITHM} "):
        return _from_header(authorization, headers.get("x-amz-date", ""), region, services)
    if authorization.startswith("AWS ") or ("AWSAccessKeyId" in params and "Signature" in params):
        hint = "" if authorization else _URLS_OF_SDKS
        raise S3Error(
            "InvalidRequest",
            f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.{hint}",
        )
    if authorization.startswith("AWS4-ECDSA-"):
        raise S3Error("NotImplemented", f"Signature Version 4A is not implemented by this server: use {ALGORITHM}.")
    if authorization.startswith("AWS4-"):
        raise S3Error(_HEADER)
    if authorization:
        raise invalid_argument("Authorization", authorization.partition(" ")[0], "Unsupported Authorization Type")
    raise S3Error("AccessDenied")


def _from_header(authorization: str, stamp: str, region: str, services: tuple[str, ...]) -> Claim:
    if len(authorization) > _CREDENTIALS_MOST:
        raise S3Error(_HEADER)
    begin, named, signed = authorization.rpartition("Signature=")
    if named and signed and "," not in signed and begin.endswith((", ", ",")):
        # What nearly all clients send: the signature last, and before it the same text for a whole day.
        access_key_id, scope, names = _signer_of(begin, region, services)
        return Claim(access_key_id, scope, names, signed, stamp)
    access_key_id, scope, names = _signer_of(authorization, region, services)
    return Claim(access_key_id, scope, names, _component(_components(authorization), "Signature"), stamp)


@lru_cache(maxsize=1024)
def _signer_of(authorization: str, region: str, services: tuple[str, ...]) -> tuple[str, Scope, tuple[str, ...]]:
    """Access key, scope and signed headers of an ``Authorization`` header, whole or up to its signature."""
    found = _components(authorization)
    credential, names = _component(found, "Credential"), _component(found, "SignedHeaders")
    access_key_id, scope = _scope_of(credential, region, services, _HEADER, "The authorization header is malformed")
    return access_key_id, scope, _names_of(names)


def _components(authorization: str) -> dict[str, str]:
    found = {}
    for item in authorization[len(ALGORITHM) + 1 :].split(","):
        name, _, value = item.strip().partition("=")
        found[name] = value.strip()
    return found


def _component(found: Mapping[str, str], name: str) -> str:
    if not found.get(name):
        raise S3Error(
            _HEADER, f"The authorization header is malformed; the authorization component {name!r} is missing."
        )
    return found[name]


def _from_query(params: Mapping[str, str], region: str, services: tuple[str, ...]) -> Claim:
    if any(not params.get(name) for name in _QUERY_FIELDS):
        raise S3Error(
            _QUERY,
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        )
    if params["X-Amz-Algorithm"] != ALGORITHM:
        raise S3Error(_QUERY, f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    expires_s = _expires_of(params["X-Amz-Expires"])
    begin = "Error parsing the X-Amz-Credential parameter"
    access_key_id, scope = _scope_of(params["X-Amz-Credential"], region, services, _QUERY, begin)
    stamp = params["X-Amz-Date"]
    if not _STAMP.fullmatch(stamp):
        raise S3Error(_QUERY, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    signed = _names_of(params["X-Amz-SignedHeaders"])
    return Claim(access_key_id, scope, signed, params["X-Amz-Signature"], stamp, expires_s)


def _expires_of(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise S3Error(_QUERY, "X-Amz-Expires should be a number")
    expires_s = int(text)
    if expires_s > _EXPIRES_MOST_S:
        raise S3Error(
            "AccessDenied",
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{_EXPIRES_MOST_S} seconds",
        )
    return expires_s


@lru_cache(maxsize=1024)
def _names_of(text: str) -> tuple[str, ...]:
    """Signed headers; a client signs the same ones again and again."""
    return tuple(text.lower().split(";"))


@lru_cache(maxsize=1024)
def _scope_of(credential: str, region: str, services: tuple[str, ...], code: str, begin: str) -> tuple[str, Scope]:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or not parts[0]:
        raise S3Error(
            code,
            f'{begin}; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".',
        )
    access_key_id, date, named, service, end = parts
    if len(date) != 8 or not (date.isascii() and date.isdigit()):
        raise S3Error(
            code, f'{begin}; incorrect date format "{date[:40]}". The date in the credential must be "yyyyMMdd".'
        )
    if named != region and service == SERVICE:
        raise S3Error(code, f"{begin}; the region '{named[:60]}' is wrong; expecting '{region}'", Region=region)
    if service not in services:
        raise S3Error(code, f'{begin}; incorrect service "{service[:60]}". This endpoint belongs to "{SERVICE}".')
    if end != "aws4_request":
        raise S3Error(code, f'{begin}; incorrect terminal "{end[:60]}". This endpoint uses "aws4_request".')
    return access_key_id, Scope(date, named, service)
