"""Cyberduck, Joplin, Zotero and KeePass."""

from tests.support.replays import XML, Client, Step, asks, sets

_DATE = "Sat, 03 Feb 2001 04:05:06 GMT"

CYBERDUCK = Client(
    name="Cyberduck 8",
    source="webdav/src/main/java/ch/cyberduck/core/dav of Cyberduck",
    headers={"User-Agent": "Cyberduck/8.7.1.40770 (Mac OS X/13.4) (aarch64)"},
    stories={
        "uploads with the time of the file": [
            Step("HEAD", "/bucket/", 200),
            Step(
                "PROPFIND",
                "/bucket/",
                207,
                '<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>',
                {"Depth": "1", **XML},
            ),
            Step("PUT", "/bucket/a%20b.txt", 201, b"duck", {"Expect": "100-continue"}),
            Step(
                "PROPPATCH",
                "/bucket/a%20b.txt",
                207,
                sets(
                    f"<D:lastmodified>{_DATE}</D:lastmodified><s:lastmodified>{_DATE}</s:lastmodified>"
                    f"<Z:Win32LastModifiedTime>{_DATE}</Z:Win32LastModifiedTime>",
                    s="SAR:",
                    Z="urn:schemas-microsoft-com:",
                ),
                XML,
                sees=["200 OK"],
                lacks=["403", "409", "424"],
            ),
            Step("HEAD", "/bucket/a%20b.txt", 200, sees=[f"Last-Modified: {_DATE}"]),
            Step("MOVE", "/bucket/a%20b.txt", 201, headers={"Destination": "{url}/bucket/c", "Overwrite": "T"}),
            Step("GET", "/bucket/c", 206, headers={"Range": "bytes=2-"}, sees=["ck"]),
            Step("MKCOL", "/bucket/new%20folder/", 201),
            Step("DELETE", "/bucket/new%20folder/", 204),
        ]
    },
    leaves={"uploads with the time of the file": {"c": b"duck"}},
)

_JOPLIN = '<?xml version="1.0" encoding="UTF-8"?><d:propfind xmlns:d="DAV:"><d:prop xmlns:oc="http://owncloud.org/ns"><d:getlastmodified/><d:resourcetype/></d:prop></d:propfind>'
_NOTE = "/bucket/Joplin/0123456789abcdef0123456789abcdef.md"

JOPLIN = Client(
    name="Joplin 2",
    source="packages/lib/file-api-driver-webdav.js of Joplin",
    headers={"User-Agent": "Joplin/1.0"},
    stories={
        "synchronises": [
            Step("MKCOL", "/bucket/Joplin/", 201),
            Step("MKCOL", "/bucket/Joplin/", 405),
            Step("PROPFIND", "/bucket/Joplin/info.json", 404, _JOPLIN, {"Depth": "0"}),
            Step("PUT", "/bucket/Joplin/info.json", 201, b'{"version":3}'),
            *[Step("MKCOL", f"/bucket/Joplin/{name}/", 201) for name in ("locks", "temp", ".resource", ".sync")],
            Step("PUT", "/bucket/Joplin/locks/2_1_abc.json", 201, b'{"type":2}'),
            Step("PROPFIND", "/bucket/Joplin/locks/", 207, _JOPLIN, {"Depth": "1"}, sees=["2_1_abc.json"]),
            Step("GET", _NOTE, 404),
            Step("PUT", _NOTE, 201, "Überschrift\n"),
            Step("PROPFIND", _NOTE, 207, _JOPLIN, {"Depth": "0"}, sees=["getlastmodified"]),
            Step("PROPFIND", "/bucket/Joplin/", 207, _JOPLIN, {"Depth": "1"}, sees=[".md", "<D:collection/>"]),
            Step("DELETE", "/bucket/Joplin/locks/2_1_abc.json", 204),
            Step("DELETE", "/bucket/Joplin/locks/2_1_abc.json", 404),
        ]
    },
    leaves={
        "synchronises": {
            "Joplin/info.json": b'{"version":3}',
            "Joplin/0123456789abcdef0123456789abcdef.md": "Überschrift\n".encode(),
        }
    },
)

_VERIFIES = asks("getcontentlength")
_PROP = b'<properties version="1"><mtime>1700000000000</mtime><hash>0123</hash></properties>'

ZOTERO = Client(
    name="Zotero 6",
    source="chrome/content/zotero/xpcom/storage/webdav.js of Zotero",
    headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101 Zotero/6.0.27"},
    stories={
        "verifies the server and stores a file": [
            Step("OPTIONS", "/bucket/zotero/", 200, sees=["DAV: 1"]),
            Step("PROPFIND", "/bucket/zotero/", 404, _VERIFIES, {"Depth": "0", **XML}),
            Step("PROPFIND", "/bucket/", 207, _VERIFIES, {"Depth": "0", **XML}),
            Step("MKCOL", "/bucket/zotero/", 201),
            Step("GET", "/bucket/zotero/nonexistent.prop", 404),
            Step("PUT", "/bucket/zotero/zotero-test-file.prop", 201, b" "),
            Step("GET", "/bucket/zotero/zotero-test-file.prop", 200),
            Step("DELETE", "/bucket/zotero/zotero-test-file.prop", 204),
            Step("GET", "/bucket/zotero/ABCD2345.prop", 404),
            Step("PUT", "/bucket/zotero/ABCD2345.zip", 201, b"PK\3\4" * 100_000, {"Content-Type": "application/zip"}),
            Step("PUT", "/bucket/zotero/ABCD2345.prop", 201, _PROP, {"Content-Type": "text/xml"}),
            Step("GET", "/bucket/zotero/ABCD2345.prop", 200, sees=["<mtime>"]),
            Step("PUT", "/bucket/zotero/lastsync.txt", 201, b" "),
            Step(
                "PROPFIND",
                "/bucket/zotero/",
                207,
                asks("getlastmodified"),
                {"Depth": "1", **XML},
                sees=["ABCD2345.zip"],
            ),
            Step("DELETE", "/bucket/zotero/WXYZ2345.prop", 404),
        ]
    },
    leaves={
        "verifies the server and stores a file": {
            "zotero/ABCD2345.zip": b"PK\3\4" * 100_000,
            "zotero/ABCD2345.prop": _PROP,
            "zotero/lastsync.txt": b" ",
        }
    },
)

KEEPASS = Client(
    name="KeePass 2",
    source="KeePassLib/Serialization: IOConnection and FileTransactionEx",
    headers={"User-Agent": "KeePass"},
    stories={
        "saves in a transaction": [
            Step("PUT", "/bucket/safe.kdbx", 201, b"old"),
            Step("GET", "/bucket/safe.kdbx", 200, sees=["old"]),
            Step("GET", "/bucket/safe.kdbx.tmp", 404),
            Step("PUT", "/bucket/safe.kdbx.tmp", 201, b"new" * 5000, {"Expect": "100-continue"}),
            Step("DELETE", "/bucket/safe.kdbx", 204),
            Step("MOVE", "/bucket/safe.kdbx.tmp", 201, headers={"Destination": "{url}/bucket/safe.kdbx"}),
            Step("GET", "/bucket/safe.kdbx", 200),
        ]
    },
    leaves={"saves in a transaction": {"safe.kdbx": b"new" * 5000}},
)
CLIENTS = [CYBERDUCK, JOPLIN, ZOTERO, KEEPASS]
