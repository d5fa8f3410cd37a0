"""Requests that are wrong, too large or hostile: the right status each time, and never a 500."""

import base64
import io
import logging

import pytest

from noisefs.adapters.inbound.webdav import WebdavSettings
from noisefs.core.domain.requests import Attributes
from noisefs.core.ports.telemetry import Counter
from tests.support.namespace import stream
from tests.support.webdav_server import PASSWORD, USER, WebdavServer, basic, serve

XML_METHODS = ("PROPFIND", "PROPPATCH", "LOCK")
BOMB = (
    '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><propfind xmlns="DAV:"><prop><x>&c;</x></prop></propfind>'
)
EXTERNAL = (
    '<!DOCTYPE b [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    '<propertyupdate xmlns="DAV:"><set><prop><p xmlns="u:">&x;</p></prop></set></propertyupdate>'
)


@pytest.mark.parametrize("method", XML_METHODS)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(BOMB, id="entity bomb"),
        pytest.param(EXTERNAL, id="external entity"),
        pytest.param(BOMB.encode("utf-16"), id="entity bomb in UTF-16"),
        pytest.param(
            '<!DOCTYPE propfind SYSTEM "http://127.0.0.1:1/x"><propfind xmlns="DAV:"><allprop/></propfind>', id="dtd"
        ),
        pytest.param("<a", id="not well-formed"),
        pytest.param("no xml", id="no xml"),
        pytest.param("<a><b></a></b>", id="crossed"),
        pytest.param("<D:propfind/>", id="undeclared prefix"),
        pytest.param("<a xmlns='u:'/>", id="another element"),
        pytest.param(b"\xff\xfe\xff", id="bytes"),
        pytest.param("<a>" * 100 + "</a>" * 100, id="deep"),
        pytest.param("<a>" + "<b/>" * 30_000 + "</a>", id="wide"),
        pytest.param("<a>&undefined;</a>", id="undefined entity"),
        pytest.param('<?xml version="1.0" encoding="nonsense"?><a/>', id="unknown encoding"),
    ],
)
async def test_hostile_xml_is_refused(dav: WebdavServer, method: str, body: str | bytes) -> None:
    """400, and nothing of it is kept or expanded."""
    await dav("PUT", "/bucket/f", b"x")
    assert (await dav(method, "/bucket/f", body, Depth="0")).status == 400
    assert (await dav("PROPFIND", "/bucket/f", Depth="0")).status == 207


