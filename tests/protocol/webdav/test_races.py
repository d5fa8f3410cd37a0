"""Requests that cross: what let one pass is looked at once more in the commit that makes its change."""

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dav_requests import DavClient
from tests.support.server import RunningServer
from tests.support.webdav_server import Reply, WebdavServer

LOCK = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
ROUNDS = 30


def succeeded(*replies: Reply) -> int:
    """How many of them changed something."""
    for reply in replies:
        assert reply.status in (200, 201, 204, 404, 405, 409, 412, 423), reply
    return sum(reply.status < 300 for reply in replies)


@pytest.mark.parametrize("condition", ["If-Match", "If"])
async def test_a_count_that_several_keep(dav: WebdavServer, condition: str) -> None:
    """Each reads, adds one, and writes if nobody wrote meanwhile: none of those that were told yes is lost."""
    await dav("PUT", "/bucket/count", b"0")

    async def count() -> int:
        done = 0
        for _ in range(ROUNDS):
            read = await dav("GET", "/bucket/count")
            etag = read.headers["ETag"]
            held = {condition: etag if condition == "If-Match" else f"([{etag}])"}
            written = await dav("PUT", "/bucket/count", str(int(read.body) + 1), **held)
            done += succeeded(written)
        return done

    done = await asyncio.gather(*(count() for _ in range(4)))
    assert int((await dav("GET", "/bucket/count")).body) == sum(done)


@pytest.mark.parametrize("method", ["DELETE", "MOVE"])
@pytest.mark.parametrize("condition", ["If-Match", "If"])
async def test_of_a_change_and_a_removal_one_wins(dav: WebdavServer, method: str, condition: str) -> None:
    """Both are for the state that was read: the bytes of a save never go with those that were to go."""
    for number in range(ROUNDS):
        path = f"/bucket/{number}"
        etag = (await dav("PUT", path, b"old")).headers["ETag"]
        held = {condition: etag if condition == "If-Match" else f"([{etag}])"}
        saved, removed = await asyncio.gather(
            dav("PUT", path, b"new", **held), dav(method, path, Destination=f"{path}-moved", **held)
        )
        assert succeeded(saved, removed) == 1


async def test_of_a_folder_and_a_file_of_one_name_one_is_made(dav: WebdavServer) -> None:
    """The other is told that something is there."""
    for number in range(ROUNDS):
        path = f"/bucket/{number}"
        made, put = await asyncio.gather(dav("MKCOL", path), dav("PUT", path, b"x"))
        assert succeeded(made, put) == 1


async def test_what_is_put_into_a_folder_that_goes(dav: WebdavServer) -> None:
    """It goes along, or is refused: no folder comes back by it."""
    for number in range(ROUNDS):
        path = f"/bucket/{number}"
        await dav("MKCOL", path)
        gone, *_ = await asyncio.gather(
            dav("DELETE", path),
            dav("MKCOL", f"{path}/sub"),
            dav("COPY", "/bucket/none", Destination=f"{path}/copy"),
            dav("PUT", f"{path}/f", b"x"),
            dav("LOCK", f"{path}/locked", LOCK),
        )
        assert gone.status in (204, 423)  # a lock that came first is in the way
        assert (await dav("PROPFIND", path, Depth="0")).status == (404 if gone.status == 204 else 207)


async def test_notes_about_a_file_that_goes(dav: WebdavServer) -> None:
    """The next one of its name does not have them."""
    note = '<propertyupdate xmlns="DAV:"><set><prop><p xmlns="u:">note</p></prop></set></propertyupdate>'
    for number in range(ROUNDS):
        path = f"/bucket/{number}"
        await dav("PUT", path, b"old")
        await asyncio.gather(dav("PROPPATCH", path, note), dav("DELETE", path))
        await dav("PUT", path, b"new")
        assert "note" not in (await dav("PROPFIND", path, Depth="0")).text


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """Two processes."""
    with RunningServer(tmp_path / "data", "--workers", "2") as running:
        assert DavClient(running)("MKCOL", "/bucket").status == 201
        yield running


@pytest.mark.e2e
def test_nothing_lands_behind_a_lock(server: RunningServer) -> None:
    """Of two processes one grants locks while the other one writes: once a lock was answered, no write without its
    token lands, whenever it began.
    """
    dav, writer = DavClient(server), DavClient(server)
    ended = threading.Event()
    written: list[int] = []

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            written.append(writer("PUT", "/bucket/f", f"{number}".ljust(number % 2 * 70_000)).status)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(ROUNDS):
            granted = dav("LOCK", "/bucket/f", LOCK)
            assert granted.status in (200, 201)
            first = dav("GET", "/bucket/f").body
            seen = len(written)
            while len(written) < seen + 2:  # whatever was under way has ended
                assert dav("GET", "/bucket/f").body == first
            assert written[-1] == 423
            assert dav("GET", "/bucket/f").body == first
            token = re.search(r"<(.*)>", granted.headers["lock-token"])
            assert token is not None
            assert dav("UNLOCK", "/bucket/f", Lock_Token=token[0]).status == 204
            seen = len(written)
            while 204 not in written[seen:] and 201 not in written[seen:]:
                dav("GET", "/bucket/f")
    finally:
        ended.set()
        thread.join()
    assert set(written) <= {201, 204, 423}
