"""Clients' request sequences as tables, and how they are sent."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.namespace import stream
from tests.support.webdav_server import Reply, WebdavServer

LOCK = (
    '<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype><D:owner><D:href>somebody</D:href></D:owner></D:lockinfo>"
)
XML = {"Content-Type": "text/xml; charset=utf-8"}


def asks(*names: str, **namespaces: str) -> str:
    """A PROPFIND's body for some properties: of ``DAV:`` without a prefix, of others with one of ``namespaces``."""
    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in namespaces.items())
    inner = "".join(f"<{name}/>" if ":" in name else f"<D:{name}/>" for name in names)
    body = f"<D:prop>{inner}</D:prop></D:propfind>"
    return f'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"{declared}>{body}'


def sets(inner: str, **namespaces: str) -> str:
    """A PROPPATCH's body that sets properties."""
    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in namespaces.items())
    return (
        f'<?xml version="1.0" encoding="utf-8"?><D:propertyupdate xmlns:D="DAV:"{declared}><D:set><D:prop>{inner}'
        "</D:prop></D:set></D:propertyupdate>"
    )


@dataclass(frozen=True)
class Step:
    """One request, and what must come back.

    In paths, bodies and headers, ``{token}`` is that of the last LOCK, ``{etag}`` the last entity tag (with quotes) and
    ``{url}`` the server.

    Attributes:
        method: Its method.
        path: As it is sent.
        status: Of the answer.
        body: What is sent.
        headers: Besides those of the client.
        chunked: Without a length.
        login: With a password.
        sees: Texts in the answer, headers included, whatever their case.
        lacks: Texts that are not in it.
    """

    method: str
    path: str
    status: int
    body: bytes | str = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False
    login: bool = True
    sees: Sequence[str] = ()
    lacks: Sequence[str] = ()


@dataclass(frozen=True)
class Client:
    """A client's work.

    Attributes:
        name: Whose, and which version.
        source: What it was recorded from, or where it can be checked.
        headers: Of every request.
        stories: What it does, each on a fresh server.
        leaves: Files that are there after a story, and what they hold.
    """

    name: str
    source: str
    headers: Mapping[str, str]
    stories: Mapping[str, Sequence[Step]]
    leaves: Mapping[str, Mapping[str, bytes]]


async def replay(dav: WebdavServer, client: Client, story: str) -> None:
    """Send a story's requests one behind the other, and look at what is left."""
    known = {"url": dav.url, "token": "", "etag": ""}
    for number, step in enumerate(client.stories[story], 1):
        reply = await _sent(dav, client, step, known)
        told = "\n".join(
            [*(f"{name}: {value}" for name, value in reply.headers.items()), reply.body.decode("utf-8", "replace")]
        )
        place = f"{client.name}, {story}, step {number}: {step.method} {step.path}"
        assert reply.status == step.status, f"{place}: {reply.status}, {told}"
        for text in step.sees:
            assert _filled(text, known).lower() in told.lower(), f"{place}: no {text!r} in {told}"
        for text in step.lacks:
            assert text not in told, f"{place}: {text!r} in {told}"
        token = re.search(r"<(urn:uuid:[^>]+)>", reply.headers.get("Lock-Token", ""))
        if step.method == "LOCK" and token is not None:
            known["token"] = token[1]
        known["etag"] = reply.headers.get("ETag", known["etag"])
    left = {key: data for key, data in await _left(dav) if not key.endswith("/")}
    assert left == client.leaves[story], f"{client.name}, {story}"
    assert not await dav.world.locks.find("/", below=True), f"{client.name}, {story}: a lock is left"


async def _sent(dav: WebdavServer, client: Client, step: Step, known: Mapping[str, str]) -> Reply:
    body = step.body.encode() if isinstance(step.body, str) else step.body
    fields = {name: _filled(value, known) for name, value in {**client.headers, **step.headers}.items()}
    sent = stream(body, 4096) if step.chunked else body or (b"" if step.method == "PUT" else None)
    named = {name.replace("-", "_"): value for name, value in fields.items()}
    auth = {} if step.login else {"auth": None}
    return await dav(step.method, _filled(step.path, known), sent, **auth, **named)  # type: ignore[arg-type]  # mypy mixes the two


def _filled(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


async def _left(dav: WebdavServer) -> list[tuple[str, bytes]]:
    found = []
    for key, _ in (await dav.world.objects.list(dav.who, "bucket")).entries:
        async with await dav.world.objects.open(dav.who, "bucket", key) as opened:
            found.append((key, b"".join([bytes(chunk) async for chunk in opened.chunks()])))
    return found
