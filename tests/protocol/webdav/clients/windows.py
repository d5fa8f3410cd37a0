"""Windows Explorer (the WebDAV redirector) and Microsoft Office."""

from tests.support.replays import LOCK, XML, Client, Step, sets

_MS = {"Z": "urn:schemas-microsoft-com:"}
_TIMES = sets(
    "<Z:Win32CreationTime>Sat, 21 Nov 2020 10:00:00 GMT</Z:Win32CreationTime>"
    "<Z:Win32LastAccessTime>Sat, 21 Nov 2020 10:00:00 GMT</Z:Win32LastAccessTime>"
    "<Z:Win32LastModifiedTime>Sat, 21 Nov 2020 10:00:00 GMT</Z:Win32LastModifiedTime>"
    "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>",
    **_MS,
)
_HIDDEN = sets("<Z:Win32FileAttributes>00000002</Z:Win32FileAttributes>", **_MS)
_FILE = "/bucket/Neuer%20Ordner/Bericht%20(1).txt"
_HELD = {"If": "(<{token}>)"}

EXPLORER = Client(
    name="Explorer of Windows 10",
    source="sabre.io/dav/clients/windows; [MS-WDVME]",
    headers={"User-Agent": "Microsoft-WebDAV-MiniRedir/10.0.19045", "Translate": "f"},
    stories={
        "copies a file in": [
            Step("OPTIONS", "/bucket", 401, login=False, sees=["WWW-Authenticate: Basic"]),
            Step("OPTIONS", "/bucket", 200, sees=["DAV: 1, 2", "MS-Author-Via: DAV"]),
            Step("PROPFIND", "/bucket", 207, headers={"Depth": "0"}, sees=["<D:collection/>"]),
            Step("PROPFIND", "/bucket", 207, headers={"Depth": "1"}),
            Step("PROPFIND", "/bucket/desktop.ini", 404, headers={"Depth": "0"}),
            Step("MKCOL", "/bucket/Neuer%20Ordner", 201),
            Step("PROPPATCH", "/bucket/Neuer%20Ordner", 207, _TIMES, XML, sees=["200 OK"], lacks=["403"]),
            Step("PROPFIND", _FILE, 404, headers={"Depth": "0"}),
            Step("PUT", _FILE, 201),
            Step("LOCK", _FILE, 200, LOCK, {"Timeout": "Second-3600", **XML}, sees=["Lock-Token"]),
            Step("PROPPATCH", _FILE, 207, _TIMES, {**_HELD, **XML}, sees=["200 OK"], lacks=["403", "424"]),
            Step("HEAD", _FILE, 200, sees=["Content-Length: 0"]),
            Step("PUT", _FILE, 204, b"Hallo Welt", _HELD),
            Step("PROPPATCH", _FILE, 207, _TIMES, {**_HELD, **XML}, sees=["200 OK"], lacks=["403", "424"]),
            Step("UNLOCK", _FILE, 204, headers={"Lock-Token": "<{token}>"}),
            Step("PROPFIND", _FILE, 207, headers={"Depth": "0"}, sees=["Sat, 21 Nov 2020 10:00:00 GMT", "00000020"]),
        ],
        "renames, hides and deletes": [
            Step("PUT", "/bucket/New%20Text%20Document.txt", 201),
            Step("PROPPATCH", "/bucket/New%20Text%20Document.txt", 207, _HIDDEN, XML, sees=["200 OK"]),
            Step(
                "MOVE",
                "/bucket/New%20Text%20Document.txt",
                201,
                headers={"Destination": "{url}/bucket/%C3%9Cber%20uns.txt", "Overwrite": "F"},
            ),
            Step("PROPFIND", "/bucket/%C3%9Cber%20uns.txt", 207, headers={"Depth": "0"}, sees=["00000002"]),
            Step("PUT", "/bucket/other.txt", 201),
            Step(
                "MOVE",
                "/bucket/other.txt",
                412,
                headers={"Destination": "{url}/bucket/%C3%9Cber%20uns.txt", "Overwrite": "F"},
            ),
            Step("DELETE", "/bucket/other.txt", 204),
        ],
        "does not know its password yet": [
            Step("PUT", "/bucket/big.bin", 401, b"b" * 900_000, login=False),
            Step("PUT", "/bucket/big.bin", 201, b"b" * 900_000),
        ],
    },
    leaves={
        "copies a file in": {"Neuer Ordner/Bericht (1).txt": b"Hallo Welt"},
        "renames, hides and deletes": {"Über uns.txt": b""},
        "does not know its password yet": {"big.bin": b"b" * 900_000},
    },
)

