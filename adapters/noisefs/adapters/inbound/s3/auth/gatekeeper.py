"""Lets requests in: the claim of a request, verified."""

import hashlib
import logging
import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

import msgspec
from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.s3.auth import signature
from noisefs.adapters.inbound.s3.auth.credentials import Claim, claim_of
from noisefs.adapters.inbound.s3.auth.signature import ChunkSigner, same
from noisefs.adapters.inbound.s3.auth.version2 import OlderClaim, older_claim_of, stamp_of
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.forms.signed import FormClaim, form_claim_of
from noisefs.adapters.inbound.s3.settings import S3Settings
from noisefs.adapters.inbound.s3.target import Target, virtual_bucket
from noisefs.core.domain.requests import ANONYMOUS, Principal
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.telemetry import Counter, Telemetry
from noisefs.core.services.accounts import Accounts, Credential
from noisefs.core.services.tokens import Fault, Tokens

log = logging.getLogger(__name__)

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_STREAMING: Final = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})
_FORM_SERVICES: Final = ("iam", "sts", "s3")
"""Services whose clients post forms."""
_SIGNED_BY: Final = frozenset({"X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential", "AWSAccessKeyId", "Signature"})
"""Query parameters of which any says that somebody signed."""
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_COVERED_ANYWAY: Final = frozenset({"x-amz-content-sha256"})
"""Its value is the last line of what is signed."""
_DATE_NEEDED: Final = "AWS authentication requires a valid Date or x-amz-date header"

_REASONS: Final = {
    "InvalidAccessKeyId": "unknown_key",
    "SignatureDoesNotMatch": "signature",
    "RequestTimeTooSkewed": "skewed",
    "InvalidToken": "token",
    "ExpiredToken": "token",
}
"""Label values of failed logins; every other code is ``malformed``."""


class Session(msgspec.Struct, frozen=True):
    """A verified request: whose it is, and how its body is signed.

    Attributes:
        principal: The user.
        payload: Value of ``x-amz-content-sha256``: a digest in lower-case hex, or one of the words above.
        presigned: Whether the query carries the signature.
        chunks: Verifies signed chunks, where the body is sent in such.
        credential: The key that signed; ``None``: nobody did.
        version2: Whether it was signed with Signature Version 2.
    """

    principal: Principal
    payload: str
    presigned: bool
    chunks: ChunkSigner | None
    credential: Credential | None = None
    version2: bool = False

    @property
    def streaming(self) -> bool:
        """Whether the body is framed in chunks (``aws-chunked``)."""
        return self.payload in _STREAMING

    @property
    def trailing(self) -> bool:
        """Whether headers follow the body."""
        return self.payload in (STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER)

    @property
    def sha256(self) -> str:
        """The declared digest of the whole body; empty where there is none."""
        return "" if self.payload == UNSIGNED or self.payload in _STREAMING else self.payload


