"""Whatever happens, what is restored is the index as one commit left it, and nothing flushed or snapshotted is lost."""

import asyncio
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from noisefs.core.ports.index import Table, Writing
from tests.support.snapshots import Lab, Rows, everything

LARGE = b"stands for a large value"

rows = st.lists(
    st.tuples(
        st.sampled_from([Table.OBJECTS, Table.BODIES, Table.INLINE]),
        st.sampled_from([b"a", b"b", b"c", b"d", b"e"]),
        st.none() | st.binary(max_size=30) | st.just(LARGE),
    ),
    min_size=1,
    max_size=4,
)
events = st.one_of(
    rows,
    rows,
    st.sampled_from(["flush", "snapshot", "full", "expire", "day", "second", "restart"]),
    st.tuples(st.just("crash"), st.integers(0, 200)),
)


def writes(todo: list[tuple[Table, bytes, bytes | None]]) -> Callable[[Writing], None]:
    """A function that does them."""

    def work(tx: Writing) -> None:
        for table, key, value in todo:
            if value is None:
                tx.delete(table, key)
            else:
                tx.put(table, key, value * 2000 if value == LARGE else value)

    return work


class History:
    """The state behind every commit, and up to which one the promise reaches."""

    def __init__(self) -> None:
        self.states: dict[int, Rows] = {}
        self.promised = 0


async def _live(todo: list[object]) -> None:
    lab = Lab()
    history = History()
    commits, snapshots = lab.boot()
    await snapshots.start()

    def note() -> None:
        history.states[lab.index.sequence()] = everything(lab.index)

    await commits.run(writes([(Table.META, b"store", b"made")]))
    note()
    history.promised = (await snapshots.create()).upto
    note()
    for event in todo:
        match event:
            case list():
                await commits.run(writes(event))
            case "flush":
                await snapshots.flush()
                history.promised = lab.index.sequence()
            case "snapshot" | "full":
                info = await snapshots.create(full=True if event == "full" else None)
                history.promised = max(history.promised, info.upto)
            case "expire":
                await snapshots.expire()
            case "day" | "second":
                lab.clock.advance(90_000 if event == "day" else 1.5)
                for _ in range(8):
                    await asyncio.sleep(0)
            case "restart":
                await commits.close()
                await snapshots.close()
                history.promised = lab.index.sequence()
                commits, snapshots = lab.boot()
                await snapshots.start()
            case ("crash", int(kept)):
                # The old process goes on in the files it has; the new one has what was left.
                lab.logs = lab.logs.after_crash(kept)
                lab.index, report = lab.restored()
                assert everything(lab.index) == history.states[report.upto]
                assert report.upto >= history.promised
                assert lab.index.sequence() >= report.upto + report.lost
                await commits.close()
                await snapshots.close()
                commits, snapshots = lab.boot()
                await snapshots.start()
                history.states = {
                    sequence: state for sequence, state in history.states.items() if sequence <= report.upto
                }
                note()
                # What a restore asks of its caller: a full snapshot, at once.
                info = await snapshots.create()
                assert info.after is None
                history.promised = info.upto
        note()
    await commits.close()
    await snapshots.close()
    index, report = lab.restored()
    assert everything(index) == everything(lab.index)
    assert report.lost == 0


@given(st.lists(events, max_size=25))
def test_a_restored_index_is_the_state_behind_one_commit(todo: list[object]) -> None:
    """Random commits, snapshots, expiries, restarts and losses of the index with torn logs."""
    asyncio.run(_live(todo))
