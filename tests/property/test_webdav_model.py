"""WebDAV as a whole: a model of files and folders agrees with it, and no request makes it fail."""

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisefs.adapters.inbound.webdav import WebdavSettings
from tests.support.webdav_server import PASSWORD, USER, Reply, WebdavServer, basic, serve

SEGMENTS = st.sampled_from(("a", "b", "a-", "c?d", "e f", "%41"))
PATHS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("PUT"), PATHS, st.binary(max_size=4)),
        st.tuples(st.just("MKCOL"), PATHS),
        st.tuples(st.just("DELETE"), PATHS),
        st.tuples(st.sampled_from(("COPY", "MOVE")), PATHS, PATHS, st.sampled_from("TF")),
    ),
    min_size=1,
    max_size=25,
)


class Model:
    """Files (bytes) and folders (``None``) by path; the empty path is the bucket."""

    def __init__(self) -> None:
        self.tree: dict[str, bytes | None] = {"": None}

    def parent_is_folder(self, path: str) -> bool:
        """Whether something can be made here."""
        return self.tree.get(path.rpartition("/")[0], b"") is None

    def below(self, path: str) -> list[str]:
        """A path and all below it."""
        return [one for one in self.tree if one == path or one.startswith(f"{path}/")]

    def put(self, path: str, data: bytes) -> int:
        """PUT."""
        if path in self.tree and self.tree[path] is None:
            return 405
        if not self.parent_is_folder(path):
            return 409
        status = 204 if path in self.tree else 201
        self.tree[path] = data
        return status

    def mkcol(self, path: str) -> int:
        """MKCOL."""
        if path in self.tree:
            return 405
        if not self.parent_is_folder(path):
            return 409
        self.tree[path] = None
        return 201

    def delete(self, path: str) -> int:
        """DELETE."""
        if path not in self.tree:
            return 404
        for one in self.below(path):
            del self.tree[one]
        return 204

    def relocate(self, method: str, path: str, target: str, overwrite: str) -> int:
        """COPY and MOVE."""
        if path not in self.tree:
            return 404
        if not self.parent_is_folder(target):
            return 409
        if target == path or target.startswith(f"{path}/"):
            return 403
        if target in self.tree and overwrite == "F":
            return 412
        replaced = target in self.tree
        taken = {target + one[len(path) :]: self.tree[one] for one in self.below(path)}
        if method == "MOVE":
            for one in self.below(path):
                del self.tree[one]
        for one in self.below(target):
            del self.tree[one]
        self.tree.update(taken)
        return 204 if replaced else 201


def url(path: str) -> str:
    """A path of the bucket as a client sends it."""
    return f"/bucket/{quote(path)}"


def shown(reply: Reply) -> dict[str, bool]:
    """What a deep listing shows: path to whether it is a folder."""
    assert reply.status == 207, reply.text
    found = {}
    for one in ET.fromstring(reply.body):
        path = unquote(one.findtext("{DAV:}href") or "").removeprefix("/bucket").strip("/")
        found[path] = one.find(".//{DAV:}collection") is not None
    return found


class Runner:
    """One event loop and one server for all examples of a test."""

    def __init__(self) -> None:
        self.loop = asyncio.Runner()
        self._server: AbstractAsyncContextManager[WebdavServer] = serve(WebdavSettings(infinity_members=500))
        self.dav = self.loop.run(self._server.__aenter__())

    def close(self) -> None:
        """End both."""
        self.loop.run(self._server.__aexit__(None, None, None))
        self.loop.close()


@pytest.fixture
def runner() -> Iterator[Runner]:
    """A server in a loop that hypothesis can use again and again."""
    runner = Runner()
    yield runner
    runner.close()


async def step(dav: WebdavServer, model: Model, move: tuple[object, ...]) -> None:
    """Do the same to both and compare the outcome."""
    method, path = str(move[0]), str(move[1])
    if method == "PUT":
        data = move[2]
        assert isinstance(data, bytes)
        expected, reply = model.put(path, data), await dav("PUT", url(path), data)
    elif method == "MKCOL":
        expected, reply = model.mkcol(path), await dav("MKCOL", url(path))
    elif method == "DELETE":
        expected, reply = model.delete(path), await dav("DELETE", url(path))
    else:
        target, overwrite = str(move[2]), str(move[3])
        expected = model.relocate(method, path, target, overwrite)
        reply = await dav(method, url(path), Destination=url(target), Overwrite=overwrite)
    assert reply.status == expected, (move, reply.text)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_webdav_does_to_files_and_folders_what_the_model_does(runner: Runner, steps: list[tuple[object, ...]]) -> None:
    """Statuses, the whole tree and every file's bytes."""

    async def check() -> None:
        dav, model = runner.dav, Model()
        assert (await dav("DELETE", "/bucket")).status in (204, 404)
        assert (await dav("MKCOL", "/bucket")).status == 201
        for move in steps:
            await step(dav, model, move)
        tree = {path: data is None for path, data in model.tree.items()}
        assert shown(await dav("PROPFIND", "/bucket/", Depth="infinity")) == tree
        for path, data in model.tree.items():
            if data is not None:
                assert (await dav("GET", url(path))).body == data

    runner.loop.run(check())


METHODS = (
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "OPTIONS",
)
HEADER_NAMES = (
    *("Depth", "Overwrite", "Destination", "If", "If-Match", "If-None-Match", "If-Modified-Since", "Range", "If-Range"),
    *("Lock-Token", "Timeout", "Content-Type", "X-OC-Mtime", "Content-Range", "Expect", "Authorization"),
)
TARGETS = st.one_of(
    st.sampled_from(("/", "/bucket", "/bucket/", "/bucket/f", "/bucket/d/", "/bucket/d/x", "/other/f", "/bucket/%ff")),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(lambda text: f"/bucket/{text}"),
)
VALUES = st.one_of(
    st.sampled_from(
        ("0", "1", "infinity", "T", "F", "*", "/bucket/f", "/bucket/g", "bytes=0-1", "(<urn:x>)", "<urn:x>", "Second-1")
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)
BODIES = st.one_of(
    st.just(b""),
    st.binary(max_size=64),
    st.sampled_from(
        (
            b'<propfind xmlns="DAV:"><allprop/></propfind>',
            b'<propertyupdate xmlns="DAV:"><set><prop><a xmlns="u:">1</a></prop></set></propertyupdate>',
            b'<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope><locktype><write/></locktype></lockinfo>',
        )
    ),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(METHODS),
    target=TARGETS,
    headers=st.dictionaries(st.sampled_from(HEADER_NAMES), VALUES, max_size=4),
    body=BODIES,
)
def test_no_request_makes_the_server_fail(
    runner: Runner, method: str, target: str, headers: dict[str, str], body: bytes
) -> None:
    """An answer each time, and never one that says the fault is ours."""

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", runner.dav.port)
        fields = {"Authorization": basic(USER, PASSWORD), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        raw = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        writer.write(raw.encode() + body)
        async with asyncio.timeout(20):
            status = int((await reader.readline()).split()[1])
            await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        assert status < 500 or status == 502, (status, raw, body)

    runner.loop.run(send())
