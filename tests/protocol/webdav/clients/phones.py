"""Nextcloud's clients on phones and desktops, and apps on Android that speak plain WebDAV."""

import hashlib

from tests.support.replays import XML, Client, Step, asks
from tests.support.webdav_server import USER

_FILES = f"/remote.php/dav/files/{USER}"
_UPLOADS = f"/remote.php/dav/uploads/{USER}"
_SPACES = {"oc": "http://owncloud.org/ns", "nc": "http://nextcloud.org/ns"}
_ANDROID = asks(
    *(
        "displayname",
        "getcontenttype",
        "resourcetype",
        "getcontentlength",
        "getlastmodified",
        "creationdate",
        "getetag",
    ),
    *("quota-used-bytes", "quota-available-bytes", "oc:permissions", "oc:id", "oc:size", "oc:favorite"),
    *("nc:is-encrypted", "nc:mount-type", "oc:owner-id", "oc:comments-unread", "nc:has-preview", "nc:note"),
    **_SPACES,
)
_VIDEO = bytes(range(256)) * 1000

ANDROID = Client(
    name="Nextcloud for Android 3.29",
    source="library/src/main/java/com/owncloud/android/lib of nextcloud/android-library",
    headers={"User-Agent": "Mozilla/5.0 (Android) Nextcloud-android/3.29.0", "OCS-APIRequest": "true"},
    stories={
        "finds the server": [
            Step("GET", "/status.php", 200, login=False, sees=['"installed": true']),
            Step("PROPFIND", f"{_FILES}/", 401, headers={"Depth": "0"}, login=False),
            Step("GET", "/ocs/v1.php/cloud/user?format=json", 200, sees=[f'"id": "{USER}"']),
            Step("GET", "/ocs/v1.php/cloud/capabilities?format=json", 200, sees=['"bigfilechunking": true']),
            Step("PROPFIND", f"{_FILES}/", 207, _ANDROID, {"Depth": "0", **XML}, sees=["getetag", "permissions"]),
            Step("PROPFIND", f"{_FILES}/", 207, _ANDROID, {"Depth": "1", **XML}, sees=[f"{_FILES}/bucket/"]),
        ],
        "uploads a photo and a video": [
            Step("PROPFIND", f"{_FILES}/bucket/Camera/", 404, _ANDROID, {"Depth": "0", **XML}),
            Step("MKCOL", f"{_FILES}/bucket/Camera/", 201),
            Step("PROPFIND", f"{_FILES}/bucket/Camera/IMG_1.jpg", 404, _ANDROID, {"Depth": "0", **XML}),
            Step(
                "PUT",
                f"{_FILES}/bucket/Camera/IMG_1.jpg",
                201,
                b"jpeg",
                {"X-OC-Mtime": "981173106", "OC-Total-Length": "4", "Content-Type": "image/jpeg"},
                sees=["X-OC-MTime: accepted", "ETag"],
            ),
            Step("MKCOL", f"{_UPLOADS}/f1e2d3c4/", 201),
            Step("PROPFIND", f"{_UPLOADS}/f1e2d3c4/", 207, _ANDROID, {"Depth": "1", **XML}),
            *[
                Step("PUT", f"{_UPLOADS}/f1e2d3c4/{number:06}", 201, _VIDEO[(number - 1) * 100_000 : number * 100_000])
                for number in (1, 2, 3)
            ],
            Step(
                "MOVE",
                f"{_UPLOADS}/f1e2d3c4/.file",
                201,
                headers={"Destination": f"{{url}}{_FILES}/bucket/Camera/VID_1.mp4", "X-OC-Mtime": "981173106"},
            ),
            Step(
                "PROPFIND",
                f"{_FILES}/bucket/Camera/",
                207,
                _ANDROID,
                {"Depth": "1", **XML},
                sees=["VID_1.mp4", "GDNVW", "Sat, 03 Feb 2001 04:05:06 GMT"],
            ),
            Step(
                "MOVE",
                f"{_FILES}/bucket/Camera/IMG_1.jpg",
                201,
                headers={"Destination": f"{{url}}{_FILES}/bucket/IMG_1.jpg", "Overwrite": "F"},
            ),
        ],
    },
    leaves={"finds the server": {}, "uploads a photo and a video": {"IMG_1.jpg": b"jpeg", "Camera/VID_1.mp4": _VIDEO}},
)

_SHA1 = hashlib.sha1(_VIDEO).hexdigest()

DESKTOP = Client(
    name="Nextcloud desktop 3.9",
    source="src/libsync/propagateuploadng.cpp of nextcloud/desktop",
    headers={"User-Agent": "Mozilla/5.0 (Linux) mirall/3.9.0 (Nextcloud)", "X-Request-ID": "1"},
    stories={
        "replaces a large file that it knows": [
            Step("PUT", f"{_FILES}/bucket/v", 201, b"old"),
            Step("MKCOL", f"{_UPLOADS}/12345", 201, headers={"OC-Total-Length": "256000"}),
            Step("PUT", f"{_UPLOADS}/12345/00000", 201, _VIDEO[:200_000], {"OC-Chunk-Offset": "0"}),
            Step("PUT", f"{_UPLOADS}/12345/00001", 201, _VIDEO[200_000:], {"OC-Chunk-Offset": "200000"}),
            Step("HEAD", f"{_FILES}/bucket/v", 200),
            Step(
                "MOVE",
                f"{_UPLOADS}/12345/.file",
                412,
                headers={"Destination": f"{{url}}{_FILES}/bucket/v", "If": f'<{{url}}{_FILES}/bucket/v> (["other"])'},
            ),
            Step(
                "MOVE",
                f"{_UPLOADS}/12345/.file",
                204,
                headers={
                    "Destination": f"{{url}}{_FILES}/bucket/v",
                    "If": f"<{{url}}{_FILES}/bucket/v> ([{{etag}}])",
                    "OC-Total-Length": "256000",
                    "OC-Checksum": f"SHA1:{_SHA1}",
                    "X-OC-Mtime": "981173106",
                },
                sees=["OC-FileId", "OC-ETag", "X-OC-MTime: accepted"],
            ),
            Step("GET", f"{_FILES}/bucket/v", 200, sees=[f"SHA1:{_SHA1}"]),
        ]
    },
    leaves={"replaces a large file that it knows": {"v": _VIDEO}},
)

FOLDERSYNC = Client(
    name="FolderSync and other apps on Sardine for Android",
    source="thegrizzlylabs/sardine-android",
    headers={"User-Agent": "okhttp/4.9.3"},
    stories={
        "synchronises a folder": [
            Step("PROPFIND", "/bucket/", 401, headers={"Depth": "1"}, login=False),
            Step(
                "PROPFIND",
                "/bucket/",
                207,
                '<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>',
                {"Depth": "1", **XML},
                sees=["<D:resourcetype><D:collection/>"],
            ),
            Step("HEAD", "/bucket/notes/", 404),
            Step("MKCOL", "/bucket/notes/", 201),
            Step("PUT", "/bucket/notes/a.md", 201, b"a", {"Content-Type": "application/octet-stream"}),
            Step("PUT", "/bucket/notes/a.md", 204, b"b", {"Expect": "100-continue"}),
            Step("GET", "/bucket/notes/a.md", 304, headers={"If-None-Match": "{etag}"}),
        ]
    },
    leaves={"synchronises a folder": {"notes/a.md": b"b"}},
)
CLIENTS = [ANDROID, DESKTOP, FOLDERSYNC]
