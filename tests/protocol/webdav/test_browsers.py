"""Scripts of other origins, and pages of other sites."""

from collections.abc import AsyncIterator

import pytest

from noisefs.adapters.inbound.webdav import WebdavSettings
from tests.support.webdav_server import BUCKET, Reply, WebdavServer, basic, serve

_APP = "https://app.example"
_PATH = f"/{BUCKET}/k"
_HEADERS = "authorization, depth, Destination, overwrite, if, lock-token, timeout, x-oc-mtime, x-update-range"


def rule(*methods: str, origin: str = _APP, more: str = "") -> bytes:
    """A bucket's rules, as they are kept."""
    allowed = "".join(f"<AllowedMethod>{method}</AllowedMethod>" for method in methods)
    return f"<CORSRule><AllowedOrigin>{origin}</AllowedOrigin>{allowed}{more}</CORSRule>".encode()


@pytest.fixture
async def app() -> AsyncIterator[WebdavServer]:
    """A server whose settings let one app in."""
    async with serve(WebdavSettings(cors_origins=(_APP, "https://*.apps.example"))) as server:
        yield server


async def preflight(
    dav: WebdavServer, method: str, origin: str = _APP, headers: str = _HEADERS, path: str = _PATH
) -> Reply:
    """What a browser asks first: without credentials."""
    asked = {"Access_Control_Request_Method": method, "Access_Control_Request_Headers": headers}
    return await dav("OPTIONS", path, auth=None, Origin=origin, **asked)


@pytest.mark.parametrize("method", ["GET", "PUT", "PROPFIND", "MKCOL", "COPY", "MOVE", "LOCK", "PROPPATCH", "DELETE"])
async def test_a_preflight_is_answered_without_credentials(app: WebdavServer, method: str) -> None:
    """For WebDAV's methods and headers, from an origin of the settings."""
    for origin in (_APP, "https://one.apps.example"):
        reply = await preflight(app, method, origin)
        assert reply.status == 204
        assert reply.headers["Access-Control-Allow-Origin"] == origin
        assert reply.headers["Access-Control-Allow-Credentials"] == "true"
        assert method in reply.headers["Access-Control-Allow-Methods"].split(", ")
        assert reply.headers["Access-Control-Allow-Headers"] == _HEADERS
        assert "Origin" in reply.headers["Vary"]
    for origin in ("https://evil.example", "null", f"{_APP}.evil.example", "https://apps.example.evil"):
        refused = await preflight(app, method, origin)
        assert refused.status == 403
        assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize("size", [0, 10, 200_000])
async def test_scripts_may_read_answers(app: WebdavServer, size: int) -> None:
    """Of every method and status, whether they are streamed or whole; the 401 too, so that an app can ask."""
    assert (await app("PUT", _PATH, b"x" * size, Origin=_APP)).status == 201
    replies = [
        await app("GET", _PATH, Origin=_APP),
        await app("HEAD", _PATH, Origin=_APP),
        await app("GET", f"/{BUCKET}/", Origin=_APP),
        await app("PROPFIND", f"/{BUCKET}/", Origin=_APP, Depth="1"),
        await app("GET", f"/{BUCKET}/none", Origin=_APP),
        await app("GET", _PATH, Origin=_APP, auth=None),
        await app("OPTIONS", _PATH, Origin=_APP),
    ]
    assert [reply.status for reply in replies] == [200, 200, 200, 207, 404, 401, 200]
    for reply in replies:
        assert reply.headers["Access-Control-Allow-Origin"] == _APP
        exposed = reply.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"DAV", "ETag", "Lock-Token", "Location"} <= set(exposed)
    assert "Access-Control-Allow-Origin" not in (await app("GET", _PATH, Origin="https://evil.example")).headers
    assert "Access-Control-Allow-Origin" not in (await app("GET", _PATH)).headers


