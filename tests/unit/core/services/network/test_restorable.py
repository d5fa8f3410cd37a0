"""Nodes let go of nothing that a restore from them would still need."""

from collections.abc import AsyncIterator

from noisefs.core.domain.ids import PackId
from noisefs.core.ports.index import Writing
from noisefs.core.services.network.releasing.unpins import Unpins
from noisefs.core.services.packs.copies import drop_interims
from tests.support.durable import DurableLab


async def test_a_root_goes_when_a_snapshot_covers_the_commit_that_needs_it_no_more() -> None:
    lab = DurableLab("a")
    await lab.known.look()
    covered = 0
    roots = []

    async def restorable() -> int:
        return covered

    async def owns() -> bool:
        return True

    unpins = Unpins(
        index=lab.parts.index,
        commits=lab.store.commits,
        workers=lab.store.workers,
        telemetry=lab.parts.telemetry,
        nodes=lab.known,
        owns=owns,
        restorable=restorable,
    )
    await lab.store.start(background=False)
    staged = await lab.store.body_writer.ingest(_body())
    await staged.settle()
    (pack,) = [pack for pack in lab.parts.packs.list() if pack.blocks > 4]
    await lab.confirmer.place(pack.pack_id, pack.blocks, 1)
    roots = list(lab.nodes["a"].pinned)

    def drop(tx: Writing) -> int:
        drop_interims(tx, PackId(pack.pack_id), 0)
        return tx.sequence

    number = await lab.store.commits.run(drop)
    covered = number - 1
    assert await unpins.run() == 0
    assert list(lab.nodes["a"].pinned) == roots
    covered = number
    assert await unpins.run() == len(roots) == 1
    assert not lab.nodes["a"].pinned


async def _body() -> AsyncIterator[bytes]:
    yield bytes(131072)
