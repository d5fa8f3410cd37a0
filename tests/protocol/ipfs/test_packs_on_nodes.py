"""A store on disk and three real Kubo daemons: packs get there, stay there and go, whatever happens to the daemons."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from noisefs.core.domain.records import Copies
from noisefs.core.domain.windows import Window
from noisefs.core.ports.index import Table
from noisefs.core.services.packs.copies import copies_of, set_copies
from tests.support.bodies import drop_body
from tests.support.faults import packs_of
from tests.support.kubo import SECRET, call, connect, swarm
from tests.support.onto_nodes import SETTINGS, Gateway, gateway
from tests.support.small_disk import small_disk
from tools import components
from tools.ipfs_daemon import IpfsDaemon

pytestmark = [pytest.mark.needs("ipfs"), pytest.mark.usefixtures("small_packs")]


@pytest.fixture
def small_packs() -> Iterator[None]:
    """Packs of 64 blocks, 8 MiB."""
    with packs_of(64):
        yield


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[list[IpfsDaemon]]:
    """Three connected nodes for one test."""
    with swarm(tmp_path / "swarm", 3) as three:
        yield three


async def test_packs_get_their_copies_and_go_again(tmp_path: Path, daemons: list[IpfsDaemon]) -> None:
    async with gateway(tmp_path / "store", daemons) as it:
        bodies = await it.fill(4)
        await it.until(partial(it.settled, "a", "b", "c"))
        for pack_id in it.packs():
            assert all([await it.is_whole(pack_id, name) for name in it.row(pack_id).nodes])

        for extents in bodies[:2]:
            await drop_body(it.store, extents)
        await it.store.reaper.run()
        await it.store.cleaner.run(everything=True)

        await it.until(partial(it.settled, "a", "b", "c"))


async def test_a_node_is_killed_during_an_upload_and_comes_back(tmp_path: Path, daemons: list[IpfsDaemon]) -> None:
    async with gateway(tmp_path / "store", daemons, replace(SETTINGS, down_after_s=3600)) as it:
        await it.fill(8)
        uploading = asyncio.create_task(it.network.uploads.run())
        while not any([it.network.nodes.changing("a").locked(), uploading.done()]):
            await asyncio.sleep(0)
        await asyncio.to_thread(daemons[0].kill)
        await uploading

        await it.until(partial(has_copies, it, "b", "c"))
        await asyncio.to_thread(daemons[0].start)
        connect(daemons)

        await it.until(partial(it.settled, "a", "b", "c"))


async def has_copies(it: Gateway, *names: str) -> bool:
    """Whether every pack has two copies on these nodes, or one there and one that counts elsewhere."""
    pinned = {name: await it.pinned(name) for name in names}
    rows = [it.store.index.read(lambda tx, key=key: copies_of(tx, key)) for key in it.packs()]  # type: ignore[misc]
    return all(
        row is not None
        and row.confirmed_us
        and all(row.root in pinned[name] for name in row.nodes if name in pinned)
        and len(row.nodes) >= 2
        for row in rows
    )


async def test_a_node_that_is_gone_for_good_is_replaced(tmp_path: Path, daemons: list[IpfsDaemon]) -> None:
    async with gateway(tmp_path / "store", daemons) as it:
        await it.fill(4)
        await it.until(partial(it.settled, "a", "b", "c"))
        for pack_id in it.packs():  # what is on nodes only
            row = it.row(pack_id)
            away = partial(set_copies, key=pack_id, row=replace_local(row))
            await it.store.commits.run(away)
            it.store.packs.drop(pack_id)

        await asyncio.to_thread(daemons[0].kill)

        await it.until(partial(it.settled, "b", "c"))
        assert all([await it.is_whole(pack_id, name) for pack_id in it.packs() for name in "bc"])


def replace_local(row: Copies) -> Copies:
    return msgspec.structs.replace(row, local=False)


async def test_a_frozen_node_holds_up_nothing(tmp_path: Path, daemons: list[IpfsDaemon]) -> None:
    async with gateway(tmp_path / "store", daemons, replace(SETTINGS, copies=1)) as it:
        await it.fill(6)
        daemons[1].freeze()

        await it.until(partial(it.settled, "a", "c", copies=1))

        daemons[1].thaw()
        await it.until(partial(it.settled, "a", "b", "c", copies=1))


async def test_a_full_node_is_passed_over(tmp_path: Path, daemons: list[IpfsDaemon]) -> None:
    with small_disk(tmp_path / "small", 64 << 20) as disk:
        small = IpfsDaemon(disk.folder / "repo", secret=SECRET, sync=False)
        with small:
            fleet = [small, *daemons[:2]]
            connect(fleet)
            async with gateway(tmp_path / "store", fleet, replace(SETTINGS, copies=1, min_free_bytes=0)) as it:
                disk.fill()
                await it.fill(6)

                await it.until(partial(it.settled, "b", "c", copies=1))

                assert not await it.pinned("a")
                disk.relieve()


async def test_a_drained_node_ends_empty(tmp_path: Path, daemons: list[IpfsDaemon]) -> None:
    async with gateway(tmp_path / "store", daemons) as it:
        await it.fill(4)
        await it.until(partial(it.settled, "a", "b", "c"))
    async with gateway(tmp_path / "store", daemons, replace(SETTINGS, draining=frozenset("b"))) as it:
        await it.until(partial(it.settled, "a", "c"))
        await it.until(partial(is_empty, it, "b"))


async def is_empty(it: Gateway, name: str) -> bool:
    return not await it.pinned(name)


async def test_a_crash_between_import_and_row_sends_nothing_twice(tmp_path: Path, daemons: list[IpfsDaemon]) -> None:
    async with gateway(tmp_path / "store", daemons[:1], replace(SETTINGS, copies=1)) as it:
        await it.fill(2)
        await it.until(partial(it.settled, "a", copies=1))
        for pack_id in it.packs():
            await it.store.commits.run(lambda tx, key=pack_id: tx.delete(Table.COPIES, key))  # type: ignore[misc]
    async with gateway(tmp_path / "store", daemons[:1], replace(SETTINGS, copies=1)) as it:
        before = await it.pinned("a")

        await it.network.strays.run()

        assert all(it.row(pack_id).nodes == ("a",) for pack_id in it.packs())
        await it.until(partial(it.settled, "a", copies=1))
        assert await it.pinned("a") == before


def rot(file: Path) -> None:
    """Let the disk forget a bit."""
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(raw)


async def is_mended(it: Gateway) -> bool:
    found = await it.network.census.look(fresh=True)
    return not found.damaged_copies and not found.under_replicated


@pytest.mark.parametrize("source", ["disk", "holder"])
async def test_what_rots_or_gets_lost_on_a_node_is_mended(
    tmp_path: Path, daemons: list[IpfsDaemon], source: str
) -> None:
    """A block that packs share, a root, a lost block, a lost root: all on one node, which goes on pinning them all."""
    async with gateway(tmp_path / "store", daemons[:2]) as it:
        await it.fill(6)
        await it.until(partial(it.settled, "a", "b"))
        packs = it.packs()
        links = {pack_id: await it.network.roots.links(pack_id) for pack_id in packs}
        if source == "holder":
            for pack_id in packs:
                await it.store.commits.run(partial(set_copies, key=pack_id, row=replace_local(it.row(pack_id))))
                it.store.packs.drop(pack_id)
        tally = Counter(link for some in links.values() for link in some)
        shared, times = tally.most_common(1)[0]
        assert times > 1
        single, another = (
            next(link for link in links[pack_id] if tally[link] == 1) for pack_id in (packs[0], packs[3])
        )
        rotten = [shared, single, it.row(packs[1]).root, it.row(packs[2]).root]
        lost = [another, it.row(packs[4]).root]
        for name in rotten:
            rot(daemons[0].block_file(name))
        for name in lost:
            daemons[0].block_file(name).unlink()

        # What is lost, it gets from its swarm while it is asked.
        assert (await it.network.verifying.verify(b"", 1e9)).damaged >= 3
        await it.until(partial(is_mended, it))

        for name in (*rotten, *lost):
            assert daemons[0].block_file(name).read_bytes() == daemons[1].block_file(name).read_bytes()
        assert (await it.network.verifying.verify(b"", 1e9)).damaged == 0
        await it.until(partial(it.settled, "a", "b"))


async def test_a_node_that_cannot_read_a_root_is_mended_although_only_a_block_was_seen(
    tmp_path: Path, daemons: list[IpfsDaemon]
) -> None:
    """It discards nothing while a root that it pins is damaged: so its roots are looked at."""
    async with gateway(tmp_path / "store", daemons[:1], replace(SETTINGS, copies=1)) as it:
        await it.fill(3)
        await it.until(partial(it.settled, "a", copies=1))
        first, second, _ = it.packs()
        link = (await it.network.roots.links(first))[20]
        before = daemons[0].block_file(link).read_bytes()
        rot(daemons[0].block_file(link))
        root = daemons[0].block_file(it.row(second).root)
        root.chmod(0o600)
        root.write_bytes(bytes(1000))

        it.network.damage.suspect("a", first)
        assert await it.network.damage.run() == 1
        await it.until(partial(is_mended, it))

        assert daemons[0].block_file(link).read_bytes() == before
        assert (await it.network.verifying.verify(b"", 1e9)).damaged == 0


async def test_the_only_copy_is_left_as_it_is_where_it_rots(tmp_path: Path, daemons: list[IpfsDaemon]) -> None:
    async with gateway(tmp_path / "store", daemons[:1], replace(SETTINGS, copies=1)) as it:
        await it.fill(1)
        await it.until(partial(it.settled, "a", copies=1))
        (pack_id, *_) = it.packs()
        links = await it.network.roots.links(pack_id)
        await it.store.commits.run(partial(set_copies, key=pack_id, row=replace_local(it.row(pack_id))))
        it.store.packs.drop(pack_id)
        rot(daemons[0].block_file(links[-2]))

        assert (await it.network.verifying.verify(b"", 1e9)).damaged
        await it.network.census.look(fresh=True)
        await it.network.mending.run()

        assert ("a", pack_id) in it.network.mending.beyond
        assert await it.is_whole(pack_id, "a")
        assert it.row(pack_id).root in await it.pinned("a")


async def test_garbage_goes_and_what_others_have_there_stays(tmp_path: Path, daemons: list[IpfsDaemon]) -> None:
    settings = replace(SETTINGS, copies=1, gc_windows=(Window(0, 0),))
    async with gateway(tmp_path / "store", daemons[:1], settings, managed=True) as it:
        bodies = await it.fill(2)
        await it.network.uploads.run()
        gone = next(iter(it.packs()))
        links = await it.network.roots.links(gone)
        node = it.network.nodes.get("a")
        assert node is not None
        foreign = await asyncio.to_thread(_add_foreign, daemons[0], tmp_path)
        for extents in bodies:
            await drop_body(it.store, extents)
        await it.store.reaper.run()
        await it.store.cleaner.run(everything=True)
        await it.network.unpins.run()
        assert all(await node.has(links))

        await it.network.collecting.run()

        assert not any(await node.has(links))
        kept = await asyncio.to_thread(call, daemons[0], "pin/ls", foreign)
        assert foreign in str(kept)


def _add_foreign(daemon: IpfsDaemon, folder: Path) -> str:
    """Something of somebody else, pinned."""
    file = folder / "somebody else's"
    file.write_bytes(b"not ours" * 1000)
    program = components.find("ipfs")
    assert program is not None
    done = subprocess.run(
        [program, f"--api={_multiaddress(daemon.api)}", "add", "-Q", "--pin=true", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _multiaddress(url: str) -> str:
    host, _, port = url.removeprefix("http://").partition(":")
    return f"/ip4/{host}/tcp/{port}"
