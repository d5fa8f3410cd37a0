"""How Nextcloud's clients sign in: a page in a browser, and a password of their own in the end."""

import json
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import pytest

from noisefs.adapters.inbound.webdav import WebdavSettings
from noisefs.core.domain.login_flow import LASTS_US
from noisefs.core.services.login_flows import MOST_OF_CLIENT
from tests.support.browser import chromium
from tests.support.webdav_server import OTHER, PASSWORD, USER, Reply, WebdavServer, basic, serve

PHONE = "Mozilla/5.0 (Android) Nextcloud-android/3.30.0"


async def begin(dav: WebdavServer, path: str = "/index.php/login/v2") -> Any:  # Any: JSON
    """A flow, as a phone begins it."""
    reply = await dav("POST", path, auth=None, User_Agent=PHONE)
    assert reply.status == 200
    return json.loads(reply.body)


async def submit(dav: WebdavServer, url: str, name: str = USER, secret: str = PASSWORD, **headers: str) -> Reply:
    """What a person does on the page."""
    form = urlencode({"name": name, "secret": secret})
    kind = "application/x-www-form-urlencoded"
    return await dav("POST", urlsplit(url).path, form, auth=None, Content_Type=kind, **headers)


async def poll(dav: WebdavServer, flow: Any, token: str = "") -> Reply:
    """The phone asks."""
    form = urlencode({"token": token or flow["poll"]["token"]})
    return await dav(
        "POST",
        urlsplit(flow["poll"]["endpoint"]).path,
        form,
        auth=None,
        Content_Type="application/x-www-form-urlencoded",
    )


@pytest.mark.parametrize("path", ["/index.php/login/v2", "/login/v2"])
async def test_a_phone_signs_in(dav: WebdavServer, path: str) -> None:
    """It gets a password of its own, once, with which it finds its user's files; and gives it back in the end."""
    flow = await begin(dav, path)
    assert (await poll(dav, flow)).status == 404
    page = await dav("GET", urlsplit(flow["login"]).path, auth=None)
    assert (page.status, page.headers["Cache-Control"]) == (200, "no-store")
    assert "Nextcloud-android" in page.text
    assert "script" not in page.headers["Content-Security-Policy"].replace("default-src 'none'", "")
    assert (await submit(dav, flow["login"])).status == 200
    collected = await poll(dav, flow)
    assert (collected.status, collected.headers["Cache-Control"]) == (200, "no-store")
    login = json.loads(collected.body)
    assert (login["server"], login["loginName"]) == (dav.url, USER)
    assert (await poll(dav, flow)).status == 404
    assert (await submit(dav, flow["login"])).status == 404
    phone = basic(USER, login["appPassword"])
    user = await dav("GET", "/ocs/v1.php/cloud/user?format=json", auth=phone)
    assert json.loads(user.body)["ocs"]["data"]["id"] == USER
    assert (await dav("PROPFIND", f"/remote.php/dav/files/{USER}/", auth=phone, Depth="1")).status == 207
    assert [row.name for row in await dav.world.app_passwords.list(USER)] == [PHONE]
    assert (await dav("DELETE", "/ocs/v2.php/core/apppassword", auth=phone, OCS_APIRequest="true")).status == 200
    assert (await dav("PROPFIND", "/", auth=phone, Depth="0")).status == 401


async def test_a_wrong_secret_signs_nobody_in(dav: WebdavServer) -> None:
    """The page says so, and takes another try; wrong ones are counted as wrong logins are."""
    flow = await begin(dav)
    for name, secret in ((USER, "wrong"), (OTHER, PASSWORD), ("", ""), (USER, "")):
        refused = await submit(dav, flow["login"], name, secret)
        assert (refused.status, "Wrong name" in refused.text) == (403, True)
        assert "WWW-Authenticate" not in refused.headers
    assert (await poll(dav, flow)).status == 404
    assert (await submit(dav, flow["login"])).status == 200
    assert (await poll(dav, flow)).status == 200


