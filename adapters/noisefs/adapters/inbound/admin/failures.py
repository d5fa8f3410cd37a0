"""Errors as JSON: how a failed command is told to whoever asked."""

from typing import Final, TypedDict

from noisefs.core.errors import (
    AccessDenied,
    CapacityExceeded,
    Conflict,
    IntegrityError,
    InvalidRequest,
    NoisefsError,
    NotFound,
    Unavailable,
)

FAMILIES: Final[tuple[type[NoisefsError], ...]] = (
    InvalidRequest,
    NotFound,
    Conflict,
    AccessDenied,
    IntegrityError,
    Unavailable,
    CapacityExceeded,
)
"""Every error raised on purpose belongs to one of these."""


class Failure(TypedDict):
    """An error as JSON."""

    family: str
    kind: str
    message: str
    retryable: bool


class CommandFailed(NoisefsError):
    """A command failed in the server; ``failure`` is what it said."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure["message"])
        self.failure = failure


def family_of(error: NoisefsError) -> str:
    """Name of the family an error belongs to."""
    if isinstance(error, CommandFailed):
        return error.failure["family"]
    return next(family.__name__ for family in FAMILIES if isinstance(error, family))


def failure_of(error: NoisefsError) -> Failure:
    """The error as JSON."""
    if isinstance(error, CommandFailed):
        return error.failure
    return {
        "family": family_of(error),
        "kind": type(error).__name__,
        "message": str(error),
        "retryable": error.retryable,
    }
