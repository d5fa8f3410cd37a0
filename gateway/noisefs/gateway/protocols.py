"""The protocols of a server, over one store: which adapter answers on which listener."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web

from noisefs.adapters.inbound.admin.http import AdminAdapter
from noisefs.adapters.inbound.admin.operations.operation import Administered
from noisefs.adapters.inbound.admin.operations.table import OPERATIONS
from noisefs.adapters.inbound.admin.socket import AdminSocket
from noisefs.adapters.inbound.s3 import S3Adapter, S3Settings
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.website.endpoint import WebsiteEndpoint, WebsiteSettings
from noisefs.adapters.inbound.webdav import WebdavAdapter, WebdavSettings
from noisefs.adapters.outbound.prometheus.telemetry import CONTENT_TYPE, PrometheusTelemetry
from noisefs.core.domain.caching.asker import Protocol
from noisefs.gateway.config.schema import Config
from noisefs.gateway.degraded import degraded_of
from noisefs.gateway.folder import Folder
from noisefs.gateway.health import checks_of
from noisefs.gateway.metrics import measure_all
from noisefs.gateway.requests import Handle, ShortWay


@dataclass(frozen=True, slots=True)
class Protocols:
    """How each listener's requests are answered."""

    s3: Handle
    s3_shortly: ShortWay
    webdav: Handle
    webdav_shortly: ShortWay
    website: Handle
    admin: AdminAdapter
    socket: AdminSocket


@asynccontextmanager
async def protocols_over(
    folder: Folder, opened: Administered, config: Config, telemetry: PrometheusTelemetry
) -> AsyncIterator[Protocols]:
    """The adapters, started; closed at the end, when no request is under way any more."""
    store = opened.store
    s3_objects = store.objects.asked_by(Protocol.S3)
    webdav = WebdavAdapter(
        accounts=store.accounts,
        buckets=store.buckets,
        objects=store.objects.asked_by(Protocol.WEBDAV),
        trees=store.trees,
        properties=store.properties,
        locks=store.locks,
        chunked=store.chunked,
        telemetry=telemetry,
        clock=store.clock,
        settings=webdav_settings(config),
        free_bytes=store.packs.free_bytes,
    )
    s3 = S3Adapter(
        accounts=store.accounts,
        buckets=store.buckets,
        objects=s3_objects,
        uploads=store.uploads,
        bucket_rights=store.bucket_rights,
        object_acls=store.object_acls,
        identities=store.identities,
        user_policies=store.user_policies,
        roles=store.roles,
        tokens=store.tokens,
        named_keys=store.named_keys,
        versions=store.versions,
        renames=store.renames,
        tagging=store.tagging,
        access_logs=store.access_logs,
        notifications=store.notifications,
        telemetry=telemetry,
        clock=store.clock,
        settings=s3_settings(config),
        free_bytes=store.packs.free_bytes,
    )
    website = WebsiteEndpoint(
        accounts=store.accounts,
        buckets=store.buckets,
        objects=s3_objects,
        cors=s3.cors,
        telemetry=telemetry,
        clock=store.clock,
        settings=website_settings(config),
    )
    token = config.admin.token
    peers = {worker: folder.worker_socket(worker) for worker in range(1, config.workers)}
    admin = AdminAdapter(
        checks=checks_of(store),
        metrics=partial(measure_all, store, telemetry, peers),
        metrics_type=CONTENT_TYPE,
        token=None if token is None else token.get_secret_value(),
        degraded=None if opened.network is None else degraded_of(opened.network),
    )
    await webdav.start()
    await s3.start()
    try:
        yield Protocols(
            s3.handle,
            ShortWay(s3.answer_at_once, s3.begin_at_once, s3.invites, s3.begin_most_bytes),
            webdav.handle,
            ShortWay(webdav.answer_at_once, webdav.begin_at_once),
            website.handle,
            admin,
            AdminSocket(opened, OPERATIONS),
        )
    finally:
        await s3.close()
        await webdav.close()


def s3_malformed(status: int, text: str) -> web.Response:
    """S3's answer to what could not be read as a request: always 400, in XML."""
    error = S3Error("InvalidRequest", f"The request could not be read as HTTP: {status} {text}.")
    name = os.urandom(8).hex().upper()
    return web.Response(
        status=error.status,
        body=error.xml("/", name, ""),
        content_type="application/xml",
        headers={"x-amz-request-id": name},
    )


def s3_settings(config: Config) -> S3Settings:
    """What the configuration says about S3."""
    return S3Settings(
        region=config.s3.region,
        virtual_host_domain=config.s3.domain,
        max_put_bytes=config.s3.max_put_bytes,
        ownership=config.s3.ownership,
        sosapi=config.s3.sosapi,
        signature_v2=config.s3.signature_v2,
        log_flush_s=config.s3.log_flush_s,
        body_timeout_s=config.limits.body_timeout_s,
    )


def website_settings(config: Config) -> WebsiteSettings:
    """What the configuration says about web sites."""
    return WebsiteSettings(
        domain=config.website.domain, region=config.s3.region, body_timeout_s=config.limits.body_timeout_s
    )


def webdav_settings(config: Config) -> WebdavSettings:
    """What the configuration says about WebDAV."""
    public = config.public_urls.webdav
    return WebdavSettings(
        realm=config.webdav.realm,
        public_hosts=() if public is None else (urlsplit(public).netloc,),
        public_url=public or "",
        max_xml_bytes=config.webdav.max_xml_bytes,
        body_timeout_s=config.limits.body_timeout_s,
        threads=config.webdav.threads,
        infinity_members=config.webdav.infinity_members,
        max_lock_s=config.webdav.max_lock_s,
        digest=config.webdav.digest,
        cors_origins=tuple(config.webdav.cors_origins),
        versions_name=config.webdav.versions_name,
        trash_name=config.webdav.trash_name,
        wrong_logins_a_minute=config.webdav.wrong_logins_a_minute,
    )
