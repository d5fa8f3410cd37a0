"""Whatever two nodes do, a fetch gives the exact bytes if one of them can; if none can, it says so in time."""

import asyncio
import itertools
from collections.abc import Callable

import pytest

from noisefs.core.domain.ids import BlockId
from noisefs.core.errors import BlockUnavailable
from tests.support.bodies import content, put_body
from tests.support.network import BlockShelf, networked_store

S = 131072
POSITIONS = [0, 3, 4, 5, 6]


def sound(_shelf: BlockShelf) -> None:
    """It works."""


def down(shelf: BlockShelf) -> None:
    """Nobody listens."""
    shelf.down = True


def hanging(shelf: BlockShelf) -> None:
    """It accepts and never answers."""
    shelf.hangs = True


def rotten(shelf: BlockShelf) -> None:
    """Every block it has is damaged."""
    shelf.damages = True


def lacking(shelf: BlockShelf) -> None:
    """It lost everything."""
    shelf.blocks.clear()


def forgetful(shelf: BlockShelf) -> None:
    """It lost every second block."""
    for block_id in sorted(shelf.blocks)[::2]:
        del shelf.blocks[block_id]


STATES: list[Callable[[BlockShelf], None]] = [sound, down, hanging, rotten, lacking, forgetful]


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.product(STATES, STATES)),
    ids=[f"{one.__name__}-{two.__name__}" for one, two in itertools.product(STATES, STATES)],
)
async def test_exact_bytes_or_unavailable_in_time(
    first: Callable[[BlockShelf], None], second: Callable[[BlockShelf], None]
) -> None:
    async with networked_store("one", "two", timeout_s=2.5) as net:
        await put_body(net.store, content(3 * S))
        (pack_id,) = await net.upload("one", "two")
        links = await net.roots.links(pack_id)
        wanted = {(pack_id, position): net.shelves["one"].blocks[links[position]] for position in POSITIONS}
        net.take_away()
        first(net.shelves["one"])
        second(net.shelves["two"])

        def has(block_id: BlockId) -> bool:
            return any(
                block_id in shelf.blocks and not (shelf.down or shelf.hangs or shelf.damages)
                for shelf in net.shelves.values()
            )

        possible = all(has(links[position]) for position in POSITIONS)
        async with asyncio.timeout(20):
            rooms = net.rooms(wanted)
            if possible:
                await net.fetcher.fetch(rooms)
                assert rooms == wanted
            else:
                with pytest.raises(BlockUnavailable):
                    await net.fetcher.fetch(rooms)
            while any(shelf.under_way for shelf in net.shelves.values()):  # nothing is left behind
                await asyncio.sleep(0)
