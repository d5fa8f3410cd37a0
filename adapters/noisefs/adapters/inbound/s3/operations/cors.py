"""Cross-origin requests: the configuration, preflights, and what every answer to a browser's script says.

A preflight comes without credentials, so it is answered from the bucket's rules alone. It tells nothing else: a bucket
that does not exist and one without rules look alike.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.cross_origin.rule import KIND, Rule, kept_rules
from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.operations.kept import KeptConfiguration
from noisefs.adapters.inbound.s3.target import Target
from noisefs.adapters.inbound.s3.xml.cors import rules_of
from noisefs.adapters.inbound.s3.xml.kept import content_of

_ROOT: Final = "CORSConfiguration"
_PLAIN: Final = re.compile(r"[\x21-\x7e]+")
"""What an answer may repeat."""
_VARY: Final = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


class Cors(KeptConfiguration):
    """Keeps rules, and answers what browsers ask. Task-safe."""

    kind = KIND
    root = _ROOT
    absent = "NoSuchCORSConfiguration"

    def taken(self, root: etree._Element) -> bytes:
        """The rules as they are put."""
        rules_of(root)
        return content_of(root).encode()

    def preflight(self, target: Target, headers: Mapping[str, str], ids: Mapping[str, str]) -> Answer:
        """Whether a script may send the request that is announced. Cost: one get of the index.

        Raises:
            S3Error: ``BadRequest``: it announces nothing; ``AccessForbidden``: it may not.
        """
        origin, method = headers.get("origin", ""), headers.get("access-control-request-method", "")
        if not origin:
            raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
        if not method:
            raise S3Error("BadRequest", "Invalid Access-Control-Request-Method: null")
        rules = self._rules(target.bucket)
        if rules is None:
            raise _forbidden(target, method)
        wanted = _names(headers.get("access-control-request-headers", ""))
        rule = _fitting(rules, origin, method, wanted) if all(_PLAIN.fullmatch(name) for name in wanted) else None
        if rule is None:
            raise _forbidden(
                target,
                method,
                "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, "
                "request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted "
                "by the resource's CORS spec.",
            )
        told = _told(rule, origin)
        if wanted:
            told["Access-Control-Allow-Headers"] = ", ".join(wanted)
        return answers.whole(ids, 200, told)

    def headers_for(self, method: str, target: Target, headers: Mapping[str, str]) -> dict[str, str]:
        """What the answer to a request with ``Origin`` says besides, an error too. Cost: one get of the index."""
        rules = self._rules(target.bucket) if target.bucket else None
        if rules is None:
            return {}
        origin = headers["origin"]
        rule = _fitting(rules, origin, headers.get("access-control-request-method", method), ())
        return {"Vary": _VARY} if rule is None else _told(rule, origin)

    def _rules(self, bucket: str) -> Sequence[Rule] | None:
        kept = self._buckets.peek(bucket, KIND)
        return None if kept is None else kept_rules(kept)


def _forbidden(target: Target, method: str, message: str = "") -> S3Error:
    kind = "OBJECT" if target.key else "BUCKET"
    return S3Error("AccessForbidden", message, Method=method[:40], ResourceType=kind)


def _fitting(rules: Sequence[Rule], origin: str, method: str, wanted: Sequence[str]) -> Rule | None:
    if _PLAIN.fullmatch(origin) is None:
        return None
    return next((rule for rule in rules if rule.fits(origin, method, wanted)), None)


def _names(text: str) -> list[str]:
    return [name for name in (part.strip().lower() for part in text.split(",")) if name]


def _told(rule: Rule, origin: str) -> dict[str, str]:
    told = {
        "Access-Control-Allow-Origin": "*" if rule.is_for_all else origin,
        "Access-Control-Allow-Methods": ", ".join(rule.methods),
        "Vary": _VARY,
    }
    if not rule.is_for_all:
        told["Access-Control-Allow-Credentials"] = "true"
    if rule.exposed_headers:
        told["Access-Control-Expose-Headers"] = ", ".join(rule.exposed_headers)
    if rule.max_age_s:
        told["Access-Control-Max-Age"] = rule.max_age_s
    return told
