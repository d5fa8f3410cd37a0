"""Names of blocks."""

import pytest

from noisefs.core.domain.nodes.block_id import block_id_text, compute_block_id, parse_block_id
from noisefs.core.errors import InvalidArgument

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
"""The well-known name of the empty raw block."""


def test_the_empty_block_has_its_well_known_name() -> None:
    block_id = compute_block_id(b"")
    assert block_id[:4].hex() == "01551220"
    assert len(block_id) == 36
    assert block_id_text(block_id) == EMPTY


def test_views_and_bytes_have_one_name() -> None:
    assert (
        compute_block_id(memoryview(b"abc"))
        == compute_block_id(b"abc")
        == parse_block_id(block_id_text(compute_block_id(b"abc")))
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        EMPTY[:-1],
        EMPTY + "a",
        "z" + EMPTY[1:],
        EMPTY.upper(),
        "B" + EMPTY[1:].upper(),
        "b" + EMPTY[1:].upper(),
        EMPTY[:10] + "1" + EMPTY[11:],
        EMPTY[:10] + "é" + EMPTY[11:],
        "bafybei" + EMPTY[7:],
        EMPTY[:-1] + "v",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_block_id(text)
