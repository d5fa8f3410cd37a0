"""A collection in a browser: what it shows, what it lets a user do, and what no file in it can do."""

import re
from urllib.parse import quote, unquote

import pytest
from lxml import html

from noisefs.adapters.inbound.webdav import WebdavSettings
from noisefs.core.domain.requests import Attributes
from tests.support.browser import chromium
from tests.support.namespace import stream
from tests.support.webdav_server import BUCKET, PASSWORD, USER, Reply, WebdavServer, basic, serve

_HOSTILE = [
    "<script>alert(1)<",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt; &amp;",
    "javascript:alert(1)",
    "\u202egpj.exe",
    "a b%20c#d?e;f+g",
    "new\nline\ttab",
    "{curly} %s {0}",
    "ä漢字😀",
]


def page_of(reply: Reply) -> html.HtmlElement:
    """The page as a browser reads it."""
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    return html.document_fromstring(reply.body, parser=html.HTMLParser(encoding="utf-8"))


def policy_of(reply: Reply) -> dict[str, str]:
    """The directives of a policy."""
    parts = reply.headers["Content-Security-Policy"].split(";")
    return {name: value for name, _, value in (part.strip().partition(" ") for part in parts)}


@pytest.mark.parametrize("accept", [None, "text/html", "*/*"])
async def test_names_are_text_whatever_they_are(dav: WebdavServer, accept: str | None) -> None:
    """Each is shown as it is, leads to its file, and is no markup."""
    for name in _HOSTILE:
        await dav.world.objects.put(dav.who, BUCKET, name, stream(name.encode()), Attributes())
        await dav.world.trees.make(dav.who, BUCKET, f"{name} dir/")
    page = page_of(await dav("GET", f"/{BUCKET}/", **({} if accept is None else {"Accept": accept})))
    rows = page.xpath("//tbody/tr")
    shown = {row.xpath("string(td[1]/bdi/a)"): row.xpath("string(td[1]/bdi/a/@href)") for row in rows}
    assert {unquote(url) for url in shown.values()} == {f"/{BUCKET}/{name}" for name in _HOSTILE} | {
        f"/{BUCKET}/{name} dir/" for name in _HOSTILE
    }
    plain = [name for name in _HOSTILE if "\n" not in name]
    assert {*plain, *(f"{name} dir/" for name in plain)} <= set(shown)
    assert len(page.xpath("//script")) == 1
    assert page.xpath("//img | //b | //*[@onerror] | //*[@onmouseover] | //*[@style]") == []
    assert all(url.startswith("/") for url in page.xpath("//a/@href | //script/@src | //link/@href"))
    for url in shown.values():
        if not url.endswith("/"):
            assert (await dav("GET", url)).body == unquote(url).removeprefix(f"/{BUCKET}/").encode()


async def test_only_our_own_script_runs(dav: WebdavServer) -> None:
    """By a nonce that is new each time; no referrer, no sniffing, no frame, nothing kept."""
    replies = [await dav("GET", f"/{BUCKET}/") for _ in range(2)]
    nonces = set()
    for reply in replies:
        policy = policy_of(reply)
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        nonce = re.fullmatch("'nonce-([\\w-]{20,})'", policy["script-src"])
        assert nonce is not None
        nonces.add(nonce[1])
        (script,) = page_of(reply).xpath("//script")
        assert (script.get("nonce"), script.text) == (nonce[1], None)
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.headers["Cache-Control"] == "no-store"
        asset = await dav("GET", script.get("src"))
        assert (asset.status, asset.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
        assert b"innerHTML" not in asset.body
        assert (await dav("GET", script.get("src"), auth=None)).status == 401
    assert len(nonces) == 2


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("x.html", "text/html"), ("x.svg", "image/svg+xml"), ("x.xml", "application/xml"), ("x.js", "text/javascript")],
)
async def test_files_keep_their_type_and_run_nothing(dav: WebdavServer, name: str, content_type: str) -> None:
    """Other clients need the right type; a browser gets a sandbox. Also for a small file, and one of the past."""
    await dav.world.versions.configure(dav.who, BUCKET, enabled=True)
    await dav("PUT", f"/{BUCKET}/{name}", b"<script>alert(1)</script>")
    await dav("COPY", f"/{BUCKET}/{name}", Destination=f"/{BUCKET}/gone-{name}")
    await dav("DELETE", f"/{BUCKET}/gone-{name}")
    for path in (name, f".trash/gone-{name}"):
        for headers in ({}, {"Accept": "text/html"}, {"Range": "bytes=0-3"}):
            reply = await dav("GET", f"/{BUCKET}/{path}", **headers)
            assert reply.headers["Content-Type"].partition(";")[0] == content_type
            policy = policy_of(reply)
            assert policy["sandbox"] == ""
            assert policy["default-src"] == "'none'"
            assert "script-src" not in policy
            assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_links_are_those_of_who_looks(dav: WebdavServer) -> None:
    """Below a user's root and behind an alias too."""
    await dav("MKCOL", f"/{BUCKET}/d")
    await dav("PUT", f"/{BUCKET}/d/f", b"x")
    base = "/remote.php/dav/files/alice"
    by_alias = page_of(await dav("GET", f"{base}/{BUCKET}/d/"))
    assert by_alias.xpath("//body/@data-base") == [f"{base}/{BUCKET}/d/"]
    assert f"{base}/{BUCKET}/d/f" in by_alias.xpath("//a/@href")
    await dav.world.accounts.set_root(USER, BUCKET)
    rooted = page_of(await dav("GET", "/d/"))
    assert {"/", "/d/f"} <= set(rooted.xpath("//a/@href"))
    top = page_of(await dav("GET", "/"))
    assert ".." not in top.xpath("//nav/a/text()")
    assert (await dav("GET", top.xpath("//script/@src")[0])).status == 200


