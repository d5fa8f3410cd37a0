"""What the server says of itself and of who asks: ``/status.php`` and two documents of the OCS interface.

The version is that of a Nextcloud whose WebDAV is like this one; clients refuse servers that are too old for them.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, cast
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from aiohttp import web

from noisefs.adapters.inbound.webdav import answers
from noisefs.adapters.inbound.webdav.refusal import Refused
from noisefs.core.domain.requests import Principal

_VERSION: Final = (29, 0, 0, 0)
_STRING: Final = "29.0.0"
_CHUNK_BYTES: Final = 10 << 20
"""The size of chunks that clients begin with."""

_Json = dict[str, object]

STATUS_PATH: Final = "/status.php"


def status() -> web.Response:
    """Needs no login: clients look here whether the URL that somebody typed is a server of theirs."""
    fields = {
        "installed": True,
        "maintenance": False,
        "needsDbUpgrade": False,
        "version": ".".join(map(str, _VERSION)),
        "versionstring": _STRING,
        "edition": "",
        "productname": "NoiseFS",
        "extendedSupport": False,
    }
    return answers.whole(200, "application/json; charset=utf-8", json.dumps(fields).encode())


def document_of(raw_path: str) -> Callable[[Principal], _Json] | None:
    """What makes the document that a path names; ``None``: there is none."""
    path = raw_path.partition("?")[0]
    for version in ("v1", "v2"):
        prefix = f"/ocs/{version}.php/"
        if path.startswith(prefix):
            rest = path[len(prefix) :].rstrip("/")
            if rest.startswith(_USERS):
                return partial(_user_named, unquote(rest[len(_USERS) :]))
            return _DOCUMENTS.get(rest)
    return None


def answer(raw_path: str, headers: Mapping[str, str], content: _Json) -> web.Response:
    """A document as JSON where the client asks for it, else as XML."""
    path, _, query = raw_path.partition("?")
    code = 100 if path.startswith("/ocs/v1.php") else 200
    meta: _Json = {"status": "ok", "statuscode": code, "message": "OK"}
    wanted = parse_qs(query).get("format", [""])[0]
    if wanted == "json" or (not wanted and "json" in headers.get("Accept", "")):
        body = json.dumps({"ocs": {"meta": meta, "data": content}}).encode()
        return answers.whole(200, "application/json; charset=utf-8", body)
    xml = f'<?xml version="1.0"?>\n<ocs>{_xml("meta", meta)}{_xml("data", content)}</ocs>'
    return answers.whole(200, "application/xml; charset=utf-8", xml.encode())


def _capabilities(_who: Principal) -> _Json:
    major, minor, micro, _ = _VERSION
    return {
        "version": {"major": major, "minor": minor, "micro": micro, "string": _STRING, "edition": ""},
        "capabilities": {
            "core": {"pollinterval": 60, "webdav-root": "remote.php/webdav"},
            "dav": {"chunking": "1.0"},
            "checksums": {"supportedTypes": ["SHA1", "MD5", "ADLER32", "SHA256"], "preferredUploadType": "SHA1"},
            "files": {
                "bigfilechunking": True,
                "chunked_upload": {"max_size": _CHUNK_BYTES, "max_parallel_count": 4},
                "undelete": False,
                "versioning": False,
            },
            "files_sharing": {"api_enabled": False, "public": {"enabled": False}, "resharing": False},
        },
    }


def _user(who: Principal) -> _Json:
    return {
        "id": who.name,
        "enabled": True,
        "display-name": who.name,
        "displayname": who.name,
        "email": None,
        "quota": {"free": -3, "used": 0, "total": -3, "relative": 0, "quota": -3},
        "groups": [],
    }


def _user_named(name: str, who: Principal) -> _Json:
    if name != who.name:
        raise Refused(404, f"{who.name!r} knows no user {name!r}")
    return _user(who)


_USERS: Final = "cloud/users/"
_DOCUMENTS: Final[Mapping[str, Callable[[Principal], _Json]]] = {
    "cloud/capabilities": _capabilities,
    "cloud/user": _user,
}


def _xml(name: str, value: object) -> str:
    if isinstance(value, dict):
        inner = "".join(_xml(key, one) for key, one in cast("_Json", value).items())
    elif isinstance(value, list):
        inner = "".join(_xml("element", one) for one in value)
    elif isinstance(value, bool):
        inner = "1" if value else ""
    else:
        inner = "" if value is None else escape(str(value))
    return f"<{name}>{inner}</{name}>" if inner else f"<{name}/>"
