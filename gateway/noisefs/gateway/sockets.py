"""The sockets a server listens on, and the URLs under which clients reach them."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from noisefs.gateway.banner import Endpoints
from noisefs.gateway.config.schema import Config
from noisefs.gateway.config.values import Address
from noisefs.gateway.server import address_of, bind

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - told apart, not bound
"""How this machine itself reaches a listener on every address."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound sockets, one a listener."""

    s3: socket.socket
    webdav: socket.socket
    admin: socket.socket
    website: socket.socket | None = None

    def configured(self, config: Config) -> Config:
        """The configuration with the addresses that were really bound."""
        website = config.website.listen if self.website is None else address_of(self.website)
        return config.model_copy(
            update={
                "website": config.website.model_copy(update={"listen": website}),
                "s3": config.s3.model_copy(update={"listen": address_of(self.s3)}),
                "webdav": config.webdav.model_copy(update={"listen": address_of(self.webdav)}),
                "admin": config.admin.model_copy(update={"listen": address_of(self.admin)}),
            }
        )


@contextmanager
def bound(config: Config, *, shared: bool = False) -> Iterator[Sockets]:
    """The configured sockets; closed at the end. ``shared``: other processes bind them too.

    Raises:
        ConfigError: One of them cannot be had.
    """
    with ExitStack() as stack:
        listens = [
            ("s3.listen", config.s3.listen),
            ("webdav.listen", config.webdav.listen),
            ("admin.listen", config.admin.listen),
        ]
        if config.website.listen is not None:
            listens.append(("website.listen", config.website.listen))
        yield Sockets(*(stack.enter_context(bind(field, listen, shared=shared)) for field, listen in listens))


def real_endpoints(config: Config) -> Endpoints:
    """How this machine reaches listeners whose real addresses are in the configuration."""
    encrypted = config.tls.certificate is not None
    return Endpoints(
        _url(config.s3.listen, encrypted=encrypted),
        _url(config.webdav.listen, encrypted=encrypted),
        _url(config.admin.listen, encrypted=encrypted and not config.admin.listen.is_loopback),
        "" if config.website.listen is None else _url(config.website.listen, encrypted=encrypted),
    )


def public_endpoints(config: Config) -> Endpoints:
    """How clients reach them: the public URLs where they are set."""
    real = real_endpoints(config)
    s3, webdav = config.public_urls.s3 or real.s3, config.public_urls.webdav or real.webdav
    return Endpoints(s3, webdav, real.admin, real.website)


def _url(address: Address, *, encrypted: bool) -> str:
    host = _WILDCARDS.get(address.host, address.host)
    return f"{'https' if encrypted else 'http'}://{Address(host, address.port)}"