class Gatekeeper:
    """Verifies signatures. Task-safe. Cost: some 30 us a request, the signing key being cached."""

    def __init__(
        self, accounts: Accounts, tokens: Tokens, telemetry: Telemetry, clock: Clock, settings: S3Settings
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._telemetry = telemetry
        self._clock = clock
        self._settings = settings
        self._domain = None if settings.virtual_host_domain is None else settings.virtual_host_domain.lower()
        self._recognised: tuple[RawRequestMessage, Session] | None = None
        self._signing_key = lru_cache(maxsize=1024)(signature.signing_key)

    def admit(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        client: str,
        message: RawRequestMessage | None = None,
    ) -> Session:
        """Who sends this request. ``headers``: lower-case names; ``client``: the address for the log; ``message``: the
        request's head, where :meth:`recognise` may have seen it.

        A failed login is counted, and logged as one ``auth.failed`` line that never changes its shape, for tools that
        ban addresses. A request without any credentials is not one: it is let in as nobody's.

        Raises:
            S3Error: It is not let in; the code tells why.
        """
        if not headers.get("authorization") and _SIGNED_BY.isdisjoint(target.params):
            return self._nobody(headers)
        if self._recognised is not None and self._recognised[0] is message:
            return self._recognised[1]
        claim: Claim | OlderClaim | None = None
        try:
            claim = older_claim_of(headers, target.params) if self._settings.signature_v2 else None
            if claim is not None:
                return self._verified_older(claim, method, target, headers)
            claim = claim_of(headers, target.params, self._settings.region)
            return self._verified(claim, method, target, headers)
        except S3Error as exc:
            if claim is not None or headers.get("authorization"):
                self._failed(exc.code, client, "" if claim is None else claim.access_key_id)
            raise

    def recognise(self, message: RawRequestMessage, target: Target, headers: Mapping[str, str]) -> Session:
        """Like :meth:`admit`, for a caller that asks again where this fails: counts and logs nothing.

        The last request that was recognised is remembered, for where it takes another way after all; not one whose
        chunks are signed, as its session goes along with them.
        """
        if self._recognised is not None and self._recognised[0] is message:
            return self._recognised[1]
        claim = claim_of(headers, target.params, self._settings.region)
        session = self._verified(claim, message.method, target, headers)
        self._recognised = None if session.chunks is not None else (message, session)
        return session

    def admit_form(self, fields: Mapping[str, str], client: str) -> Session:
        """Who signed the policy in a form's fields (lower-case names). Like :meth:`admit`; nobody is let in too."""
        claim: FormClaim | None = None
        try:
            claim = form_claim_of(fields, self._settings.region)
            if claim is None:
                return self._nobody({})
            credential = self._credential(claim.access_key_id, fields.get("x-amz-security-token"))
            if not claim.is_by(credential.secret):
                raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=credential.access_key_id)
            return Session(credential.principal, UNSIGNED, False, None)
        except S3Error as exc:
            self._failed(exc.code, client, "" if claim is None else claim.access_key_id)
            raise

    def _nobody(self, headers: Mapping[str, str]) -> Session:
        """The session of a request that nobody signed: policies and lists say what it may do."""
        payload = headers.get("x-amz-content-sha256") or UNSIGNED
        if payload in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER):
            raise S3Error("AccessDenied")
        return Session(replace(ANONYMOUS, account=self._accounts.account), _checked_payload(payload), False, None)

    def _failed(self, code: str, client: str, login: str) -> None:
        reason = _REASONS.get(code, "malformed")
        self._telemetry.count(Counter.AUTH_FAILURES, labels=("s3", reason))
        log.warning("auth.failed", extra={"protocol": "s3", "client": client, "login": login[:128], "reason": reason})

    def admit_posted(self, target: Target, headers: Mapping[str, str], client: str, body: bytes) -> Session:
        """Who sends this form, to IAM or STS on the same endpoint. Like :meth:`admit`; ``body`` is what was signed."""
        claim: Claim | None = None
        try:
            claim = claim_of(headers, target.params, self._settings.region, _FORM_SERVICES)
            return self._verified(claim, "POST", target, headers, hashlib.sha256(body).hexdigest())
        except S3Error as exc:
            if claim is not None or headers.get("authorization"):
                self._failed(exc.code, client, "" if claim is None else claim.access_key_id)
            raise

    def _credential(self, access_key_id: str, token: str | None) -> Credential:
        """The key that signed, which may be a temporary one: then the request brings its token."""
        found = (
            self._accounts.credential(access_key_id)
            if token is None
            else self._tokens.credential(access_key_id, token, self._clock.now_us())
        )
        if found is None:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key_id[:128])
        if isinstance(found, Credential):
            return found
        raise S3Error("ExpiredToken" if found is Fault.EXPIRED else "InvalidToken")

    def _verified(
        self, claim: Claim, method: str, target: Target, headers: Mapping[str, str], payload: str = ""
    ) -> Session:
        stamp = claim.stamp or _stamp_of_date(headers)
        self._check_time(claim, stamp)
        if stamp[:8] != claim.scope.date:
            raise S3Error(
                "AuthorizationQueryParametersError" if claim.presigned else "AuthorizationHeaderMalformed",
                f'Invalid credential date "{claim.scope.date}". This date is not the same as that of the request: '
                f'"{stamp[:8]}".',
            )
        if not payload:
            payload = _payload_of(claim, target, headers)
        token = headers.get("x-amz-security-token") or target.params.get("X-Amz-Security-Token")
        credential = self._credential(claim.access_key_id, token)
        _check_signed_headers(claim, headers)
        key = self._signing_key(credential.secret, claim.scope.date, claim.scope.region, claim.scope.service)
        if not _matches(key, claim, stamp, method, target, headers, payload):
            raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=credential.access_key_id)
        return _session(credential, claim, key, stamp, payload)

    def _verified_older(self, claim: OlderClaim, method: str, target: Target, headers: Mapping[str, str]) -> Session:
        ends_s = claim.ends_s()
        if ends_s is None:
            self._check_skew(stamp_of(headers))
        elif self._clock.now_us() / 1e6 >= ends_s:
            raise self._expired(ends_s)
        payload = headers.get("x-amz-content-sha256") or UNSIGNED
        if payload in _STREAMING:
            raise S3Error("InvalidRequest", f"{payload} needs {signature.ALGORITHM}.")
        credential = self._credential(claim.access_key_id, claim.token)
        virtual = virtual_bucket(headers.get("host", ""), self._domain)
        if not claim.is_by(credential.secret, method, target, headers, virtual):
            raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=credential.access_key_id)
        return Session(credential.principal, _checked_payload(payload), ends_s is not None, None, credential, True)

    def _check_time(self, claim: Claim, stamp: str) -> None:
        if claim.expires_s is None:
            self._check_skew(stamp)
            return
        signed_s, now_s = self._seconds(stamp), self._clock.now_us() / 1e6
        if signed_s - now_s > self._settings.clock_skew_s:
            raise S3Error("AccessDenied", "Request is not valid yet", ServerTime=_iso(now_s))
        if now_s >= signed_s + claim.expires_s:
            error = self._expired(signed_s + claim.expires_s)
            error.fields["X-Amz-Expires"] = str(claim.expires_s)
            raise error

    def _check_skew(self, stamp: str) -> None:
        now_s, skew_s = self._clock.now_us() / 1e6, self._settings.clock_skew_s
        if abs(now_s - self._seconds(stamp)) > skew_s:
            raise S3Error(
                "RequestTimeTooSkewed",
                RequestTime=stamp,
                ServerTime=_iso(now_s),
                MaxAllowedSkewMilliseconds=str(int(skew_s * 1000)),
            )

    @staticmethod
    def _seconds(stamp: str) -> int:
        found = _seconds_of(stamp)
        if found is None:
            raise S3Error("AccessDenied", _DATE_NEEDED)
        return found

    def _expired(self, ended_s: int) -> S3Error:
        error = S3Error("AccessDenied", "Request has expired")
        error.fields |= {"Expires": _iso(ended_s), "ServerTime": _iso(self._clock.now_us() / 1e6)}
        return error


