"""An S3 server in this process, over services in memory, on a free port of the loopback, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from botocore.config import Config

from bench.sigv4 import Signer
from noisefs.adapters.inbound.s3 import S3Adapter, S3Settings
from noisefs.adapters.inbound.s3.website.endpoint import WebsiteEndpoint, WebsiteSettings
from noisefs.adapters.outbound.memory.clock import ManualClock
from noisefs.adapters.outbound.system.clock import SystemClock
from noisefs.core.ports.events import EventSink
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.gateway.config.schema import LimitsConfig
from noisefs.gateway.protocols import s3_malformed
from noisefs.gateway.requests import Proxies, ShortWay, front, front_shortly
from noisefs.gateway.server import BoundedServer, plainly
from tests.support.namespace import World

ACCESS_KEY = "AKIDALICE00000000001"
SECRET_KEY = "alice/secret+0000000000000000000000001"
OTHER_KEY = "AKIDBOB0000000000001"
OTHER_SECRET = "bob/secret+000000000000000000000000001"
REGION = "us-east-1"
SITES = "sites.example"


class RealTime(ManualClock):
    """A clock of the world that tells the time clients sign with, or one ahead of it."""

    ahead_s = 0

    def now_us(self) -> int:
        """The machine's, and what this one is ahead."""
        return SystemClock().now_us() + self.ahead_s * 1_000_000

    def monotonic_s(self) -> float:
        """The machine's."""
        return SystemClock().monotonic_s()


@dataclass
class S3Server:
    """A server under test."""

    world: World
    clock: RealTime
    port: int
    loop: asyncio.AbstractEventLoop
    adapter: S3Adapter
    website_port: int
    """Where web sites of buckets are; their domain is ``SITES``."""
    took_the_long_way: int = 0
    """Requests so far that were not answered on the short one."""
    clients: dict[str, Any] = field(default_factory=dict)  # Any: boto3 makes its clients at run time
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY, **config: Any) -> Any:
        """A boto3 client, path style, one attempt a request."""
        name = f"{access_key} {sorted(config.items())}"
        if name not in self.clients:
            self.clients[name] = boto3.client(
                "s3",
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret_key,
                config=Config(
                    **{"s3": {"addressing_style": "path"}, "retries": {"total_max_attempts": 1}, **config},
                    proxies={},
                ),
            )
        return self.clients[name]

    def signer(self, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Signer:
        """Signs requests that no SDK would send."""
        return Signer(access_key, secret_key, f"127.0.0.1:{self.port}")

    def close(self) -> None:
        """Let go of the clients' connections."""
        for client in self.clients.values():
            client.close()


class _Server(BoundedServer):
    """The gateway's server, which waits less long for the rest of a refused body."""

    def __call__(self) -> RequestHandler:
        connection = super().__call__()
        connection._lingering_time = 0.5
        return connection


@contextmanager
def serve(
    settings: S3Settings | None = None,
    limits: NamespaceLimits | None = None,
    sinks: Mapping[str, EventSink] | None = None,
) -> Iterator[S3Server]:
    """Serve until the block ends. Users: alice and bob, no administrators; alice's bucket is called ``bucket``."""
    ready = threading.Event()
    started: list[S3Server] = []
    failed: list[BaseException] = []

    async def run() -> None:
        clock = RealTime()
        world = World(limits=limits or NamespaceLimits(), clock=clock, sinks=sinks or {})
        await world.accounts.add_user("alice")
        await world.accounts.add_user("bob")
        alice = await world.accounts.add_key("alice", access_key_id=ACCESS_KEY, secret=SECRET_KEY)
        await world.accounts.add_key("bob", access_key_id=OTHER_KEY, secret=OTHER_SECRET)
        await world.buckets.create(alice.principal, "bucket")
        adapter = S3Adapter(
            accounts=world.accounts,
            buckets=world.buckets,
            objects=world.objects,
            uploads=world.uploads,
            versions=world.versions,
            renames=world.renames,
            bucket_rights=world.store.bucket_rights,
            object_acls=world.store.object_acls,
            identities=world.identities,
            user_policies=world.user_policies,
            roles=world.roles,
            tokens=world.tokens,
            named_keys=world.store.named_keys,
            tagging=world.store.tagging,
            access_logs=world.store.access_logs,
            notifications=world.store.notifications,
            telemetry=world.telemetry,
            clock=world.clock,
            settings=settings or S3Settings(),
            free_bytes=lambda: 1_000_000,
        )
        proxies = Proxies([])

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            started[0].took_the_long_way += 1
            return await adapter.handle(request)

        way = ShortWay(adapter.answer_at_once, adapter.begin_at_once, adapter.invites, adapter.begin_most_bytes)
        server = _Server(
            front("s3", handle, proxies, None),
            LimitsConfig(max_header_bytes=32_768),
            s3_malformed,
            front_shortly("s3", way, proxies, None),
        )
        runner = web.ServerRunner(server, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        website = WebsiteEndpoint(
            accounts=world.accounts,
            buckets=world.buckets,
            objects=world.objects,
            cors=adapter.cors,
            telemetry=world.telemetry,
            clock=world.clock,
            settings=WebsiteSettings(SITES),
        )
        pages = web.ServerRunner(
            _Server(front("website", website.handle, proxies, None), LimitsConfig(), plainly), shutdown_timeout=1
        )
        await pages.setup()
        await web.TCPSite(pages, "127.0.0.1", 0).start()
        await adapter.start()
        port, website_port = runner.addresses[0][1], pages.addresses[0][1]
        running = S3Server(world, clock, port, asyncio.get_running_loop(), adapter, website_port)
        started.append(running)
        ready.set()
        await running.ending.wait()
        await pages.cleanup()
        await runner.cleanup()
        await adapter.close()
        await world.close()

    def thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as exc:  # noqa: BLE001 - told to the test
            failed.append(exc)
        finally:
            ready.set()

    worker = threading.Thread(target=thread, name="s3-server")
    worker.start()
    ready.wait()
    try:
        if not started:
            raise failed[0]
        yield started[0]
    finally:
        if started:
            started[0].close()
            started[0].loop.call_soon_threadsafe(started[0].ending.set)
        worker.join()
    if failed:
        raise failed[0]
