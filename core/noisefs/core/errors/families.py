"""Every error that NoiseFS raises on purpose, by meaning.

Callers catch the seven families; leaves carry fields, so that an adapter can build its protocol's
own answer. ``retryable`` says whether the same request may succeed later without being changed.
Protocol adapters hold one table from these classes to their codes, and a test that every class is in it.
"""

from typing import ClassVar


class NoisefsError(Exception):
    """Root of all errors raised on purpose. The message says what failed, which value, what was allowed."""

    retryable: ClassVar[bool] = False


class NotFound(NoisefsError):
    """The thing asked for does not exist (or the caller may not know that it does)."""


class Conflict(NoisefsError):
    """The request is fine, the present state forbids it."""


class InvalidRequest(NoisefsError):
    """The request is wrong in itself: it will never succeed unchanged."""


class AccessDenied(NoisefsError):
    """The caller is not who it says, or may not do this."""


class IntegrityError(NoisefsError):
    """Stored bytes are not what was written. Nothing wrong is ever served."""


class Unavailable(NoisefsError):
    """The service cannot answer now."""

    retryable = True


class CapacityExceeded(NoisefsError):
    """A limit of space, count or backlog is reached."""
