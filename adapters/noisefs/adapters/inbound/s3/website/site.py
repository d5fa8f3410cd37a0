"""A bucket's web site: read from XML, and asked where a page is.

Source: S3 API Reference, *PutBucketWebsite*; S3 User Guide, *Configuring an index document*, *Configuring a custom
error document*, *Using advanced conditional redirects*.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from lxml import etree

from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.xml.reading import name_of, texts_of

RULES_MOST: Final = 50
MOVED: Final = 301
_SITE: Final = frozenset({"IndexDocument", "ErrorDocument", "RedirectAllRequestsTo", "RoutingRules"})
_CONDITION: Final = frozenset({"KeyPrefixEquals", "HttpErrorCodeReturnedEquals"})
_REDIRECT: Final = frozenset({"Protocol", "HostName", "ReplaceKeyWith", "ReplaceKeyPrefixWith", "HttpRedirectCode"})
_PROTOCOLS: Final = ("http", "https")
_HOST: Final = re.compile(r"[\x21-\x7e]{1,255}")
_ERROR: Final = re.compile(r"[45][0-9]{2}")
_REDIRECTION: Final = re.compile(r"3(?!00)[0-9]{2}")
_AS_WRITTEN: Final = "/?#&=!:@%;,+$*()'[]~-._"
"""What stays in a replacement, which may bring a query or a fragment."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came in. ``base``: what stands before every key of the site in its paths."""

    scheme: str
    host: str
    base: str

    def path_of(self, text: str) -> str:
        """The path of an escaped key. Never two slashes in front, which would name another host."""
        path = f"{self.base}/{text}"
        return f"/%2F{path[2:]}" if path.startswith("//") else path

    def url_of(self, location: str) -> str:
        """Where an object says that it has moved to: a URL, or a path of this site."""
        escaped = quote(location, safe=_AS_WRITTEN)
        return self.base + escaped if escaped.startswith("/") else escaped


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where else to go. Empty texts and ``None``: as it was asked for."""

    protocol: str = ""
    host: str = ""
    key: str | None = None
    prefix: str | None = None
    status: int = MOVED

    def location(self, key: str, replaced: str, origin: Origin) -> str:
        """The URL for a key, whose beginning ``replaced`` is what a new prefix takes the place of."""
        if self.key is not None:
            path = quote(self.key, safe=_AS_WRITTEN)
        elif self.prefix is not None:
            path = quote(self.prefix, safe=_AS_WRITTEN) + quote(key[len(replaced) :])
        else:
            path = quote(key)
        if self.host:
            return f"{self.protocol or origin.scheme}://{self.host}/{path}"
        if self.protocol and self.protocol != origin.scheme:
            return f"{self.protocol}://{_without_port(origin.host)}{origin.path_of(path)}"
        return origin.path_of(path)


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``RoutingRule``. ``error``: the status for which it is; 0: for no error, it comes before any look."""

    prefix: str
    error: int
    redirect: Redirect


@dataclass(frozen=True, slots=True)
class Site:
    """All of a ``WebsiteConfiguration``. ``everything``: there are no pages, all requests go elsewhere."""

    index: str = ""
    error: str = ""
    everything: Redirect | None = None
    rules: tuple[Rule, ...] = ()

    def rule(self, key: str, error: int) -> Rule | None:
        """The first rule for a key that is asked for (``error``: 0), or whose answer is an error of this status."""
        return next((rule for rule in self.rules if rule.error == error and key.startswith(rule.prefix)), None)


