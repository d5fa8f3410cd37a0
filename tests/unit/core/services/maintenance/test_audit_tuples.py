"""What the tuples of a pack come to when one body is longer than a pack."""

from tests.support.bodies import content, put_body
from tests.support.stores import memory_store

S = 131072


async def test_a_body_longer_than_two_packs_never_masks_itself_alone() -> None:
    async with memory_store() as (store, _parts):
        await put_body(store, content(1600 * S), piece=1 << 20)
        await store.writer.rest()
        audit = store.auditor.tuples()
        assert audit.packs == 4
        assert audit.copied_seeds > 0
        assert audit.runs_alone == 0
        assert audit.data_blocks_in_one_tuple == 0