@pytest.mark.parametrize("method", [*XML_METHODS, "MKCOL", "DELETE"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_xml_body_is_refused_unread(dav: WebdavServer, method: str, chunked: bool) -> None:
    """413 for ten MiB, whether its length is declared or not."""
    await dav("PUT", "/bucket/f", b"x")
    body = b"<a>" + b"x" * (10 << 20) + b"</a>"
    reply = await dav(method, "/bucket/f", stream(body, 65536) if chunked else io.BytesIO(body), Depth="0")
    assert reply.status == 413
    assert (await dav("GET", "/bucket/f")).status == 200


async def test_a_large_but_allowed_body_is_read() -> None:
    """Up to the limit, in a thread."""
    async with serve(WebdavSettings(max_xml_bytes=200_000)) as dav:
        await dav("PUT", "/bucket/f", b"x")
        ask = f'<propfind xmlns="DAV:"><prop>{" " * 190_000}<getetag/></prop></propfind>'
        assert (await dav("PROPFIND", "/bucket/f", ask, Depth="0")).status == 207
        assert (await dav("PROPFIND", "/bucket/f", ask + " " * 10_000, Depth="0")).status == 413


@pytest.mark.parametrize(
    "body",
    [
        '<propfind xmlns="DAV:"/>',
        '<propfind xmlns="DAV:"><allprop/><propname/></propfind>',
        '<propfind xmlns="DAV:"><prop/><allprop/></propfind>',
        '<propfind xmlns="DAV:"><include><a/></include></propfind>',
        '<propfind xmlns="DAV:"><prop><a/></prop><include><b/></include></propfind>',
        f'<propfind xmlns="DAV:"><prop>{"".join(f"<p{n}/>" for n in range(501))}</prop></propfind>',
    ],
)
async def test_a_propfind_that_asks_for_nothing_or_too_much(dav: WebdavServer, body: str) -> None:
    """400."""
    assert (await dav("PROPFIND", "/bucket/", body, Depth="0")).status == 400


@pytest.mark.parametrize(
    "body",
    [
        "",
        '<lockinfo xmlns="DAV:"/>',
        '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope></lockinfo>',
        '<lockinfo xmlns="DAV:"><lockscope/><locktype><write/></locktype></lockinfo>',
        '<lockinfo xmlns="DAV:"><lockscope><x/></lockscope><locktype><write/></locktype></lockinfo>',
    ],
)
async def test_a_lock_that_says_too_little(dav: WebdavServer, body: str) -> None:
    """400, and no file is made."""
    assert (await dav("LOCK", "/bucket/new", body)).status == 400
    assert (await dav("GET", "/bucket/new")).status == 404


async def test_a_lock_owner_has_a_size(dav: WebdavServer) -> None:
    """413: it is kept, and shown in every listing."""
    body = (
        '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype>'
        f"<owner>{'x' * 9000}</owner></lockinfo>"
    )
    assert (await dav("LOCK", "/bucket/f", body)).status == 413
    assert (await dav("GET", "/bucket/f")).status == 404


@pytest.mark.parametrize("depth", ["1", "2", "x"])
async def test_a_lock_of_no_such_depth(dav: WebdavServer, depth: str) -> None:
    """400 (RFC 4918 section 9.10.3)."""
    body = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    assert (await dav("LOCK", "/bucket/f", body, Depth=depth)).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/bucket/%00",
        "/bucket/%",
        "/bucket/%2",
        "/bucket/%zz",
        "/bucket/%ff",
        "/bucket/./x",
        "/bucket/%2e%2e/x",
        "/%2e",
        "/bucket/a/..",
        "/bucket/a%2F..%2Fb",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "PROPFIND", "MKCOL", "DELETE", "LOCK"])
async def test_paths_that_name_nothing(dav: WebdavServer, method: str, path: str) -> None:
    """400: no segment climbs, and no escape is guessed at."""
    assert (await dav(method, path, Depth="0")).status == 400


async def test_repeated_slashes_count_as_one(dav: WebdavServer) -> None:
    """A client that joins URLs sloppily means the file; ``a//b`` itself cannot be named, so not be hurt."""
    await dav.world.objects.put(dav.who, "bucket", "a//b", stream(b"other"), Attributes())
    assert (await dav("PUT", "//bucket///a//b", b"x")).status == 201
    assert (await dav("GET", "/bucket/a/b")).body == b"x"
    assert (await dav("DELETE", "/bucket//a//b")).status == 204
    page = await dav.world.objects.list(dav.who, "bucket")
    assert "a//b" in [key for key, _ in page.entries]


@pytest.mark.parametrize("method", ["POST", "TRACE", "REPORT", "SEARCH", "BIND"])
async def test_other_methods_are_refused(dav: WebdavServer, method: str) -> None:
    """405 with what is allowed."""
    reply = await dav(method, "/bucket/")
    assert reply.status == 405
    assert "PROPFIND" in reply.headers["Allow"]


async def test_a_search_is_refused_in_its_own_words(dav: WebdavServer) -> None:
    """RFC 5323: no grammar is supported, and none is announced."""
    query = '<D:searchrequest xmlns:D="DAV:"><D:basicsearch/></D:searchrequest>'
    reply = await dav("SEARCH", "/bucket/", query)
    assert reply.status == 405
    assert reply.headers["Content-Type"].startswith("application/xml")
    assert "<D:search-grammar-supported/>" in reply.text
    assert "DASL" not in (await dav("OPTIONS", "/bucket/")).headers