def site_of(root: etree._Element) -> Site:
    """What a ``WebsiteConfiguration`` says.

    Raises:
        S3Error: ``MalformedXML``, ``InvalidArgument``, ``InvalidRequest``.
    """
    parts = _parts(root, _SITE)
    if "RedirectAllRequestsTo" in parts:
        if len(parts) > 1:
            raise invalid_argument(
                "RedirectAllRequestsTo",
                "",
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
            )
        fields = _fields(parts["RedirectAllRequestsTo"], frozenset({"Protocol", "HostName"}))
        if "HostName" not in fields:
            raise S3Error("MalformedXML")
        return Site(everything=_target_of(fields))
    if "IndexDocument" not in parts:
        raise invalid_argument(
            "IndexDocument",
            "",
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
        )
    index = _only(parts["IndexDocument"], "Suffix")
    if not index or "/" in index:
        raise invalid_argument("IndexDocument", index, "The IndexDocument Suffix is not well formed")
    error = ""
    if "ErrorDocument" in parts:
        error = _only(parts["ErrorDocument"], "Key")
        if not error:
            raise invalid_argument("ErrorDocument", error, "The ErrorDocument Key is not well formed")
    rules = tuple(_rules_of(parts["RoutingRules"])) if "RoutingRules" in parts else ()
    return Site(index, error, None, rules)


def _rules_of(root: etree._Element) -> Iterator[Rule]:
    if len(root) > RULES_MOST:
        raise S3Error(
            "InvalidRequest",
            f"{len(root)} routing rules provided, the number of routing rules in a website configuration is limited to "
            f"{RULES_MOST}.",
        )
    if not len(root):
        raise S3Error("MalformedXML")
    for child in root:
        if name_of(child) != "RoutingRule":
            raise S3Error("MalformedXML")
        parts = _parts(child, frozenset({"Condition", "Redirect"}))
        if "Redirect" not in parts:
            raise S3Error("MalformedXML")
        prefix, error = _condition_of(parts["Condition"]) if "Condition" in parts else ("", 0)
        yield Rule(prefix, error, _redirect_of(parts["Redirect"]))


def _condition_of(element: etree._Element) -> tuple[str, int]:
    fields = _fields(element, _CONDITION)
    if not fields:
        raise S3Error(
            "InvalidRequest",
            "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't "
            "be present.",
        )
    error = fields.get("HttpErrorCodeReturnedEquals")
    if error is not None and _ERROR.fullmatch(error) is None:
        raise S3Error(
            "InvalidRequest",
            f"The provided HTTP error code ({error[:40]}) is not valid. Valid codes are 4XX or 5XX.",
        )
    return fields.get("KeyPrefixEquals", ""), int(error or 0)


def _redirect_of(element: etree._Element) -> Redirect:
    fields = _fields(element, _REDIRECT)
    if not fields:
        raise S3Error("MalformedXML")
    if "ReplaceKeyWith" in fields and "ReplaceKeyPrefixWith" in fields:
        raise S3Error("InvalidRequest", "You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
    status = fields.get("HttpRedirectCode", str(MOVED))
    if _REDIRECTION.fullmatch(status) is None:
        raise S3Error(
            "InvalidRequest",
            f"The provided HTTP redirect code ({status[:40]}) is not valid. Valid codes are 3XX except 300.",
        )
    return _target_of(fields, int(status))


def _target_of(fields: Mapping[str, str], status: int = MOVED) -> Redirect:
    protocol, host = fields.get("Protocol", ""), fields.get("HostName")
    if "Protocol" in fields and protocol not in _PROTOCOLS:
        raise S3Error(
            "InvalidRequest",
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected "
            "automatically.",
        )
    if host is not None and _HOST.fullmatch(host) is None:
        raise invalid_argument("HostName", host, "The HostName is not well formed")
    return Redirect(protocol, host or "", fields.get("ReplaceKeyWith"), fields.get("ReplaceKeyPrefixWith"), status)


def _parts(element: etree._Element, known: frozenset[str]) -> dict[str, etree._Element]:
    """Children by name, each at most once."""
    parts = {name_of(child): child for child in element}
    if len(parts) != len(element) or not parts.keys() <= known:
        raise S3Error("MalformedXML")
    return parts


def _fields(element: etree._Element, known: frozenset[str]) -> dict[str, str]:
    """Texts of children by name."""
    fields = texts_of(element)
    if not fields.keys() <= known:
        raise S3Error("MalformedXML")
    return fields


def _only(element: etree._Element, name: str) -> str:
    fields = texts_of(element)
    if fields.keys() != {name}:
        raise S3Error("MalformedXML")
    return fields[name]


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host
