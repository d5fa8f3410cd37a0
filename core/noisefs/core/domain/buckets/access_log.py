"""Access logs of a bucket: where its lines go, and what the objects that hold them are called.

Source: S3 user guide, *Logging requests with server access logging*.
"""

import time
from functools import lru_cache
from typing import Final

import msgspec

from noisefs.core.domain.rights.acl import Acl

KIND: Final = "logging"
"""Of the configuration in a bucket's row: see :class:`Rule`."""
SERVICE: Final = "logging.s3.amazonaws.com"
"""Who delivers logs, as policies name it."""
SIMPLE: Final = "SimplePrefix"
EVENT_TIME: Final = "EventTime"
DELIVERY_TIME: Final = "DeliveryTime"
_SECOND_US: Final = 1_000_000


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """A bucket's configuration. Format rule as for :mod:`..records`."""

    target: str
    """Bucket that gets the lines."""
    prefix: str = ""
    key_format: str = ""
    """One of the three above; empty: none was named, which means the first."""
    grants: Acl = ()
    """Of the objects, besides their owner's."""


_decoder: Final = msgspec.msgpack.Decoder(Rule)


def encode_rule(rule: Rule) -> bytes:
    """The configuration's bytes."""
    return msgspec.msgpack.encode(rule)


@lru_cache(maxsize=256)
def decode_rule(raw: bytes) -> Rule:
    """The configuration in these bytes. Raises ``msgspec.MsgspecError`` where there is none."""
    return _decoder.decode(raw)


def day_of(rule: Rule, at_us: int) -> int:
    """The day whose lines go into an object with a line of ``at_us``, in seconds; 0: lines of any day do."""
    return at_us // (86_400 * _SECOND_US) * 86_400 if rule.key_format == EVENT_TIME else 0


def object_name(rule: Rule, account: str, region: str, bucket: str, day_s: int, now_us: int, unique: str) -> str:
    """The key of an object with lines about ``bucket``, delivered at ``now_us``. ``day_s``: see :func:`day_of`."""
    moment = time.gmtime(day_s if rule.key_format == EVENT_TIME else now_us // _SECOND_US)
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S", moment)
    if rule.key_format in ("", SIMPLE):
        return f"{rule.prefix}{stamp}-{unique}"
    return f"{rule.prefix}{account}/{region}/{bucket}/{time.strftime('%Y/%m/%d', moment)}/{stamp}-{unique}"
