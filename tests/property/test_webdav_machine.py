"""WebDAV as a state machine: whatever clients do in whatever order, a model of a share has the same in it."""

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from noisefs.adapters.inbound.webdav import WebdavSettings
from tests.support.webdav_model import HeldLock, ShareModel
from tests.support.webdav_server import BUCKET, Reply, WebdavServer, serve

T = TypeVar("T")
D = "{DAV:}"
LOCK_S = 100

PATHS = st.lists(st.sampled_from(("a", "%é b")), min_size=1, max_size=3).map("/".join)
DATA = st.binary(max_size=3)
NAMES = st.sampled_from(("mood", "author"))
CHANGES = st.dictionaries(NAMES, st.none() | st.sampled_from(("1", "<&>")), min_size=1)
SLASH = st.sampled_from(("", "/"))
ASK = (
    '<D:propfind xmlns:D="DAV:" xmlns="u:"><D:prop><mood/><author/><D:resourcetype/><D:lockdiscovery/>'
    "<D:getcontentlength/></D:prop></D:propfind>"
)


class Bench:
    """One event loop and one server for all runs of the machine."""

    def __init__(self) -> None:
        self._loop = asyncio.Runner()
        self._server: AbstractAsyncContextManager[WebdavServer] = serve(WebdavSettings(infinity_members=500))
        self.dav = self.run(self._server.__aenter__())

    def run(self, work: Coroutine[Any, Any, T]) -> T:  # Any: a coroutine's other types are never used
        """The result of a coroutine."""
        return self._loop.run(work)

    def close(self) -> None:
        """End both."""
        self.run(self._server.__aexit__(None, None, None))
        self._loop.close()


