"""LibreOffice, GNOME's gvfs, KDE's KIO and davfs2."""

from tests.support.replays import LOCK, XML, Client, Step, asks

_ODT = "/bucket/Protokoll.odt"
_HELD = {"If": "(<{token}>)"}
_INFO = asks("getcontentlength", "getlastmodified", "creationdate", "resourcetype", "getcontenttype", "lockdiscovery")
_OVER = {"Overwrite": "T"}

LIBREOFFICE = Client(
    name="LibreOffice 7.4",
    source="ucb/source/ucp/webdav-curl of LibreOffice",
    headers={"User-Agent": "LibreOffice 7.4.7.2 denylistedbackend/7.88.1 OpenSSL/3.0.15"},
    stories={
        "edits and saves": [
            Step("PUT", _ODT, 201, b"first"),
            Step("OPTIONS", _ODT, 200, sees=["DAV: 1, 2"]),
            Step("PROPFIND", _ODT, 207, _INFO, {"Depth": "0", **XML}, sees=["<D:lockdiscovery/>"]),
            Step("HEAD", _ODT, 200),
            Step("LOCK", _ODT, 200, LOCK, {"Depth": "0", "Timeout": "Second-180", **XML}, sees=["Second-180"]),
            Step("GET", _ODT, 200, sees=["first"]),
            Step("LOCK", _ODT, 200, headers={**_HELD, "Timeout": "Second-180"}),
            Step("PROPFIND", _ODT, 207, _INFO, {"Depth": "0", **XML}, sees=["<D:activelock>"]),
            Step("PUT", _ODT, 204, b"second", {**_HELD, "Expect": "100-continue"}),
            Step("UNLOCK", _ODT, 204, headers={"Lock-Token": "<{token}>"}),
        ],
        "saves a new document": [
            Step("PROPFIND", "/bucket/neu.odt", 404, _INFO, {"Depth": "0", **XML}),
            Step("LOCK", "/bucket/neu.odt", 201, LOCK, {"Depth": "0", "Timeout": "Second-180", **XML}),
            Step("PUT", "/bucket/neu.odt", 204, b"new", _HELD),
            Step("UNLOCK", "/bucket/neu.odt", 204, headers={"Lock-Token": "<{token}>"}),
        ],
    },
    leaves={"edits and saves": {"Protokoll.odt": b"second"}, "saves a new document": {"neu.odt": b"new"}},
)

_TYPE = asks("resourcetype", "getcontentlength")
_NOTES = asks(
    "creationdate", "displayname", "getcontentlength", "getcontenttype", "getetag", "getlastmodified", "resourcetype"
)
_GNOME = {"Apply-To-Redirect-Ref": "T", "Content-Type": "application/xml"}

GVFS = Client(
    name="gvfs 1.50",
    source="recorded from gio 2.74 against this server",
    headers={"User-Agent": "gvfs/1.50.3", "Accept-Language": "en"},
    stories={
        "mounts, copies, renames, removes": [
            Step("OPTIONS", "/bucket", 401, login=False),
            Step("OPTIONS", "/bucket", 200),
            Step("PROPFIND", "/bucket", 207, _TYPE, {"Depth": "1"}),
            Step("OPTIONS", "/", 200),
            Step("PROPFIND", "/", 207, _TYPE, {"Depth": "1"}),
            Step("MKCOL", "/bucket/d/", 201),
            Step("PROPFIND", "/bucket/d/f", 404, _NOTES, {"Depth": "0", **_GNOME}),
            Step("PUT", "/bucket/d/f", 201, b"x" * 1000),
            Step("PUT", "/bucket/t.txt", 201, b"one", {"If-None-Match": "*"}),
            Step("PUT", "/bucket/t.txt", 204, b"two", {"If-Match": "{etag}"}),
            Step("MOVE", "/bucket/t.txt", 201, headers={"Destination": "{url}/bucket/u.txt", "Overwrite": "F"}),
            Step("PROPFIND", "/bucket/", 207, _NOTES, {"Depth": "1", **_GNOME}, sees=["/bucket/u.txt"]),
            Step("PROPFIND", "/bucket/u.txt", 207, _TYPE, {"Depth": "1"}),
            Step("DELETE", "/bucket/u.txt", 204),
        ]
    },
    leaves={"mounts, copies, renames, removes": {"d/f": b"x" * 1000}},
)

