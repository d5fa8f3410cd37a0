"""A WebDAV server in this process, over services in memory, on a free port of the loopback."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

import aiohttp
import yarl
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from noisefs.adapters.inbound.webdav import WebdavAdapter, WebdavSettings
from noisefs.core.domain.requests import Principal
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.gateway.config.schema import LimitsConfig
from noisefs.gateway.requests import Proxies, ShortWay, front, front_shortly
from noisefs.gateway.server import BoundedServer, plainly
from tests.support.namespace import ACCOUNT, World

USER = "alice"
PASSWORD = "open sesame"
OTHER = "bob"
OTHER_PASSWORD = "swordfish"
BUCKET = "bucket"


def basic(user: str, password: str) -> str:
    """An ``Authorization`` header."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


BOB = basic(OTHER, OTHER_PASSWORD)


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass
class WebdavServer:
    """A server under test, and a client of it."""

    world: World
    who: Principal
    port: int
    session: aiohttp.ClientSession
    adapter: WebdavAdapter
    long_way: list[str]
    """Methods of the requests that did not take the short way."""

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    async def __call__(
        self,
        method: str,
        path: str,
        body: bytes | str | IO[bytes] | AsyncIterator[bytes] | None = None,
        *,
        auth: str | None = basic(USER, PASSWORD),
        **headers: str,
    ) -> Reply:
        """One request. ``path`` is sent as it is; header names have ``_`` for ``-``."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if auth is not None:
            fields["Authorization"] = auth
        url = yarl.URL(f"{self.url}{path}", encoded=True)
        async with self.session.request(
            method, url, data=body, headers=fields, skip_auto_headers=["Content-Type"], allow_redirects=False
        ) as response:
            return Reply(response.status, response.headers.copy(), await response.read())


class _Server(BoundedServer):
    """Waits less for bodies that nobody wants any more: tests leave some."""

    def __call__(self) -> RequestHandler:
        """A connection."""
        connection = super().__call__()
        connection._lingering_time = 1.0
        return connection


async def allow(dav: WebdavServer, *statements: dict[str, Any]) -> None:  # Any: JSON
    """Put a policy, as alice. Statements are about bob, the bucket and all in it unless they say something else."""
    arn = f"arn:aws:s3:::{BUCKET}"
    about = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{OTHER}"},
        "Resource": [arn, f"{arn}/*"],
    }
    document = {"Version": "2012-10-17", "Statement": [{**about, **one} for one in statements]}
    owner = await dav.world.accounts.principal_of_name("alice")
    await dav.world.store.bucket_rights.put_policy(owner, BUCKET, json.dumps(document).encode())


@asynccontextmanager
async def serve(
    settings: WebdavSettings | None = None, *, world: World | None = None, bucket: str = BUCKET
) -> AsyncIterator[WebdavServer]:
    """Serve. With a ``world`` of an earlier server this is its restart."""
    fresh = world is None
    world = world or World(limits=NamespaceLimits(max_locks=100))
    if fresh:
        await world.accounts.add_user(USER, password=PASSWORD)
        await world.accounts.add_user(OTHER, password=OTHER_PASSWORD)
    who = await world.accounts.principal_of_password(USER, PASSWORD)
    assert who is not None
    if fresh and bucket:
        await world.buckets.create(who, bucket)
    adapter = WebdavAdapter(
        free_bytes=lambda: 1_000_000,
        accounts=world.accounts,
        buckets=world.buckets,
        objects=world.objects,
        trees=world.trees,
        properties=world.properties,
        locks=world.locks,
        chunked=world.store.chunked,
        telemetry=world.telemetry,
        clock=world.clock,
        settings=settings or WebdavSettings(),
    )
    proxies = Proxies([])
    long_way: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        long_way.append(request.method)
        return await adapter.handle(request)

    server = _Server(
        front("webdav", handle, proxies, None),
        LimitsConfig(),
        plainly,
        front_shortly("webdav", ShortWay(adapter.answer_at_once, adapter.begin_at_once), proxies, None),
    )
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    await adapter.start()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        try:
            yield WebdavServer(world, who, port, session, adapter, long_way)
        finally:
            await runner.cleanup()
            await adapter.close()
