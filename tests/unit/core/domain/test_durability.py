"""Names of durability classes."""

import pytest

from noisefs.core.domain.buckets.durability import Durability, parse_durability
from noisefs.core.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "durability"),
    [
        ("local", Durability(waits=False)),
        ("ipfs", Durability(waits=True)),
        ("replicated:1", Durability(waits=True, copies=1)),
        ("replicated:16", Durability(waits=True, copies=16)),
    ],
)
def test_classes(text: str, durability: Durability) -> None:
    assert parse_durability(text) == durability


@pytest.mark.parametrize(
    "text",
    ["", "Local", "replicated", "replicated:", "replicated:0", "replicated:17", "replicated:2 ", "replicated:02"],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="replicated:n with n from 1 to 16") as caught:
        parse_durability(text)
    assert (caught.value.field, caught.value.value) == ("durability", text)