_DOC = "/bucket/Brief%20an%20Zo%C3%AB.docx"
_OWNER = "/bucket/~%24ief%20an%20Zo%C3%AB.docx"

OFFICE = Client(
    name="Microsoft Word 2016",
    source="sabre.io/dav/clients/msoffice; Office Existence Discovery Protocol (Microsoft)",
    headers={"User-Agent": "Microsoft Office Word 2014", "X-Office-Major-Version": "16", "Translate": "f"},
    stories={
        "edits and saves": [
            Step("PUT", _DOC, 201, b"version 1"),
            Step("OPTIONS", "/bucket/", 200, sees=["MS-Author-Via: DAV"]),
            Step(
                "HEAD",
                _DOC,
                200,
                headers={"User-Agent": "Microsoft Office Existence Discovery"},
                sees=["Last-Modified"],
            ),
            Step("LOCK", _DOC, 200, LOCK, {"Depth": "0", "Timeout": "Second-3600", **XML}, sees=["<D:activelock>"]),
            Step("GET", _DOC, 200, sees=["version 1"]),
            Step("LOCK", _DOC, 200, headers={**_HELD, "Timeout": "Second-3600"}, sees=["{token}"]),
            Step("PUT", _DOC, 423, b"somebody else's"),
            Step("PUT", _DOC, 204, b"version 2", _HELD),
            Step("PROPPATCH", _DOC, 207, _TIMES, {**_HELD, **XML}, sees=["200 OK"]),
            Step("HEAD", _DOC, 200, sees=["ETag"]),
            Step("PUT", _DOC, 204, b"version 3", _HELD),
            Step("UNLOCK", _DOC, 204, headers={"Lock-Token": "<{token}>"}),
        ],
        "saves by renaming, over the redirector": [
            Step("PUT", _DOC, 201, b"version 1"),
            Step("PUT", _OWNER, 201, b"\x05owner"),
            Step("PROPPATCH", _OWNER, 207, _HIDDEN, XML, sees=["200 OK"]),
            Step("PUT", "/bucket/A1B2C3D4.tmp", 201),
            Step("LOCK", "/bucket/A1B2C3D4.tmp", 200, LOCK, {"Timeout": "Second-3600", **XML}),
            Step("PUT", "/bucket/A1B2C3D4.tmp", 204, b"version 2", _HELD),
            Step("UNLOCK", "/bucket/A1B2C3D4.tmp", 204, headers={"Lock-Token": "<{token}>"}),
            Step("MOVE", _DOC, 201, headers={"Destination": "{url}/bucket/5E6F7A8B.tmp", "Overwrite": "F"}),
            Step("MOVE", "/bucket/A1B2C3D4.tmp", 201, headers={"Destination": f"{{url}}{_DOC}", "Overwrite": "F"}),
            Step("DELETE", "/bucket/5E6F7A8B.tmp", 204),
            Step("DELETE", _OWNER, 204),
        ],
    },
    leaves={
        "edits and saves": {"Brief an Zoë.docx": b"version 3"},
        "saves by renaming, over the redirector": {"Brief an Zoë.docx": b"version 2"},
    },
)
CLIENTS = [EXPLORER, OFFICE]
