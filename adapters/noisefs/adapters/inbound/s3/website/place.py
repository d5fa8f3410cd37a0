"""Which bucket's site a browser wants, and which page of it: from the host's name and the path.

Under the site's domain ``bucket.DOMAIN`` is a bucket. A name or address of this machine itself (``localhost``,
``127.0.0.1``) is for trying: there the path begins with the bucket. Any other host is a bucket of just that name, which
is how a site has a domain of its own.
"""

from ipaddress import ip_address
from typing import NamedTuple

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.target import decode


class Place(NamedTuple):
    """A page.

    Attributes:
        bucket: Empty where none is named.
        key: Of the page; a folder's ends with a slash, and the site's own is empty.
        base: What stands before the key in the path, without the slash between them.
        bare: That slash is missing.
    """

    bucket: str
    key: str
    base: str = ""
    bare: bool = False


def place_of(raw: str, host: str, domain: str | None) -> Place:
    """Take a request target apart. The query is nobody's business here.

    Args:
        raw: As received; also in absolute form.
        host: The ``Host`` header.
        domain: Of the sites, lower-case.

    Raises:
        S3Error: ``InvalidURI``: it is not UTF-8, or no path.
    """
    path = raw.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        path = _path_of_absolute(path)
    name = name_of(host)
    if domain is not None and name.endswith(f".{domain}"):
        return Place(name[: -len(domain) - 1], decode(path[1:]))
    if not _is_this_machine(name):
        return Place(name, decode(path[1:]))
    first, slash, rest = path[1:].partition("/")
    return Place(decode(first), decode(rest), f"/{first}", bare=not slash)


def name_of(host: str) -> str:
    """A host's name without port and final dot, lower-case; an IPv6 address without its brackets."""
    name, colon, port = host.strip().lower().rpartition(":")
    if not colon or not port.isdigit() or (":" in name and not name.endswith("]")):
        name = host.strip().lower()
    return name.removesuffix(".").removeprefix("[").removesuffix("]")


def _is_this_machine(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _path_of_absolute(raw: str) -> str:
    scheme, separator, rest = raw.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise S3Error("InvalidURI")
    return f"/{rest.partition('/')[2]}"
