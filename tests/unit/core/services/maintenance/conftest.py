"""Small packs for those who ask: 24 blocks, 19 cells."""

from collections.abc import Iterator

import pytest

from tests.support.faults import packs_of


@pytest.fixture
def small_packs() -> Iterator[None]:
    """Packs of 24 blocks."""
    with packs_of(24):
        yield
