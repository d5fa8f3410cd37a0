"""Random histories of a gateway over nodes that fail: what was shipped comes back, whatever happened since."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefs.core.errors import StoreSuperseded
from noisefs.core.services.snapshots.service import SnapshotSettings
from tests.support.durable import FlakyNode
from tests.support.gateways import Gateway, names_on, restored

STEPS = 30


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
async def test_what_was_shipped_comes_back_after_any_history(seed: int) -> None:
    """Nodes fail before and after they did something, go down and come back; the gateway crashes, and is lost."""
    rng = random.Random(seed)
    nodes = [FlakyNode(name) for name in ("north", "east", "west")]
    gateway = await Gateway(nodes, copies=rng.choice((1, 2, 3)), settings=SnapshotSettings(3600, 1)).boot()
    written: set[bytes] = set()
    shipped: set[bytes] = set()
    for number in range(STEPS):
        for node in nodes:
            node.rng = rng
        step = rng.choice(("write", "write", "ship", "ship", "crash", "later", "down", "up", "lose"))
        if step == "write":
            key = b"%d" % number
            await gateway.write(key, rng.randbytes(rng.choice((1, 1000, 200_000))))
            written.add(key)
        elif step == "ship":
            now = set(written)
            _info, done = await gateway.shipping.create(full=rng.random() < 0.2 or None)
            shipped = now if done else shipped
        elif step == "crash":
            await gateway.boot()
        elif step == "later":
            await gateway.heal()
        elif step == "down":
            rng.choice(nodes).down = True
        elif step == "up":
            for node in nodes:
                node.down = False
        elif shipped:
            _calm(nodes)
            old, (gateway, _found, _warnings) = gateway, await restored(nodes, seed=number, copies=gateway.copies)
            assert shipped <= gateway.objects().keys() <= written
            await old.heal()
            assert not await old.heads.owns()
            await gateway.boot()
            written = set(gateway.objects())
            shipped &= written
    _calm(nodes)
    await gateway.boot()
    assert await gateway.heads.owns()
    await gateway.shipping.run()
    await gateway.heal()
    await gateway.shipping.run()
    assert {len(names_on(node)) for node in nodes} == {1}
    back, found, warnings = await restored(nodes[:1] if gateway.copies == 3 else nodes, seed=99)
    assert back.objects().keys() == written
    assert found.snapshots.unusable == ()
    assert warnings == []
    with pytest.raises(StoreSuperseded):
        await gateway.shipping.run()


def _calm(nodes: list[FlakyNode]) -> None:
    """From now on nothing fails."""
    for node in nodes:
        node.rng = None
        node.down = False
