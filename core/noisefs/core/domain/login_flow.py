"""A sign-in that a device began and a person confirms somewhere else, in a browser."""

from typing import Final

from noisefs.core.domain.records import Record

LASTS_US: Final = 20 * 60 * 1_000_000
"""As long as Nextcloud's."""
_NAME_MOST: Final = 56
"""With room for a number up to what a device's name may have."""


class LoginFlow(Record, frozen=True, array_like=True):
    """One of them (row in ``META``; key: ``login-flow/p`` and the SHA-256 of the device's token)."""

    page: bytes
    """SHA-256 of the token in the page's URL."""
    expires_us: int
    agent: str
    """What the device says it is."""
    client: str
    """The address that it came from."""
    user: str = ""
    """Who confirmed it; empty: nobody yet."""


def device_name(agent: str) -> str:
    """What the password of a device is called that says it is ``agent``."""
    name = "".join(letter for letter in agent if letter.isprintable())[:_NAME_MOST].strip()
    return name or "device"
