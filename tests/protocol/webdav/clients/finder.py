"""macOS Finder and TextEdit (``WebDAVFS``)."""

from tests.support.replays import LOCK, XML, Client, Step, asks

_ASKS = asks("getlastmodified", "getcontentlength", "creationdate", "resourcetype")
_QUOTA = asks("quota-available-bytes", "quota-used-bytes", "quota", "quotaused")
_ZERO = {"Depth": "0", **XML}
_ONE = {"Depth": "1", **XML}
_HELD = {"If": "(<{token}>)"}
_PHOTO = b"\xff\xd8" + b"photo" * 30_000
_FORK = b"\0\5\x16\7" + b"\0" * 4092
_SAVING = "/bucket/(A%20Document%20Being%20Saved%20By%20TextEdit)"


def _missing(path: str) -> Step:
    return Step("PROPFIND", path, 404, _ASKS, _ZERO)


def _written(path: str, data: bytes) -> list[Step]:
    """A file as WebDAVFS writes it: made empty, locked, filled in chunks, let go."""
    return [
        _missing(path),
        Step("PUT", path, 201),
        Step("LOCK", path, 200, LOCK, {"Depth": "0", "Timeout": "Second-600", **XML}, sees=["Lock-Token"]),
        Step("PUT", path, 204, data, {**_HELD, "X-Expected-Entity-Length": str(len(data))}, chunked=True),
        Step("PROPFIND", path, 207, _ASKS, _ZERO, sees=[f"<D:getcontentlength>{len(data)}<"]),
        Step("UNLOCK", path, 204, headers={"Lock-Token": "<{token}>"}),
    ]


FINDER = Client(
    name="Finder of macOS 14",
    source="sabre.io/dav/clients/finder; webdavfs of Apple's open source",
    headers={"User-Agent": "WebDAVFS/3.0.0 (03008000) Darwin/23.0.0 (arm64)"},
    stories={
        "looks around": [
            Step("OPTIONS", "/bucket/", 401, login=False, sees=["WWW-Authenticate: Basic"]),
            Step("OPTIONS", "/bucket/", 200, sees=["DAV: 1, 2", "LOCK"]),
            Step("PROPFIND", "/bucket/", 207, _ASKS, _ZERO, sees=["<D:collection/>"]),
            Step("PROPFIND", "/bucket/", 207, _QUOTA, _ZERO, sees=["<D:quota-available-bytes>1000000<"]),
            *[
                _missing(f"/bucket/{name}")
                for name in ("mach_kernel", ".Spotlight-V100", "._.", ".hidden", "Backups.backupdb", ".DS_Store")
            ],
            Step("PROPFIND", "/bucket/", 207, _ASKS, _ONE),
            *[_missing("/bucket/._.DS_Store")] * 3,
        ],
        "copies a photo in": [
            *_written("/bucket/photo.jpg", _PHOTO),
            *_written("/bucket/._photo.jpg", _FORK),
            *_written("/bucket/.DS_Store", b"Bud1" * 1537),
            Step("PROPFIND", "/bucket/", 207, _ASKS, _ONE, sees=["/bucket/._photo.jpg", "/bucket/.DS_Store"]),
            Step("GET", "/bucket/photo.jpg", 206, headers={"Range": "bytes=0-4095"}),
        ],
        "TextEdit saves": [
            *_written("/bucket/note.txt", b"first"),
            _missing(_SAVING),
            Step("MKCOL", f"{_SAVING}/", 201),
            Step("PROPFIND", f"{_SAVING}/", 207, _ASKS, _ZERO),
            *_written(f"{_SAVING}/note.txt", b"second"),
            Step(
                "MOVE",
                "/bucket/note.txt",
                201,
                headers={"Destination": f"{{url}}{_SAVING}/note~.txt", "Overwrite": "T"},
            ),
            Step(
                "MOVE", f"{_SAVING}/note.txt", 201, headers={"Destination": "{url}/bucket/note.txt", "Overwrite": "T"}
            ),
            Step("DELETE", f"{_SAVING}/note~.txt", 204),
            Step("DELETE", f"{_SAVING}/", 204),
            Step("GET", "/bucket/note.txt", 200, sees=["second"]),
        ],
        "a cut copy": [
            Step("PUT", "/bucket/f", 201),
            Step("LOCK", "/bucket/f", 200, LOCK, {"Depth": "0", "Timeout": "Second-600", **XML}),
            Step("PUT", "/bucket/f", 400, b"half", {**_HELD, "X-Expected-Entity-Length": "8"}, chunked=True),
            Step("UNLOCK", "/bucket/f", 204, headers={"Lock-Token": "<{token}>"}),
        ],
    },
    leaves={
        "looks around": {},
        "copies a photo in": {"photo.jpg": _PHOTO, "._photo.jpg": _FORK, ".DS_Store": b"Bud1" * 1537},
        "TextEdit saves": {"note.txt": b"second"},
        "a cut copy": {"f": b""},
    },
)
CLIENTS = [FINDER]