def _session(credential: Credential, claim: Claim, key: bytes, stamp: str, payload: str) -> Session:
    signed = payload in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER)
    chunks = ChunkSigner(key, stamp, claim.scope, claim.signature) if signed else None
    return Session(credential.principal, payload, claim.presigned, chunks, credential)


def _matches(
    key: bytes, claim: Claim, stamp: str, method: str, target: Target, headers: Mapping[str, str], payload: str
) -> bool:
    """Whether the signature is right for the target as it was sent, or for the same target encoded by the rules: some
    clients sign the one and send the other. Both name the same thing.
    """
    leave_out = "X-Amz-Signature" if claim.presigned else ""
    path = target.raw_path
    query = signature.query_as_sent(target.raw_query, leave_out)
    digest = signature.request_digest(method, path, query, headers, claim.signed_headers, payload)
    if same(signature.sign_request(key, stamp, claim.scope, digest), claim.signature):
        return True
    path_anew = signature.path_encoded_anew(path)
    query_anew = signature.query_encoded_anew(target.raw_query, leave_out)
    if (path_anew, query_anew) == (path, query):
        return False
    digest = signature.request_digest(method, path_anew, query_anew, headers, claim.signed_headers, payload)
    return same(signature.sign_request(key, stamp, claim.scope, digest), claim.signature)


def _payload_of(claim: Claim, target: Target, headers: Mapping[str, str]) -> str:
    payload = headers.get("x-amz-content-sha256", "")
    if claim.presigned:
        payload = target.params.get("X-Amz-Content-Sha256") or payload or UNSIGNED
    elif not payload:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    return _checked_payload(payload)


def _checked_payload(payload: str) -> str:
    if payload == UNSIGNED or payload in _STREAMING or _SHA256.fullmatch(payload):
        return payload
    if payload.startswith("STREAMING-"):
        raise not_implemented(payload[:80])
    raise invalid_argument(
        "x-amz-content-sha256",
        payload,
        f"x-amz-content-sha256 must be {UNSIGNED}, {STREAMING_UNSIGNED_TRAILER}, {STREAMING_SIGNED}, "
        f"{STREAMING_SIGNED_TRAILER} or a valid sha256 value.",
    )


def _check_signed_headers(claim: Claim, headers: Mapping[str, str]) -> None:
    """``host`` and every ``x-amz-`` header must be covered: an unsigned one could have been added on the way."""
    signed = claim.signed_headers
    missing = [
        name for name in headers if name.startswith("x-amz-") and name not in signed and name not in _COVERED_ANYWAY
    ]
    if "host" not in signed:
        missing.append("host")
    if missing:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(sorted(missing)),
        )


def _stamp_of_date(headers: Mapping[str, str]) -> str:
    """The time of a request without ``x-amz-date``: its ``Date``."""
    try:
        moment = parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError) as exc:
        raise S3Error("AccessDenied", _DATE_NEEDED) from exc
    return moment.strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=64)
def _seconds_of(stamp: str) -> int | None:
    """Seconds since the epoch; requests of one second have the same stamp."""
    if len(stamp) != 16 or stamp[8] != "T" or stamp[15] != "Z" or not stamp.isascii():
        return None
    try:
        year, month, day = int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8])
        moment = datetime(year, month, day, int(stamp[9:11]), int(stamp[11:13]), int(stamp[13:15]), tzinfo=UTC)
    except ValueError:
        return None
    return timegm(moment.timetuple())


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
