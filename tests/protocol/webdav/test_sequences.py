"""What desktop clients send, request by request: Finder, Explorer, Office and GNOME Files.

Recorded behaviour, reduced to what a server can get wrong.
"""

import re
from urllib.parse import quote

from noisefs.core.domain.requests import Attributes
from tests.support.namespace import stream
from tests.support.webdav_server import WebdavServer

FINDER = "WebDAVFS/3.0.0 (03008000) Darwin/23.0.0 (arm64)"
EXPLORER = "Microsoft-WebDAV-MiniRedir/10.0.19045"
OFFICE = "Microsoft Office Word 2014"
LOCK = (
    '<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype><D:owner><D:href>http://example/</D:href></D:owner></D:lockinfo>"
)
FINDER_ASKS = (
    '<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:getlastmodified/><D:getcontentlength/>'
    "<D:creationdate/><D:resourcetype/></D:prop></D:propfind>"
)


def token_of(headers: object) -> str:
    """The token of a LOCK's answer."""
    found = re.search(r"<(urn:uuid:[^>]+)>", str(headers))
    assert found is not None
    return found[1]


async def test_finder_copies_a_file_in(dav: WebdavServer) -> None:
    """It locks an empty file, sends the bytes in chunks, unlocks; and does the same for its ``._`` companion."""
    assert (await dav("OPTIONS", "/bucket/", auth=None, User_Agent=FINDER)).status == 401
    assert (await dav("OPTIONS", "/bucket/", User_Agent=FINDER)).headers["DAV"] == "1, 2, 3"
    assert (await dav("PROPFIND", "/bucket/", FINDER_ASKS, Depth="0")).status == 207
    quota = '<D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/><D:quota-used-bytes/></D:prop></D:propfind>'
    assert "1000000" in (await dav("PROPFIND", "/bucket/", quota, Depth="0")).text
    for name in ("photo.jpg", "._photo.jpg"):
        path = f"/bucket/{name}"
        assert (await dav("PROPFIND", path, FINDER_ASKS, Depth="0")).status == 404
        assert (await dav("PUT", path, b"")).status == 201
        locked = await dav("LOCK", path, LOCK, Depth="0", Timeout="Second-600")
        token = token_of(locked.headers)
        fields = {"If": f"(<{token}>)", "X_Expected_Entity_Length": "100000"}
        assert (await dav("PUT", path, stream(b"j" * 100_000, 4096), **fields)).status == 204
        assert (await dav("PROPFIND", path, FINDER_ASKS, Depth="0")).status == 207
        assert (await dav("UNLOCK", path, Lock_Token=f"<{token}>")).status == 204
    assert len((await dav("GET", "/bucket/photo.jpg")).body) == 100_000


async def test_explorer_copies_a_file_in(dav: WebdavServer) -> None:
    """PUT, LOCK, PROPPATCH of its times, HEAD, PUT under the lock, PROPPATCH, UNLOCK."""
    path = "/bucket/Neuer%20Ordner/Datei.txt"
    assert (await dav("MKCOL", "/bucket/Neuer%20Ordner", User_Agent=EXPLORER)).status == 201
    assert (await dav("PROPFIND", path, Depth="0", User_Agent=EXPLORER)).status == 404
    assert (await dav("PUT", path, b"", User_Agent=EXPLORER)).status == 201
    locked = await dav("LOCK", path, LOCK, Timeout="Second-3600", User_Agent=EXPLORER)
    condition = f"(<{token_of(locked.headers)}>)"
    times = (
        '<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
        "<D:set><D:prop><Z:Win32CreationTime>Sat, 21 Nov 2020 10:00:00 GMT</Z:Win32CreationTime>"
        "<Z:Win32LastAccessTime>Sat, 21 Nov 2020 10:00:00 GMT</Z:Win32LastAccessTime>"
        "<Z:Win32LastModifiedTime>Sat, 21 Nov 2020 10:00:00 GMT</Z:Win32LastModifiedTime>"
        "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"
    )
    patched = await dav("PROPPATCH", path, times, If=condition, User_Agent=EXPLORER)
    assert patched.status == 207
    assert "403" not in patched.text
    assert (await dav("HEAD", path, User_Agent=EXPLORER)).status == 200
    assert (await dav("PUT", path, b"Hallo", If=condition, User_Agent=EXPLORER)).status == 204
    assert (await dav("PROPPATCH", path, times, If=condition, User_Agent=EXPLORER)).status == 207
    assert (await dav("UNLOCK", path, Lock_Token=f"<{token_of(locked.headers)}>")).status == 204
    listing = await dav("PROPFIND", "/bucket/Neuer%20Ordner", Depth="1", User_Agent=EXPLORER)
    assert "Win32LastModifiedTime" in listing.text


async def test_explorer_renames_a_folder(dav: WebdavServer) -> None:
    """With a whole URL, and Overwrite F."""
    await dav("MKCOL", "/bucket/New%20Folder")
    await dav("PUT", "/bucket/New%20Folder/x", b"1")
    to = f"{dav.url}/bucket/Bilder%20(1)"
    assert (await dav("MOVE", "/bucket/New%20Folder", Destination=to, Overwrite="F")).status == 201
    assert (await dav("GET", "/bucket/Bilder%20(1)/x")).body == b"1"


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
