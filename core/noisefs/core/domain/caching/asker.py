"""Who asks for bytes, as far as it tells something about whether they will be asked for again."""

from enum import IntEnum
from typing import Final, NamedTuple

from noisefs.core.domain.buckets.durability import IPFS, LOCAL


class Protocol(IntEnum):
    """Whose request it is. The numbers are features of models that outlive a restart: they never change."""

    BACKGROUND = 0
    """The store's own."""
    S3 = 1
    WEBDAV = 2


BY_NAME: Final = {protocol.name.lower(): protocol for protocol in Protocol}
"""As traces name them."""


class Asker(NamedTuple):
    """What is known of a reader. ``bucket_class``: of :func:`class_number`."""

    protocol: Protocol = Protocol.BACKGROUND
    bucket_class: int = 0


STORE: Final = Asker()
"""The store itself."""


def class_number(durability: str) -> int:
    """A bucket's class as a number: ``local`` 0, ``ipfs`` 1, ``replicated:n`` 2."""
    return 0 if durability == LOCAL else 1 if durability == IPFS else 2