class Share(RuleBasedStateMachine):
    """Requests of clients who know all tokens or none of them."""

    bench: Bench
    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.model = ShareModel()
        self.now_s = 0.0
        self.bench.dav.world.clock.advance(10 * LOCK_S)  # no lock is left of a run that failed
        self.ask("DELETE", "")
        assert self.ask("MKCOL", "").status == 201

    def ask(self, method: str, path: str, body: bytes | str = b"", **headers: str) -> Reply:
        """One request about a path of the bucket."""
        return self.bench.run(self.bench.dav(method, url(path), body, **headers))

    def sent(self, keys: bool) -> tuple[dict[str, str], set[str]]:
        """The header that submits all tokens or none, and those tokens. It holds, whatever is locked."""
        held = set(self.model.locks) if keys else set()
        given = " ".join(f"(<{token}>)" for token in sorted(held))
        return ({"If": f"{given} (Not <DAV:no-lock>)"} if held else {}), held

    def judge(self, reply: Reply, refused: set[int]) -> None:
        """The server's answer is one that the model allows."""
        assert reply.status in (refused or {self.model.done}), (reply.status, reply.text, refused, self.model)

    @rule(path=PATHS, data=DATA, keys=st.booleans())
    def put(self, path: str, data: bytes, keys: bool) -> None:
        headers, held = self.sent(keys)
        self.judge(self.ask("PUT", path, data, **headers), self.model.put(path, data, held))

    @rule(path=PATHS, keys=st.booleans(), slash=SLASH)
    def mkcol(self, path: str, keys: bool, slash: str) -> None:
        headers, held = self.sent(keys)
        self.judge(self.ask("MKCOL", path + slash, **headers), self.model.mkcol(path, held))

    @rule(path=PATHS, keys=st.booleans())
    def delete(self, path: str, keys: bool) -> None:
        headers, held = self.sent(keys)
        slash = "/" if keys and self.model.tree.get(path, b"") is None else ""
        self.judge(self.ask("DELETE", path + slash, **headers), self.model.delete(path, held))

    @rule(path=PATHS, goal=PATHS, keys=st.booleans(), move=st.booleans(), overwrite=st.sampled_from("TF"))
    def relocate(self, path: str, goal: str, keys: bool, move: bool, overwrite: str) -> None:
        headers, held = self.sent(keys)
        reply = self.ask("MOVE" if move else "COPY", path, Destination=url(goal), Overwrite=overwrite, **headers)
        refused = self.model.relocate(path, goal, held, move=move, overwrite=overwrite == "T", deep=True)
        self.judge(reply, refused)

    @rule(path=PATHS, goal=PATHS, keys=st.booleans())
    def copy_without_members(self, path: str, goal: str, keys: bool) -> None:
        headers, held = self.sent(keys)
        reply = self.ask("COPY", path, Destination=url(goal), Depth="0", **headers)
        self.judge(reply, self.model.relocate(path, goal, held, move=False, overwrite=True, deep=False))

    @rule(path=PATHS, changes=CHANGES, keys=st.booleans(), spoiled=st.booleans())
    def proppatch(self, path: str, changes: dict[str, str | None], keys: bool, spoiled: bool) -> None:
        headers, held = self.sent(keys)
        steps = "".join(
            f"<D:remove><D:prop><{name}/></D:prop></D:remove>"
            if value is None
            else f"<D:set><D:prop><{name}>{escaped(value)}</{name}></D:prop></D:set>"
            for name, value in changes.items()
        )
        if spoiled:
            steps += "<D:set><D:prop><D:getetag>x</D:getetag></D:prop></D:set>"
        reply = self.ask(
            "PROPPATCH", path, f'<D:propertyupdate xmlns:D="DAV:" xmlns="u:">{steps}</D:propertyupdate>', **headers
        )
        self.judge(reply, self.model.note(path, {} if spoiled else changes, held))
        if reply.status == 207:
            assert ("HTTP/1.1 424" in reply.text) is spoiled, reply.text

    @rule(
        target=tokens,
        path=PATHS,
        keys=st.booleans(),
        scope=st.sampled_from(("exclusive", "shared")),
        depth=st.sampled_from(("0", "infinity")),
    )
    def lock(self, path: str, keys: bool, scope: str, depth: str) -> Any:  # Any: hypothesis' own
        headers, held = self.sent(keys)
        body = (
            f'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:{scope}/></D:lockscope>'
            "<D:locktype><D:write/></D:locktype></D:lockinfo>"
        )
        reply = self.ask("LOCK", path, body, Depth=depth, Timeout=f"Second-{LOCK_S}", **headers)
        exclusive, deep = scope == "exclusive", depth == "infinity"
        refused = self.model.lock(path, held, exclusive=exclusive, deep=deep)
        self.judge(reply, refused)
        if refused:
            return multiple()
        token = reply.headers["Lock-Token"].strip("<>")
        assert token not in self.model.locks
        self.model.locks[token] = HeldLock(token, path, exclusive, deep, self.now_s + LOCK_S)
        return token

    @rule(token=consumes(tokens))
    def unlock(self, token: str) -> None:
        lock = self.model.locks.pop(token, None)
        if lock is not None:
            assert self.ask("UNLOCK", lock.path, Lock_Token=f"<{token}>").status == 204

    @rule(token=tokens)
    def refresh(self, token: str) -> None:
        lock = self.model.locks.get(token)
        if lock is not None:
            reply = self.ask("LOCK", lock.path, If=f"(<{token}>)", Timeout=f"Second-{LOCK_S}")
            assert reply.status == 200, reply.text
            self.model.locks[token] = HeldLock(token, lock.path, lock.exclusive, lock.deep, self.now_s + LOCK_S)

    @rule(seconds=st.sampled_from((1, LOCK_S / 2)))
    def wait(self, seconds: float) -> None:
        self.bench.dav.world.clock.advance(seconds)
        self.now_s += seconds
        self.model.pass_time(self.now_s)

    @invariant()
    def the_share_is_as_the_model_says(self) -> None:
        """Names, kinds, sizes, properties and locks, from one listing."""
        reply = self.ask("PROPFIND", "", ASK, Depth="infinity")
        assert reply.status == 207, reply.text
        shown = {}
        for one in ET.fromstring(reply.body):
            path = unquote(one.findtext(f"{D}href") or "").removeprefix(f"/{BUCKET}").strip("/")
            size = one.findtext(f".//{D}getcontentlength")
            found = next(stat for stat in one.iterfind(f"{D}propstat") if "200" in (stat.findtext(f"{D}status") or ""))
            noted = {name: found.findtext(f".//{{u:}}{name}") for name in ("mood", "author")}
            shown[path] = (
                None if one.find(f".//{D}collection") is not None else int(size or 0),
                {name: text for name, text in noted.items() if text is not None},
                {href.text for href in one.iterfind(f".//{D}locktoken/{D}href")},
            )
        assert shown == {
            path: (None if data is None else len(data), self.model.noted.get(path, {}), self.model.covering(path))
            for path, data in self.model.tree.items()
        }

    def teardown(self) -> None:
        """Every byte is the one that was written, and no lock is left for the next run."""
        for path, data in self.model.tree.items():
            if data is not None:
                assert self.ask("GET", path).body == data
        self.bench.dav.world.clock.advance(10 * LOCK_S)


def url(path: str) -> str:
    """A path of the bucket as a client sends it."""
    return f"/{BUCKET}/{quote(path)}"


def escaped(text: str) -> str:
    """Text in XML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def test_a_share_is_what_its_model_is() -> None:
    """PUT, MKCOL, DELETE, COPY, MOVE, PROPPATCH, LOCK, refreshes, UNLOCK and expiry, with and without tokens."""
    bench = Bench()
    try:
        machine = type("BoundShare", (Share,), {"bench": bench})
        run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
    finally:
        bench.close()
