"""Condition keys of a request: worked out when a policy asks for them, and only those it asks for."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

from noisefs.adapters.inbound.s3.auth.gatekeeper import Session
from noisefs.adapters.inbound.s3.target import Target
from noisefs.core.domain.rights.caller_keys import of_caller, utc_time
from noisefs.core.domain.rights.keys import REQUEST_TAG, TAG_KEYS

_HEADERS: Final = {
    "aws:referer": "referer",
    "aws:useragent": "user-agent",
    "s3:if-match": "if-match",
    "s3:if-none-match": "if-none-match",
    "s3:object-lock-legal-hold": "x-amz-object-lock-legal-hold",
    "s3:object-lock-mode": "x-amz-object-lock-mode",
    "s3:object-lock-retain-until-date": "x-amz-object-lock-retain-until-date",
    **{
        f"s3:{name}": name
        for name in (
            "x-amz-acl",
            "x-amz-content-sha256",
            "x-amz-copy-source",
            "x-amz-grant-full-control",
            "x-amz-grant-read",
            "x-amz-grant-read-acp",
            "x-amz-grant-write",
            "x-amz-grant-write-acp",
            "x-amz-metadata-directive",
            "x-amz-object-ownership",
            "x-amz-server-side-encryption",
            "x-amz-server-side-encryption-aws-kms-key-id",
            "x-amz-server-side-encryption-customer-algorithm",
            "x-amz-storage-class",
            "x-amz-website-redirect-location",
        )
    },
}
"""Keys that are a header's value."""
_QUERY: Final = {"s3:prefix": "prefix", "s3:delimiter": "delimiter", "s3:versionid": "versionId"}
"""Keys that are a query parameter's."""
_KEYS_MOST: Final = "1000"
_DAY_US: Final = 86_400_000_000


class Context:
    """Answers for one request. ``now_us``: when it came."""

    __slots__ = ("_client", "_headers", "_now_us", "_region", "_secure", "_session", "_target")

    def __init__(
        self,
        target: Target,
        headers: Mapping[str, str],
        session: Session,
        *,
        client: str,
        secure: bool,
        region: str,
        now_us: int,
    ) -> None:
        self._target = target
        self._headers = headers
        self._session = session
        self._client = client
        self._secure = secure
        self._region = region
        self._now_us = now_us

    def __call__(self, key: str) -> Sequence[str] | None:
        """Values of a canonical key; ``None``: the request does not have it."""
        header = _HEADERS.get(key)
        if header is not None:
            value = self._headers.get(header)
            return None if value is None else (value,)
        param = _QUERY.get(key)
        if param is not None:
            value = self._target.params.get(param)
            return None if value is None else (value,)
        if key.startswith(REQUEST_TAG):
            value = self._tags().get(key[len(REQUEST_TAG) :])
            return None if value is None else (value,)
        if key == TAG_KEYS:
            return tuple(self._tags()) or None
        value = self._value(key)
        return None if value is None else (value,)

    def _tags(self) -> dict[str, str]:
        return dict(parse_qsl(self._headers.get("x-amz-tagging", ""), keep_blank_values=True))

    def _value(self, key: str) -> str | None:
        who = self._session.principal
        named = of_caller(key, who)
        if named is not None:
            return named
        match key:
            case "aws:sourceip":
                return self._client
            case "aws:securetransport":
                return "true" if self._secure else "false"
            case "aws:currenttime":
                return utc_time(self._now_us)
            case "aws:epochtime":
                return str(self._now_us // 1_000_000)
            case "aws:requestedregion":
                return self._region
            case "aws:resourceaccount" | "s3:resourceaccount":
                return who.account or None
            case "s3:max-keys":
                return self._target.params.get("max-keys")
            case "s3:signatureversion":
                return ("AWS" if self._session.version2 else "AWS4-HMAC-SHA256") if who.user_id else None
            case "s3:authtype":
                return ("REST-QUERY-STRING" if self._session.presigned else "REST-HEADER") if who.user_id else None
            case "s3:signatureage":
                return self._age_ms() if self._session.presigned and not self._session.version2 else None
            case "s3:object-lock-remaining-retention-days":
                return self._remaining_days()
        return None

    def _age_ms(self) -> str:
        signed = datetime.strptime(self._target.params["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return str(self._now_us // 1000 - int(signed.timestamp() * 1000))

    def _remaining_days(self) -> str | None:
        text = self._headers.get("x-amz-object-lock-retain-until-date")
        try:
            until = datetime.fromisoformat(text) if text else None
        except ValueError:
            return None
        if until is None:
            return None
        us = int((until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() * 1e6) - self._now_us
        return str(-(-us // _DAY_US))
