"""The writes of one batch: scans over many of them, and after some were undone."""

import random

from noisefs.adapters.outbound.memory.index import MemoryIndex
from noisefs.adapters.outbound.pending import Pending
from noisefs.core.ports.index import Table, Writing

TABLE = Table.VERSIONS


def test_scans_see_what_is_pending_however_much_it_is() -> None:
    """Also what comes after the first scan, and not what a failed function wrote."""
    base = MemoryIndex()
    base.transact([lambda tx: [tx.put(TABLE, b"%04d" % number, b"base") for number in range(0, 400, 3)]])
    expected = {b"%04d" % number: b"base" for number in range(0, 400, 3)}
    chance = random.Random(5)

    def check(tx: Writing, model: dict[bytes, bytes]) -> None:
        low, high = sorted(b"%04d" % chance.randrange(420) for _ in range(2))
        limit = chance.randrange(1, 40)
        for reverse in (False, True):
            wanted = sorted(((k, v) for k, v in model.items() if low <= k < high), reverse=reverse)[:limit]
            assert tx.scan(TABLE, low, high, limit, reverse=reverse) == wanted

    def change(tx: Writing, model: dict[bytes, bytes]) -> None:
        for _ in range(chance.randrange(30)):
            key = b"%04d" % chance.randrange(400)
            if chance.random() < 0.3:
                tx.delete(TABLE, key)
                model.pop(key, None)
            else:
                model[key] = b"%d" % chance.randrange(10**6)
                tx.put(TABLE, key, model[key])
            check(tx, model)

    def play(tx: Pending) -> None:
        for number in range(60):
            fails = number % 4 == 3
            tried = dict(expected)

            def work(view: Writing, tried: dict[bytes, bytes] = tried, fails: bool = fails) -> None:
                change(view, tried)
                if fails:
                    raise ValueError

            outcome = tx.run(work)
            assert (outcome.error is not None) is fails
            if not fails:
                expected.clear()
                expected.update(tried)
            check(tx, expected)

    base.read(lambda view: play(Pending(view, 2)))
