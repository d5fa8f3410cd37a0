"""What a request is about: bucket, key and parameters, taken from the path and query exactly as they came."""

from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from noisefs.adapters.inbound.s3.failure import S3Error, not_implemented

CONTROL_TAGS: Final = "/v20180820/tags/arn"
"""How paths of S3 Control's calls about tags begin. So keys like that of a bucket of that name cannot be had."""
_BUCKET_ARN: Final = "arn:aws:s3:::"


class Target(msgspec.Struct, frozen=True):
    """A request's target.

    Attributes:
        raw_path: As received, which is what is signed.
        raw_query: As received, without the ``?``.
        bucket: Empty for the service itself.
        key: Empty for a bucket.
        params: Query parameters, decoded; the first of equal names counts. A ``+`` is a space.
        flags: Names that came without ``=``.
        control: It is a call of S3 Control about the tags of ``bucket``.
    """

    raw_path: str
    raw_query: str
    bucket: str
    key: str
    params: dict[str, str]
    flags: frozenset[str]
    control: bool = False

    @property
    def resource(self) -> str:
        """The path, decoded, for error answers."""
        if not self.bucket:
            return "/"
        return f"/{self.bucket}/{self.key}" if self.key else f"/{self.bucket}"


def target_of(raw: str, host: str, domain: str | None) -> Target:
    """Take a request target apart.

    ``./x``, ``a//b`` and keys with encoded slashes keep their spelling: nothing is normalised.

    Args:
        raw: As received; also in absolute form (``http://host/path``).
        host: The ``Host`` header.
        domain: Of virtual-host requests, lower-case; ``None``: path style only.

    Raises:
        S3Error: ``InvalidURI``: it is not UTF-8, or no path; ``InvalidRequest``, ``NotImplemented``: of S3 Control.
    """
    if not raw.startswith("/"):
        raw = _path_of_absolute(raw)
    raw_path, _, raw_query = raw.partition("?")
    raw_path = raw_path.partition("#")[0]
    control = raw_path.startswith(CONTROL_TAGS)
    virtual = virtual_bucket(host, domain)
    if control:
        bucket, key = _bucket_of_arn(decode(raw_path.removeprefix(CONTROL_TAGS[:-3]))), ""
    elif virtual:
        bucket, key = virtual, decode(raw_path[1:])
    else:
        first, _, rest = raw_path[1:].partition("/")
        bucket, key = decode(first), decode(rest)
        if not bucket and key:
            raise S3Error("InvalidURI")
    params, flags = parse_query(raw_query) if raw_query else ({}, frozenset[str]())
    return Target(raw_path, raw_query, bucket, key, params, flags, control)


def _bucket_of_arn(arn: str) -> str:
    name = arn.removeprefix(_BUCKET_ARN)
    if not arn.startswith("arn:"):
        raise S3Error("InvalidRequest", "Invalid ARN.")
    if name == arn or not name or "/" in name:
        raise not_implemented("Tags of anything but buckets and objects")
    return name


def parse_query(raw: str) -> tuple[dict[str, str], frozenset[str]]:
    """Parameters by name, and the names without ``=``."""
    params: dict[str, str] = {}
    flags = set()
    for item in raw.split("&"):
        name, separator, value = item.partition("=")
        if not name:
            continue
        name = decode(name.replace("+", " "))
        params.setdefault(name, decode(value.replace("+", " ")))
        if not separator:
            flags.add(name)
    return params, frozenset(flags)


def decode(text: str) -> str:
    """Percent-decoded text.

    Raises:
        S3Error: ``InvalidURI``: it is not UTF-8.
    """
    if "%" not in text and text.isascii():
        return text
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError as exc:
        raise S3Error("InvalidURI") from exc


def _path_of_absolute(raw: str) -> str:
    scheme, separator, rest = raw.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise S3Error("InvalidURI")
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"


def virtual_bucket(host: str, domain: str | None) -> str:
    """The bucket that a ``Host`` header names; empty: none."""
    if domain is None:
        return ""
    name = host.lower()
    if not name.endswith("]"):
        name = name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name
    return name[: -len(domain) - 1] if name.endswith(f".{domain}") else ""