async def test_it_offers_what_can_be_done(dav: WebdavServer) -> None:
    """No upload among buckets or in the past; a way to deleted files where versions are kept, and back."""
    root = page_of(await dav("GET", "/"))
    assert root.xpath("//input[@type='file'] | //button") == []
    assert len(page_of(await dav("GET", f"/{BUCKET}/")).xpath("//input[@type='file']")) == 1
    await dav.world.versions.configure(dav.who, BUCKET, enabled=True)
    await dav("PUT", f"/{BUCKET}/f", b"x")
    await dav("DELETE", f"/{BUCKET}/f")
    bucket = page_of(await dav("GET", f"/{BUCKET}/"))
    assert {f"/{BUCKET}/.trash/", f"/{BUCKET}/.versions/"} <= set(bucket.xpath("//nav/a/@href"))
    trash = page_of(await dav("GET", f"/{BUCKET}/.trash/"))
    assert trash.xpath("//input") == []
    (restore,) = trash.xpath("//button[text()='Restore']")
    assert (restore.get("data-href"), restore.get("data-target")) == (f"/{BUCKET}/.trash/f", f"/{BUCKET}/f")
    assert page_of(await dav("GET", f"/{BUCKET}/.versions/f/")).xpath("//button") == []


async def test_a_long_page_is_streamed() -> None:
    """Whole, row by row."""
    async with serve(WebdavSettings(list_page=10)) as dav:
        for number in range(95):
            await dav.world.objects.put(dav.who, BUCKET, f"{number:03}", stream(b""), Attributes())
        page = page_of(await dav("GET", f"/{BUCKET}/"))
        assert page.xpath("//tbody/tr/td[1]/bdi/a/text()") == [f"{number:03}" for number in range(95)]


@pytest.mark.needs("chromium")
async def test_people_use_it(dav: WebdavServer) -> None:
    """Upload, replace, make a folder, delete, restore: in a real browser, under the policy, by hostile names."""
    await dav.world.versions.configure(dav.who, BUCKET, enabled=True)
    name, folder = '<img src=x onerror="window.bad=1">&amp; #1?.txt', "a <b>folder"
    upload = (
        "window.confirm = () => true; { const all = new DataTransfer(); all.items.add(new File(['%s'], %s)); "
        "const files = document.getElementById('files'); files.files = all.files; "
        "files.dispatchEvent(new Event('change')); }"
    )
    names = "[...document.querySelectorAll('tbody bdi a')].map(one => one.textContent)"
    async with chromium({"Authorization": basic(USER, PASSWORD)}) as tab:
        await tab.open(f"{dav.url}/{BUCKET}/")
        for body in ("one", "two"):
            await tab.reloading(upload % (body, repr(name)))
            assert await tab.run(names) == [name]
            assert (await dav("GET", f"/{BUCKET}/{quote(name)}")).text == body
        await tab.reloading(f"window.prompt = () => {folder!r}; document.getElementById('folder').click()")
        assert sorted(await tab.run(names)) == sorted([name, f"{folder}/"])
        press = """window.confirm = () => true; document.querySelector("button[data-name^='%s']").click()"""
        for beginning, left in (("a ", [name]), ("<img", [])):
            await tab.reloading(press % beginning)
            assert await tab.run(names) == left
        await tab.open(f"{dav.url}/{BUCKET}/.trash/")
        await tab.reloading("document.querySelector('button[data-target]').click()")
        await tab.open(f"{dav.url}/{BUCKET}/")
        assert await tab.run(names) == [name]
        assert await tab.run("window.bad") is None
        assert await tab.told() == [
            "Failed to load resource: the server responded with a status of 412 (Precondition Failed)"
        ]
    assert (await dav("GET", f"/{BUCKET}/{quote(name)}")).body == b"two"


@pytest.mark.needs("chromium")
async def test_a_users_file_runs_nothing_in_a_browser(dav: WebdavServer) -> None:
    """Opened by a click: neither its script nor one in an image, and no word to the server with the login."""
    evil = b"<html><body><script>document.title='bad'; fetch('/').then(() => 0)</script><p>text</p></body></html>"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>document.documentElement.setAttribute("bad","1")</script></svg>'
    await dav("PUT", f"/{BUCKET}/x.html", evil)
    await dav("PUT", f"/{BUCKET}/x.svg", svg)
    async with chromium({"Authorization": basic(USER, PASSWORD)}) as tab:
        await tab.open(f"{dav.url}/{BUCKET}/x.html")
        assert await tab.run("document.title") == ""
        assert await tab.run("document.querySelector('p').textContent") == "text"
        await tab.open(f"{dav.url}/{BUCKET}/x.svg")
        assert await tab.run("document.documentElement.getAttribute('bad')") is None
