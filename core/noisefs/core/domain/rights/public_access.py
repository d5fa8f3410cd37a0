"""Public access block: its four switches, and what counts as public.

Source: S3 user guide, *Blocking public access to your Amazon S3 storage*, *The meaning of "public"*.
"""

from typing import Final

import msgspec

from noisefs.core.domain.records import Bucket
from noisefs.core.domain.rights.conditions import Condition, network_of
from noisefs.core.domain.rights.policy import Policy, Statement

KIND: Final = "publicAccessBlock"
"""Where a bucket's configurations hold it; none there: everything is off."""
_NARROWING: Final = frozenset(
    {"aws:principalarn", "aws:principalaccount", "aws:userid", "aws:username", "aws:sourceip"}
)
"""Keys that a statement for everybody may be narrowed by so that it is not public."""
_LEAST_PREFIX: Final = {4: 8, 6: 32}
"""Larger networks are the public."""


class PublicAccessBlock(msgspec.Struct, frozen=True, array_like=True):
    """The switches."""

    block_acls: bool = False
    """Refuse lists that are public."""
    ignore_acls: bool = False
    """Grants to everybody do not count."""
    block_policy: bool = False
    """Refuse policies that are public."""
    restrict: bool = False
    """A policy that is public grants nothing to anybody but the bucket's owner and administrators."""


_OFF: Final = PublicAccessBlock()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PublicAccessBlock)


def block_of(bucket: Bucket) -> PublicAccessBlock:
    """The bucket's switches."""
    kept = bucket.config.get(KIND)
    return _OFF if kept is None else _decoder.decode(kept)


def encode_block(block: PublicAccessBlock) -> bytes:
    """Switches as a bucket's configuration holds them."""
    return _encoder.encode(block)


def is_public_policy(policy: Policy) -> bool:
    """Whether a statement lets everybody do something, without being narrowed to fixed callers."""
    return any(_is_public(statement) for statement in policy.statements)


def _is_public(statement: Statement) -> bool:
    everybody = statement.principals is not None and statement.principals.everybody
    return statement.allows and everybody and not any(_narrows(condition) for condition in statement.conditions)


def _narrows(condition: Condition) -> bool:
    if condition.key not in _NARROWING or condition.negated or condition.if_exists or condition.null is not None:
        return False
    if condition.quantifier == "all":
        return False
    if condition.operator == "ipaddress":
        networks = [network_of(value) for value in condition.values]
        return all(network.prefixlen >= _LEAST_PREFIX[network.version] for network in networks)
    return not any(mark in value for value in condition.values for mark in ("*", "?", "${"))
