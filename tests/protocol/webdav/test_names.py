"""Names of all kinds: in paths, hrefs, Destination, If, listings and properties; and the same keys through S3."""

import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import boto3
import pytest
from botocore.config import Config

from tests.support.dav_requests import DavClient
from tests.support.names import NAMES
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer
from tests.support.webdav_server import WebdavServer

LOCK = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'


def hrefs(body: bytes) -> list[str]:
    """Decoded hrefs of a listing's members."""
    found = [response.findtext("{DAV:}href") or "" for response in ET.fromstring(body)]
    return [unquote(href, errors="strict") for href in found[1:]]


def safe(name: str) -> str:
    """A name as a careful client sends it."""
    return quote(name, safe="")


def test_every_name_is_its_own() -> None:
    """Also those that look the same."""
    assert len(set(NAMES)) == len(NAMES)
    assert len({unicodedata.normalize("NFC", name) for name in NAMES}) == len(NAMES)


async def test_files_of_all_names(dav: WebdavServer) -> None:
    """Made, listed, read, and gone."""
    await dav("MKCOL", "/bucket/d")
    for name in NAMES:
        assert (await dav("PUT", f"/bucket/d/{safe(name)}", name.encode())).status == 201, name
    listing = await dav("PROPFIND", "/bucket/d/", Depth="1")
    assert sorted(hrefs(listing.body)) == sorted(f"/bucket/d/{name}" for name in NAMES)
    for href in [response.findtext("{DAV:}href") or "" for response in ET.fromstring(listing.body)][1:]:
        assert (await dav("GET", href)).body == unquote(href.rpartition("/")[2]).encode()
        assert (await dav("PROPFIND", href, Depth="0")).status == 207
        assert (await dav("DELETE", href)).status == 204
    assert hrefs((await dav("PROPFIND", "/bucket/d", Depth="1")).body) == []


@pytest.mark.parametrize("whole", [True, False])
async def test_destinations_of_all_names(dav: WebdavServer, whole: bool) -> None:
    """As a URL and as a path, to and fro, files and folders with what is in them."""
    base = dav.url if whole else ""
    await dav("PUT", "/bucket/start", b"moves")
    before = "start"
    for name in NAMES:
        target = f"{base}/bucket/{safe(name)}"
        assert (await dav("MOVE", f"/bucket/{safe(before)}", Destination=target, Overwrite="F")).status == 201, name
        before = name
    assert [key for key, _ in (await dav.world.objects.list(dav.who, "bucket")).entries] == [NAMES[-1]]
    await dav("MKCOL", "/bucket/a")
    await dav("PUT", "/bucket/a/inside", b"x")
    for name in NAMES[:-1]:
        copied = await dav("COPY", "/bucket/a", Destination=f"{base}/bucket/{safe(name)}/")
        assert copied.status == 201, name
        assert (await dav("GET", f"/bucket/{safe(name)}/inside")).body == b"x"
        assert (await dav("DELETE", f"/bucket/{safe(name)}/")).status == 204


async def test_locks_and_conditions_on_all_names(dav: WebdavServer) -> None:
    """The lock's root and the resource in If are the same place, however it is written."""
    for name in NAMES:
        path = f"/bucket/{safe(name)}"
        locked = await dav("LOCK", path, LOCK)
        assert locked.status == 201, name
        root = ET.fromstring(locked.body).findtext(".//{DAV:}lockroot/{DAV:}href")
        assert unquote(root or "") == f"/bucket/{name}"
        refused = await dav("PUT", path, b"x")
        assert refused.status == 423
        assert unquote(ET.fromstring(refused.body).findtext(".//{DAV:}href") or "") == f"/bucket/{name}"
        token = locked.headers["Lock-Token"]
        for written in (path, f"{dav.url}{path}", root or ""):
            assert (await dav("PUT", path, b"x", If=f"<{written}> ({token})")).status == 204, name
        assert (await dav("UNLOCK", path, Lock_Token=token)).status == 204


async def test_properties_of_all_names(dav: WebdavServer) -> None:
    """Each keeps its own, and the display name is the name wherever XML can hold it."""
    for name in NAMES:
        path = f"/bucket/{safe(name)}"
        await dav("PUT", path, b"x")
        body = f'<propertyupdate xmlns="DAV:"><set><prop><p xmlns="u:">{safe(name)}</p></prop></set></propertyupdate>'
        assert "200 OK" in (await dav("PROPPATCH", path, body)).text
    listing = ET.fromstring((await dav("PROPFIND", "/bucket", Depth="1")).body)
    for response in list(listing)[1:]:
        name = unquote(response.findtext("{DAV:}href") or "").removeprefix("/bucket/")
        assert response.findtext(".//{u:}p") == safe(name)
        shown = response.findtext(".//{DAV:}displayname")
        assert shown in (name, None)
        assert (shown is None) == ("\x01" in name)