async def test_guessing_on_the_page_is_held_up() -> None:
    """As everywhere."""
    async with serve(WebdavSettings(wrong_logins_a_minute=3)) as dav:
        flow = await begin(dav)
        tried = [(await submit(dav, flow["login"], USER, f"guess {number}")).status for number in range(5)]
        assert tried == [403, 403, 403, 429, 429]


async def test_a_device_lets_no_other_in(dav: WebdavServer) -> None:
    """Its password could be narrowed, or be about to be revoked."""
    for read_only in (False, True):
        password = await dav.world.app_passwords.add(USER, f"old {read_only}", read_only=read_only)
        flow = await begin(dav)
        assert (await submit(dav, flow["login"], USER, password)).status == 403
        made = await dav("GET", "/ocs/v2.php/core/getapppassword", auth=basic(USER, password), OCS_APIRequest="true")
        assert made.status == 403


async def test_a_password_made_without_a_page(dav: WebdavServer) -> None:
    """By a client that was given the user's own."""
    path = "/ocs/v2.php/core/getapppassword?format=json"
    assert (await dav("GET", path)).status == 403
    made = await dav("GET", path, OCS_APIRequest="true", User_Agent="desktop")
    password = json.loads(made.body)["ocs"]["data"]["apppassword"]
    assert (await dav("PROPFIND", "/", auth=basic(USER, password), Depth="0")).status == 207
    assert (await dav("DELETE", "/ocs/v2.php/core/apppassword", OCS_APIRequest="true")).status == 403


async def test_a_flow_is_over_after_a_while(dav: WebdavServer) -> None:
    """Whether somebody confirmed it or not."""
    early, late = await begin(dav), await begin(dav)
    assert (await submit(dav, early["login"])).status == 200
    dav.world.clock.advance(LASTS_US / 1e6)
    assert (await poll(dav, early)).status == 404
    assert (await dav("GET", urlsplit(late["login"]).path, auth=None)).status == 404
    assert (await submit(dav, late["login"])).status == 404
    assert await dav.world.app_passwords.list(USER) == []


async def test_how_many_may_begin(dav: WebdavServer) -> None:
    """Of one address; those that are over make room."""
    for _ in range(MOST_OF_CLIENT):
        await begin(dav)
    refused = await dav("POST", "/index.php/login/v2", auth=None)
    assert (refused.status, "Retry-After" in refused.headers) == (429, True)
    dav.world.clock.advance(LASTS_US / 1e6)
    await begin(dav)


async def test_devices_of_one_kind(dav: WebdavServer) -> None:
    """Each has a name of its own."""
    for _ in range(3):
        flow = await begin(dav)
        await submit(dav, flow["login"])
        assert (await poll(dav, flow)).status == 200
    assert [row.name for row in await dav.world.app_passwords.list(USER)] == [PHONE, f"{PHONE} (2)", f"{PHONE} (3)"]


async def test_no_other_token_will_do(dav: WebdavServer) -> None:
    """Neither the page's for the device's, nor none, nor one that nobody has."""
    flow = await begin(dav)
    page = flow["login"].rpartition("/")[2]
    await submit(dav, flow["login"])
    for token in (page, "0" * 64, "\u00e4", " "):
        assert (await poll(dav, flow, token)).status == 404
    assert (await dav("POST", "/login/v2/poll", auth=None)).status == 404
    assert (await dav("POST", "/login/v2/poll", "x" * 5000, auth=None)).status == 413
    asked = await dav(
        "POST", "/login/v2/poll", json.dumps(flow["poll"]), auth=None, Content_Type="application/json; charset=utf-8"
    )
    assert asked.status == 200


async def test_a_token_in_the_url(dav: WebdavServer) -> None:
    """Where some clients put it."""
    flow = await begin(dav)
    await submit(dav, flow["login"])
    assert (await dav("POST", f"/login/v2/poll?token={flow['poll']['token']}", auth=None)).status == 200