_KIO = asks(
    *("creationdate", "getcontentlength", "displayname", "source", "getcontentlanguage", "getcontenttype"),
    *("executable", "getlastmodified", "getetag", "supportedlock", "lockdiscovery", "resourcetype"),
)

KDE = Client(
    name="KIO 5 (Dolphin, Kate)",
    source="kio/src/ioslaves/http/http.cpp",
    headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) KHTML/5.103.0 (like Gecko) Konqueror/5.0 KIO/5.103"},
    stories={
        "copies by way of a part": [
            Step("PROPFIND", "/bucket/", 207, _KIO, {"Depth": "0", **XML}),
            Step("PROPFIND", "/bucket/", 207, _KIO, {"Depth": "1", **XML}),
            Step("PROPFIND", "/bucket/f%20%231.txt", 404, _KIO, {"Depth": "0", **XML}),
            Step("PUT", "/bucket/f%20%231.txt.part", 201, b"kde"),
            Step(
                "MOVE",
                "/bucket/f%20%231.txt.part",
                201,
                headers={"Destination": "{url}/bucket/f%20%231.txt", "Overwrite": "F", "Depth": "infinity"},
            ),
            Step("PROPFIND", "/bucket/f%20%231.txt", 207, _KIO, {"Depth": "0", **XML}, sees=["f%20%231.txt"]),
            Step("MKCOL", "/bucket/d", 201),
            Step("MKCOL", "/bucket/d", 405),
            Step(
                "COPY",
                "/bucket/f%20%231.txt",
                201,
                headers={"Destination": "{url}/bucket/d/g", **_OVER, "Depth": "infinity"},
            ),
            Step("DELETE", "/bucket/f%20%231.txt", 204, headers={"Depth": "infinity"}),
        ]
    },
    leaves={"copies by way of a part": {"d/g": b"kde"}},
)

_NEON = {"Content-Type": "application/xml", "Depth": "0", "Timeout": "Second-1800"}
_TAGGED = {"If": "<{url}/bucket/d/f> (<{token}>)"}
_DAVFS = asks(
    "getetag",
    "getcontentlength",
    "creationdate",
    "getlastmodified",
    "resourcetype",
    "A:executable",
    A="http://apache.org/dav/props/",
)

DAVFS2 = Client(
    name="davfs2 1.6.1",
    source="recorded against this server",
    headers={"User-Agent": "davfs2/1.6.1 neon/0.32.5", "TE": "trailers"},
    stories={
        "writes under locks": [
            Step("OPTIONS", "/bucket/", 401, login=False),
            Step("OPTIONS", "/bucket/", 200),
            Step("PROPFIND", "/bucket/", 207, _DAVFS, {"Depth": "1"}),
            Step("PROPFIND", "/bucket/", 207, asks("quota-available-bytes", "quota-used-bytes"), {"Depth": "0"}),
            Step("MKCOL", "/bucket/d/", 201),
            Step("LOCK", "/bucket/d/f", 201, LOCK, _NEON),
            Step("HEAD", "/bucket/d/f", 200, sees=["Content-Length: 0"]),
            Step("GET", "/bucket/d/f", 304, headers={"If-None-Match": "{etag}"}),
            Step("PUT", "/bucket/d/f", 204, b"x" * 1000, {**_TAGGED, "If-Match": "{etag}"}),
            Step("UNLOCK", "/bucket/d/f", 204, headers={"Lock-Token": "<{token}>"}),
            Step("LOCK", "/bucket/d/f", 200, LOCK, _NEON),
            Step("PUT", "/bucket/d/f", 412, b"late", {**_TAGGED, "If-Match": '"0"'}),
            Step("UNLOCK", "/bucket/d/f", 204, headers={"Lock-Token": "<{token}>"}),
            Step("MOVE", "/bucket/d/f", 201, headers={"Destination": "{url}/bucket/g", **_OVER}),
            Step("DELETE", "/bucket/d/", 204),
        ]
    },
    leaves={"writes under locks": {"g": b"x" * 1000}},
)
CLIENTS = [LIBREOFFICE, GVFS, KDE, DAVFS2]
