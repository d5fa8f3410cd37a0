"""Kinds of values that configuration fields have beyond pydantic's own: addresses, sizes, URLs, lists in one word."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainSerializer

from noisefs.core.domain.buckets.durability import parse_durability
from noisefs.core.domain.windows import parse_window
from noisefs.core.errors import InvalidArgument

_UNITS: Final = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_SIZE: Final = re.compile(r"(\d+)\s*([KMGT]iB|B)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: ``HOST:PORT``, an IPv6 host in brackets; port 0 picks a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """The text it is written as."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address in ``HOST:PORT``.

        Raises:
            ValueError: It is none.
        """
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError("an IPv6 address goes in brackets: [::1]:9000")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError("HOST:PORT is needed, with a port from 0 to 65535")
        return cls(host, int(port))


def parse_size(value: object) -> object:
    """Bytes from ``268435456``, ``"256 MiB"``, ``"1GiB"``; anything else is left for pydantic to refuse."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise ValueError("a number of bytes is needed, such as 1048576 or 256MiB (B, KiB, MiB, GiB, TiB)")
    return int(match[1]) * _UNITS[(match[2] or "").upper()]


def format_size(size_bytes: int) -> str:
    """The shortest exact text of a size: ``256MiB``."""
    for unit, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)


def _address(value: object) -> object:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError("HOST:PORT is needed, as text")
    return Address.parse(value)


def _split(value: object) -> object:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value, strict=False)
    except ValueError:
        raise ValueError("an IP address or network is needed, such as 10.0.0.0/8") from None


def _url(value: object) -> object:
    if value is None or not isinstance(value, str):
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("a URL of scheme http or https, with a host and without a path, is needed")
    return value.rstrip("/")


def _hook_url(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.fragment
    except ValueError:
        good = False
    if not good or "@" in parts.netloc:
        raise ValueError("a URL of scheme http or https, with a host and without a user, is needed")
    return value


def _redis_url(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        at_host = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
        good = (at_host or (parts.scheme == "unix" and parts.path)) and not parts.query and not parts.fragment
    except ValueError:
        good = False
    if not good or "@" in parts.netloc:
        raise ValueError("a URL of scheme redis, rediss or unix, without a user, is needed")
    return value


def _durability(value: object) -> object:
    if isinstance(value, str):
        try:
            parse_durability(value)
        except InvalidArgument as exc:
            raise ValueError(exc.allowed) from None
    return value


def _windows(value: object) -> object:
    words = _split(value)
    for word in words if isinstance(words, list | tuple) else ():
        try:
            parse_window(str(word))
        except InvalidArgument as exc:
            raise ValueError(exc.allowed) from None
    return words


def _domain(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", value):
        raise ValueError("a domain name in lower case is needed, such as s3.example.org")
    return value


Endpoint = Annotated[Address, BeforeValidator(_address), PlainSerializer(str, return_type=str, when_used="json")]
"""Where a server listens."""

Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(format_size, return_type=str, when_used="json")]
"""A number of bytes."""

Network = Annotated[
    IPv4Network | IPv6Network, BeforeValidator(_network), PlainSerializer(str, return_type=str, when_used="json")
]
"""An IP address or network."""

Networks = Annotated[tuple[Network, ...], BeforeValidator(_split)]
"""Networks as a list, or in one word separated by commas."""

Url = Annotated[str, BeforeValidator(_url)]
"""Scheme, host and port under which clients reach the server."""

HookUrl = Annotated[str, BeforeValidator(_hook_url)]
"""Where something is POSTed: a URL with a path."""

RedisUrl = Annotated[str, BeforeValidator(_redis_url)]
"""A Redis server."""

Domain = Annotated[str, BeforeValidator(_domain)]
"""A domain name."""

DurabilityName = Annotated[str, BeforeValidator(_durability)]
"""A bucket's durability class."""

DayWindows = Annotated[tuple[str, ...], BeforeValidator(_windows)]
"""Times of day as a list, or in one word separated by commas."""
