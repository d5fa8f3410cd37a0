"""Packs of 24 blocks: 19 cells, so that tests fill many of them in no time."""

from collections.abc import Iterator

import pytest

from tests.support.faults import packs_of


@pytest.fixture(autouse=True)
def _small_packs() -> Iterator[None]:
    with packs_of(24):
        yield
