"""TLS for listeners, and whether a listener may do without."""

import ssl

from noisefs.core.errors import ConfigError
from noisefs.gateway.config.schema import Config, TlsConfig


def server_context(config: TlsConfig) -> ssl.SSLContext | None:
    """What listeners use; ``None`` where TLS is off.

    Raises:
        ConfigError: Certificate or key cannot be used.
    """
    if config.certificate is None or config.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load(context, config)
    return context


def load(context: ssl.SSLContext, config: TlsConfig) -> None:
    """Read certificate and key (again): connections made from now on use them.

    Raises:
        ConfigError: They cannot be used; what was loaded before stays in use.
    """
    assert config.certificate is not None
    try:
        context.load_cert_chain(config.certificate, config.key, password=lambda: "")
    except OSError as exc:  # ssl.SSLError is one
        files = f"{config.certificate}, {config.key}"
        raise ConfigError("tls.certificate and tls.key", files, f"they cannot be used: {exc.strerror or exc}") from exc


def check_exposure(config: Config) -> None:
    """Refuse listeners that would send passwords and bytes in the clear over a network.

    Raises:
        ConfigError: One of them would.
    """
    safe = config.tls.certificate is not None or config.trusted_proxies or config.allow_insecure
    public = (
        ("s3.listen", config.s3.listen),
        ("webdav.listen", config.webdav.listen),
        ("website.listen", config.website.listen),
    )
    for name, listen in public:
        if listen is not None and not listen.is_loopback and not safe:
            raise ConfigError(
                name,
                str(listen),
                "off loopback it needs tls.certificate and tls.key, or trusted_proxies in front of it; "
                "allow_insecure = true serves in the clear all the same",
            )
    if not config.admin.listen.is_loopback and config.admin.token is None:
        raise ConfigError("admin.listen", str(config.admin.listen), "off loopback it needs admin.token")
