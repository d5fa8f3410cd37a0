"""Tags of objects and buckets: names with values that people and policies sort things by.

Source: S3 User Guide, *Categorizing your objects using tags*; AWS's rules for tags of any resource.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

from noisefs.core.errors import InvalidArgument

OBJECT_MOST: Final = 10
BUCKET_MOST: Final = 50
KEY_MOST: Final = 128
VALUE_MOST: Final = 256
_OTHER: Final = frozenset("_.:/=+-@")
_RESERVED: Final = "aws:"


def checked_tags(pairs: Iterable[tuple[str, str]], most: int) -> dict[str, str]:
    """The tags by key, in their order. ``most``: how many there may be.

    Raises:
        InvalidArgument: There are too many, a key comes twice, or a text is too long or has a character that tags have
            not.
    """
    found: dict[str, str] = {}
    for key, value in pairs:
        if not 1 <= len(key) <= KEY_MOST:
            raise InvalidArgument("tag key", key[:40], f"1 to {KEY_MOST} characters")
        if len(value) > VALUE_MOST:
            raise InvalidArgument("tag value", value[:40], f"at most {VALUE_MOST} characters")
        if not _is_plain(key) or not _is_plain(value):
            raise InvalidArgument("tag", f"{key}={value}"[:80], "letters, digits, spaces and _.:/=+-@")
        if key.lower().startswith(_RESERVED):
            raise InvalidArgument("tag key", key, f"no key begins with {_RESERVED!r}")
        if key in found:
            raise InvalidArgument("tag key", key, "a key may come once")
        found[key] = value
    if len(found) > most:
        raise InvalidArgument("tags", len(found), f"at most {most}")
    return found


def without(tags: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """The tags but those of these keys."""
    gone = set(keys)
    return {key: value for key, value in tags.items() if key not in gone}


def _is_plain(text: str) -> bool:
    return all(
        character.isalnum() or character in _OTHER or unicodedata.category(character) in ("Zs", "Mn", "Mc", "Nl", "No")
        for character in text
    )