async def test_a_buckets_own_rules_count(dav: WebdavServer) -> None:
    """By what each method does in S3's words, in that bucket alone, also below a user's root."""
    await dav.world.buckets.configure(dav.who, BUCKET, "cors", rule("GET", "PUT"))
    allowed = {"GET", "PROPFIND", "PUT", "MKCOL", "COPY", "LOCK", "PROPPATCH"}
    for method in ("GET", "PROPFIND", "PUT", "MKCOL", "COPY", "LOCK", "PROPPATCH", "MOVE", "DELETE"):
        assert ((await preflight(dav, method)).status == 204) is (method in allowed), method
    assert (await preflight(dav, "GET", headers="x-unknown")).status == 403
    assert (await preflight(dav, "GET", path="/other/k")).status == 403
    assert (await preflight(dav, "GET", path="/")).status == 403
    assert (await preflight(dav, "GET", path=f"/remote.php/dav/files/alice{_PATH}")).status == 204
    await dav("PUT", _PATH, b"x")
    assert (await dav("GET", _PATH, Origin=_APP)).headers["Access-Control-Allow-Origin"] == _APP
    by_alias = await dav("GET", f"/remote.php/webdav{_PATH}", Origin=_APP)
    assert by_alias.headers["Access-Control-Allow-Origin"] == _APP
    await dav.world.accounts.set_root("alice", BUCKET)
    assert (await dav("GET", "/k", Origin=_APP)).headers["Access-Control-Allow-Origin"] == _APP


async def test_a_rule_for_all_lets_no_browsers_login_along(dav: WebdavServer) -> None:
    """As S3 has it: any origin, no credentials of the browser's."""
    more = "<AllowedHeader>x-mine</AllowedHeader><ExposeHeader>x-mine</ExposeHeader><MaxAgeSeconds>7</MaxAgeSeconds>"
    await dav.world.buckets.configure(dav.who, BUCKET, "cors", rule("GET", origin="*", more=more))
    reply = await preflight(dav, "PROPFIND", "https://any.example", "depth, X-Mine")
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers.get("Access-Control-Allow-Credentials") is None
    assert reply.headers["Access-Control-Max-Age"] == "7"
    assert "x-mine" in reply.headers["Access-Control-Expose-Headers"]


async def test_other_sites_pages_change_nothing(dav: WebdavServer) -> None:
    """A browser would send the user's password along; the share's own pages and other programs go on."""
    await dav("PUT", _PATH, b"x")
    foreign = [{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "https://evil.example"}]
    for headers in (*foreign, {"Origin": "null"}):
        for method in ("PUT", "DELETE", "MKCOL", "MOVE", "LOCK"):
            reply = await dav(method, _PATH, Destination=f"/{BUCKET}/l", **headers)
            assert reply.status == 403, (method, headers)
        assert (await dav("GET", _PATH, **headers)).status == 200
    own = [{"Sec_Fetch_Site": "same-origin", "Origin": dav.url}, {"Sec_Fetch_Site": "none"}, {"Origin": dav.url}, {}]
    for headers in own:
        assert (await dav("PUT", _PATH, b"y", **headers)).status == 204


async def test_an_app_that_may_changes_things(app: WebdavServer) -> None:
    """The settings let it, though it is another site."""
    assert (await app("PUT", _PATH, b"y", Origin=_APP, Sec_Fetch_Site="cross-site")).status == 201


async def test_a_bucket_s_rules_are_for_that_bucket(dav: WebdavServer) -> None:
    """Not for where something is moved to, nor for what only looks like it below a user's root or in an upload."""
    bob = await dav.world.accounts.principal_of_name("bob")
    for name in ("bobs", "remote.php"):
        await dav.world.buckets.create(bob, name)
        await dav.world.buckets.configure(bob, name, "cors", rule("GET", "PUT", "DELETE"))
    admin = await dav.world.accounts.add_user("admin", admin=True, password="correct horse")
    assert admin
    await dav("PUT", _PATH, b"mine")
    for method in ("COPY", "MOVE"):
        await dav("PUT", "/bobs/k", b"evil", auth=basic("admin", "correct horse"))
        reply = await dav(
            method, "/bobs/k", auth=basic("admin", "correct horse"), Origin=_APP, Destination=f"{dav.url}{_PATH}"
        )
        assert reply.status == 403
    assert (await dav("GET", _PATH)).body == b"mine"
    assert (await dav("MKCOL", "/remote.php/dav/uploads/alice/one", Origin=_APP)).status == 403
    await dav.world.accounts.set_root("alice", BUCKET)
    await dav("MKCOL", "/bobs")
    assert (await dav("PUT", "/bobs/k", b"x", Origin=_APP)).status == 403
    assert "Access-Control-Allow-Origin" not in (await dav("GET", "/k", Origin=_APP)).headers


async def test_any_origin_of_the_settings_has_no_browsers_login() -> None:
    """Scripts bring a login of their own; else every site could act for whoever visits it."""
    async with serve(WebdavSettings(cors_origins=("*",))) as dav:
        reply = await preflight(dav, "PUT", "https://any.example")
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in reply.headers
        assert (await dav("PUT", _PATH, b"x", Origin="https://any.example")).status == 201