async def test_careless_encodings(dav: WebdavServer) -> None:
    """What may stay as it is, lower-case digits, and bytes of UTF-8 that nobody encoded."""
    await dav("PUT", "/bucket/(a)!'*,~$@:=+;b", b"1")
    assert (await dav("GET", "/bucket/%28a%29%21%27%2a%2c%7e%24%40%3a%3d%2b%3bb")).body == b"1"
    moved = await dav("MOVE", "/bucket/(a)!'*,~$@:=+;b", Destination=f"{dav.url}/bucket/\u00fcber [1].txt")
    assert moved.status == 201
    assert (await dav("GET", "/bucket/%c3%bcber%20%5b1%5d.txt")).body == b"1"
    lost = await dav("MOVE", "/bucket/%c3%bcber%20%5b1%5d.txt", Destination=f"{dav.url}/bucket/%fc")
    assert lost.status == 400


async def test_both_forms_of_a_letter_are_files_of_their_own(dav: WebdavServer) -> None:
    """macOS writes one, others the other: each finds what it wrote, and sees both."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    await dav("PUT", f"/bucket/{safe(composed)}", b"composed")
    await dav("PUT", f"/bucket/{safe(decomposed)}", b"decomposed")
    assert (await dav("GET", f"/bucket/{safe(composed)}")).body == b"composed"
    assert (await dav("GET", f"/bucket/{safe(decomposed)}")).body == b"decomposed"
    assert sorted(hrefs((await dav("PROPFIND", "/bucket", Depth="1")).body)) == sorted(
        [f"/bucket/{composed}", f"/bucket/{decomposed}"]
    )


async def test_how_long_a_key_may_be(dav: WebdavServer) -> None:
    """1024 bytes, in segments of any length; one more is 414, also as a Destination."""
    longest = "/".join(["x" * 255] * 4)
    for depth in range(1, 4):
        assert (await dav("MKCOL", f"/bucket/{'/'.join(['x' * 255] * depth)}")).status == 201
    assert (await dav("PUT", f"/bucket/{longest}", b"1")).status == 201
    assert (await dav("PUT", f"/bucket/{longest}xx", b"1")).status == 414
    moved = await dav("MOVE", f"/bucket/{longest}", Destination=f"/bucket/{longest}xx")
    assert moved.status == 414
    assert (await dav("GET", f"/bucket/{longest}")).body == b"1"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """The program."""
    with RunningServer(tmp_path / "data") as running:
        assert DavClient(running)("MKCOL", "/bucket").status == 201
        yield running


@pytest.mark.e2e
def test_the_same_keys_through_s3(server: RunningServer) -> None:
    """What one protocol makes the other one lists, reads and removes, by the very same name."""
    s3 = boto3.client(
        "s3",
        endpoint_url=server.s3,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )
    dav = DavClient(server)
    assert dav("MKCOL", "/bucket/d").status == 201
    for number, name in enumerate(NAMES):
        if number % 2:
            s3.put_object(Bucket="bucket", Key=f"d/{name}", Body=name.encode())
        else:
            assert dav("PUT", f"/bucket/d/{safe(name)}", name.encode()).status == 201
    listed = [one["Key"] for one in s3.list_objects_v2(Bucket="bucket", Prefix="d/")["Contents"]]
    assert sorted(listed) == sorted(["d/", *(f"d/{name}" for name in NAMES)])
    found = dav("PROPFIND", "/bucket/d", Depth="1")
    assert sorted(hrefs(found.body)) == sorted(f"/bucket/d/{name}" for name in NAMES)
    for number, name in enumerate(NAMES):
        assert s3.get_object(Bucket="bucket", Key=f"d/{name}")["Body"].read() == name.encode()
        assert dav("GET", f"/bucket/d/{safe(name)}").body == name.encode()
        if number % 2:
            assert dav("DELETE", f"/bucket/d/{safe(name)}").status == 204
        else:
            s3.delete_object(Bucket="bucket", Key=f"d/{name}")
    assert hrefs(dav("PROPFIND", "/bucket/d", Depth="1").body) == []