async def test_options_tells_what_this_is(dav: WebdavServer) -> None:
    """Class 1 and 2, and Microsoft's sign that it is a share."""
    for path in ("/", "/bucket/", "/bucket/none", "*"):
        reply = await dav("OPTIONS", path) if path != "*" else await dav("OPTIONS", "/*")
        assert reply.status == 200
        assert reply.headers["DAV"].startswith("1, 2, 3")
        assert reply.headers["MS-Author-Via"] == "DAV"
        assert "LOCK" in reply.headers["Allow"]


# ---------------------------------------------------------------- logins


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("Basic", "malformed"),
        ("Basic ", "malformed"),
        ("Basic !!!", "malformed"),
        ("Basic YQ==", "malformed"),  # no colon
        ("Basic " + "A" * 8000, "malformed"),
        ("Basic Og==", "malformed"),  # only a colon
        ("Bearer x", "malformed"),
        ("Digest username=alice", "malformed"),
        (basic(USER, "wrong password"), "refused"),
        (basic("nobody", PASSWORD), "refused"),
        (basic("a\0b", PASSWORD), "malformed"),
        (basic("zoë", "é"), "refused"),
    ],
)
async def test_a_failed_login(dav: WebdavServer, header: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """401 with a challenge, counted, and one stable log line with the client and never the password."""
    with caplog.at_level(logging.INFO):
        reply = await dav("GET", "/bucket/", auth=header)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == 'Basic realm="NoiseFS", charset="UTF-8"'
    assert dav.world.telemetry.counted(Counter.AUTH_FAILURES, ("webdav", reason)) == 1
    (line,) = [record for record in caplog.records if record.message == "auth.failed"]
    fields = vars(line)
    assert (fields["protocol"], fields["client"], fields["reason"]) == ("webdav", "127.0.0.1", reason)
    assert not any("password" in str(value) or "wrong" in str(value) for value in fields.values())


async def test_no_login_is_no_failed_login(dav: WebdavServer) -> None:
    """It is how clients begin."""
    assert (await dav("PROPFIND", "/", auth=None)).status == 401
    assert dav.world.telemetry.counted(Counter.AUTH_FAILURES) == 0


async def test_keys_are_logins_too(dav: WebdavServer) -> None:
    """The pair that S3 clients use; in UTF-8 or, from older clients, ISO 8859-1."""
    credential = await dav.world.accounts.add_key(USER)
    assert (
        await dav("PROPFIND", "/", auth=basic(credential.access_key_id, credential.secret), Depth="0")
    ).status == 207
    await dav.world.accounts.add_user("zoe", password="grün wie Gras")
    for encoding in ("utf-8", "latin-1"):
        header = "Basic " + base64.b64encode("zoe:grün wie Gras".encode(encoding)).decode()
        assert (await dav("PROPFIND", "/", auth=header, Depth="0")).status == 207


# ---------------------------------------------------------------- never a 500


async def test_a_fault_of_the_server_is_503_with_a_sentence(
    dav: WebdavServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Finder retries a 500 for ever; the log has the traceback."""

    async def broken(*_args: object, **_fields: object) -> None:
        raise ZeroDivisionError

    dav.world.objects.head = broken  # type: ignore[method-assign,assignment]  # a fault that cannot happen
    dav.world.trees.make = broken  # type: ignore[method-assign]  # as above
    for method, path in (("PROPFIND", "/bucket/f"), ("MKCOL", "/bucket/d")):
        reply = await dav(method, path, Depth="0")
        assert reply.status == 503
        assert "log" in reply.text
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR].count("webdav.bug") >= 1


async def test_requests_are_measured(dav: WebdavServer) -> None:
    """By operation and status, with bytes in and out."""
    await dav("PUT", "/bucket/f", b"12345")
    await dav("GET", "/bucket/f")
    await dav("REPORT", "/bucket/f")
    counted = dav.world.telemetry.counted
    assert counted(Counter.REQUESTS, ("webdav", "PUT", "201")) == 1
    assert counted(Counter.REQUESTS, ("webdav", "OTHER", "405")) == 1
    assert counted(Counter.BYTES_IN, ("webdav",)) == 5
    assert counted(Counter.BYTES_OUT, ("webdav",)) >= 5
