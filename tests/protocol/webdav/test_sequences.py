"""What several clients do at a time, or over a long time; what one sends request by request is in ``clients``."""

import re
from urllib.parse import quote

from noisefs.core.domain.requests import Attributes
from tests.support.namespace import stream
from tests.support.webdav_server import WebdavServer

OFFICE = "Microsoft Office Word 2014"
LOCK = (
    '<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype><D:owner><D:href>http://example/</D:href></D:owner></D:lockinfo>"
)


def token_of(headers: object) -> str:
    """The token of a LOCK's answer."""
    found = re.search(r"<(urn:uuid:[^>]+)>", str(headers))
    assert found is not None
    return found[1]


async def test_word_saves_a_document(dav: WebdavServer) -> None:
    """It holds a lock while the document is open, refreshes it, and saves by PUT under it; nobody else can."""
    path = f"/bucket/{quote('Brief an Zoë.docx')}"
    await dav("PUT", path, b"v1")
    locked = await dav("LOCK", path, LOCK, Timeout="Second-3600", User_Agent=OFFICE)
    condition = f"(<{token_of(locked.headers)}>)"
    etag = (await dav("GET", path)).headers["ETag"]
    for version in (b"v2", b"v3"):
        dav.world.clock.advance(1800)
        assert (await dav("LOCK", path, If=condition, Timeout="Second-3600")).status == 200
        assert (await dav("PUT", path, b"other")).status == 423
        assert (await dav("PUT", path, version, If=f"{condition}")).status == 204
    assert (await dav("HEAD", path)).headers["ETag"] != etag
    assert (await dav("UNLOCK", path, Lock_Token=f"<{token_of(locked.headers)}>")).status == 204
    assert (await dav("GET", path)).body == b"v3"


async def test_a_safe_save_by_renaming(dav: WebdavServer) -> None:
    """Many editors write beside and rename over; GNOME Files and Finder do so too."""
    await dav("PUT", "/bucket/doc", b"v1")
    await dav(
        "PROPPATCH",
        "/bucket/doc",
        '<propertyupdate xmlns="DAV:"><set><prop><p xmlns="u:">1</p></prop></set></propertyupdate>',
    )
    await dav("PUT", "/bucket/.doc.tmp", b"v2")
    assert (await dav("MOVE", "/bucket/doc", Destination="/bucket/doc~", Overwrite="T")).status == 201
    assert (await dav("MOVE", "/bucket/.doc.tmp", Destination="/bucket/doc", Overwrite="T")).status == 201
    assert (await dav("DELETE", "/bucket/doc~")).status == 204
    assert (await dav("GET", "/bucket/doc")).body == b"v2"


async def test_both_protocols_see_each_others_writes_at_once(dav: WebdavServer) -> None:
    """There is one namespace: no cache between them."""
    objects = dav.world.objects
    await objects.put(dav.who, "bucket", "d/from-s3", stream(b"1"), Attributes(content_type="text/x"))
    assert (await dav("GET", "/bucket/d/from-s3")).headers["Content-Type"] == "text/x"
    etag = (await dav("PUT", "/bucket/d/from-dav", b"2")).headers["ETag"]
    version = await objects.head(dav.who, "bucket", "d/from-dav")
    assert f'"{version.etag}"' == etag
    await objects.delete(dav.who, "bucket", "d/from-dav")
    assert (await dav("GET", "/bucket/d/from-dav")).status == 404
    await objects.delete(dav.who, "bucket", "d/from-s3")
    assert (await dav("PROPFIND", "/bucket/d", Depth="0")).status == 404
