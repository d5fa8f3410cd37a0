"""Saying that a server is ready: the banner for people, the ready line for programs."""

import json
import logging
import sys
from importlib.metadata import version

from noisefs.core.services.accounts import Credential
from noisefs.gateway.banner import banner
from noisefs.gateway.config.schema import Config
from noisefs.gateway.folder import Folder
from noisefs.gateway.sockets import public_endpoints, real_endpoints

log = logging.getLogger(__name__)


def announce(folder: Folder, config: Config, first: Credential | None) -> None:
    """Print the banner on stderr and the ready line on stdout.

    Args:
        folder: The store's.
        config: With the addresses that were really bound.
        first: The key of a store that was made just now.
    """
    endpoints = public_endpoints(config)
    text = banner(
        version=version("noisefs-gateway"),
        data=str(folder.path),
        endpoints=endpoints,
        region=config.s3.region,
        first=first,
        known=config.admin_access_key or "",
    )
    sys.stderr.write(text)
    sys.stderr.flush()
    log.info("server.ready", extra={"s3": endpoints.s3, "webdav": endpoints.webdav, "admin": endpoints.admin})
    real = real_endpoints(config)
    told = {"ready": True, "s3": real.s3, "webdav": real.webdav, "admin": real.admin}
    if real.website:
        told["website"] = real.website
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
