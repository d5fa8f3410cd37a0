"""Who signed a form's policy: with Signature Version 4, or as forms of before did (HMAC-SHA1 of the policy)."""

import base64
import hmac
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from noisefs.adapters.inbound.s3.auth.signature import ALGORITHM, SERVICE, same, signing_key
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument

_STAMP: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


class FormClaim(msgspec.Struct, frozen=True):
    """An unverified claim. ``scope``: date and region of Version 4; ``None``: an older signature."""

    access_key_id: str
    policy: str
    signature: str
    scope: tuple[str, str] | None = None

    def is_by(self, secret: str) -> bool:
        """Whether the owner of this secret signed the policy."""
        text = self.policy.encode()
        if self.scope is None:
            digest = hmac.digest(secret.encode(), text, "sha1")
            return same(base64.b64encode(digest).decode(), self.signature)
        key = signing_key(secret, *self.scope, SERVICE)
        return same(hmac.digest(key, text, "sha256").hex(), self.signature.lower())


def form_claim_of(fields: Mapping[str, str], region: str) -> FormClaim | None:
    """The claim of a form's fields (lower-case names); ``None``: nobody signed it.

    Raises:
        S3Error: ``InvalidArgument`` and its like: something of it is missing, or wrong in itself.
    """
    policy = fields.get("policy", "")
    if "x-amz-signature" in fields or "x-amz-credential" in fields or "x-amz-algorithm" in fields:
        _require(fields, "policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
        if fields["x-amz-algorithm"] != ALGORITHM:
            raise invalid_argument("X-Amz-Algorithm", fields["x-amz-algorithm"], f"Only {ALGORITHM} is supported.")
        parts = fields["x-amz-credential"].rsplit("/", 4)
        stamp = fields["x-amz-date"]
        if len(parts) != 5 or parts[4] != "aws4_request" or parts[3] != SERVICE or not _STAMP.fullmatch(stamp):
            raise invalid_argument("X-Amz-Credential", fields["x-amz-credential"], "The credential is malformed.")
        if parts[1] != stamp[:8] or parts[2] != region:
            raise invalid_argument(
                "X-Amz-Credential",
                fields["x-amz-credential"],
                f"Expecting the date of X-Amz-Date and region {region!r}.",
            )
        return FormClaim(parts[0], policy, fields["x-amz-signature"], (parts[1], parts[2]))
    if policy or "awsaccesskeyid" in fields or "signature" in fields:
        _require(fields, "policy", "awsaccesskeyid", "signature")
        return FormClaim(fields["awsaccesskeyid"], policy, fields["signature"])
    return None


def _require(fields: Mapping[str, str], *names: str) -> None:
    for name in names:
        if not fields.get(name):
            raise S3Error(
                "InvalidArgument",
                f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the "
                "fields.",
                ArgumentName=name,
                ArgumentValue="",
            )