async def test_a_page_of_another_site_signs_nobody_in(dav: WebdavServer) -> None:
    """Though it would have to know the secret."""
    flow = await begin(dav)
    assert (await submit(dav, flow["login"], Origin="https://evil.example")).status == 403
    assert (await submit(dav, flow["login"], Origin="null", Sec_Fetch_Site="cross-site")).status == 403
    assert (await poll(dav, flow)).status == 404
    assert (await submit(dav, flow["login"], Origin="null", Sec_Fetch_Site="same-origin")).status == 200


async def test_what_a_device_calls_itself_is_text(dav: WebdavServer) -> None:
    """On the page that a person trusts."""
    reply = await dav("POST", "/index.php/login/v2", auth=None, User_Agent="<script>alert(1)</script>\"'")
    page = await dav("GET", urlsplit(json.loads(reply.body)["login"]).path, auth=None)
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_the_older_flow(dav: WebdavServer) -> None:
    """One page in the client's own browser, which ends in a URL that only the client understands."""
    page = await dav("GET", "/index.php/login/flow", auth=None, User_Agent=PHONE)
    assert page.status == 200
    assert (await submit(dav, "/index.php/login/flow", secret="wrong", User_Agent=PHONE)).status == 403
    sent = await submit(dav, "/index.php/login/flow", User_Agent=PHONE)
    assert sent.status == 303
    server, user, password = sent.headers["Location"].removeprefix("nc://login/").split("&")
    assert (server, user) == (f"server:{dav.url}", f"user:{USER}")
    phone = basic(USER, unquote(password.removeprefix("password:")))
    assert (await dav("PROPFIND", "/", auth=phone, Depth="0")).status == 207


async def test_the_url_that_is_configured() -> None:
    """Behind a proxy that the requests say nothing of."""
    async with serve(WebdavSettings(public_url="https://files.example")) as dav:
        flow = await begin(dav)
        assert flow["login"].startswith("https://files.example/index.php/login/v2/flow/")
        assert flow["poll"]["endpoint"] == "https://files.example/index.php/login/v2/poll"


async def test_paths_beside_them_belong_to_buckets(dav: WebdavServer) -> None:
    """A bucket may be called login."""
    assert (await dav("MKCOL", "/login")).status == 201
    assert (await dav("MKCOL", "/login/v2")).status == 201
    assert (await dav("PUT", "/login/v2/poll", b"mine")).status == 201
    assert (await dav("GET", "/login/v2/poll")).body == b"mine"
    assert (await dav("GET", "/index.php/204", auth=None)).status == 204
    assert (await dav("GET", "/index.php/205", auth=None)).status == 401


async def test_what_is_told_about_a_user(dav: WebdavServer) -> None:
    """By their name too, and of nobody else."""
    own = await dav("GET", f"/ocs/v2.php/cloud/users/{USER}?format=json")
    assert json.loads(own.body)["ocs"]["data"]["id"] == USER
    assert (await dav("GET", f"/ocs/v2.php/cloud/users/{OTHER}?format=json")).status == 404


@pytest.mark.needs("chromium")
async def test_the_page_in_a_browser(dav: WebdavServer) -> None:
    """Filled in and sent under its own policy, about which the browser has nothing to complain."""
    flow = await begin(dav)
    async with chromium({}) as tab:
        await tab.open(flow["login"])
        assert await tab.run("getComputedStyle(document.body).maxWidth") != "none"  # its style counts
        fill = "".join(
            f"document.querySelector('[name={field}]').value = {json.dumps(value)};"
            for field, value in (("name", USER), ("secret", PASSWORD))
        )
        await tab.reloading(f"{fill} document.querySelector('button').click()")
        assert "Signed in" in await tab.run("document.body.textContent")
        assert [text for text in await tab.told() if "favicon" not in text and "401" not in text] == []
    assert (await poll(dav, flow)).status == 200
