"""Clients that are libraries or desktops' own: webdavclient3, webdav4 and GNOME's gio."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.support.mounts import attempt, run
from tests.support.webdav_server import BUCKET, PASSWORD, USER, WebdavServer
from tools import components

WEBDAVCLIENT3 = """
import json, sys
from webdav3.client import Client
url, user, password, folder = sys.argv[1:]
client = Client({"webdav_hostname": url, "webdav_login": user, "webdav_password": password})
assert client.check("bucket")
client.mkdir("bucket/d é")
client.upload_sync(remote_path="bucket/d é/a b;&+.txt", local_path=folder + "/large")
assert client.check("bucket/d é/a b;&+.txt")
client.copy("bucket/d é/a b;&+.txt", "bucket/copy")
client.move("bucket/copy", "bucket/moved")
client.set_property("bucket/moved", option={"namespace": "u:", "name": "p", "value": "v"})
assert client.get_property("bucket/moved", {"namespace": "u:", "name": "p"}) == "v"
client.download_sync(remote_path="bucket/moved", local_path=folder + "/back")
listed = [name for name in client.list("bucket/d é/") if not name.endswith("/")]
size = int(client.info("bucket/moved")["size"])
client.clean("bucket/moved")
print(json.dumps([listed, size, client.check("bucket/moved"), client.free() > 0]))
"""
WEBDAV4 = """
import json, sys
from webdav4.client import Client
url, user, password, folder = sys.argv[1:]
client = Client(url, auth=(user, password))
assert client.exists("bucket")
client.mkdir("bucket/d é")
client.upload_file(folder + "/large", "bucket/d é/a b;&+.txt", chunk_size=65536)
client.copy("bucket/d é/a b;&+.txt", "bucket/copy")
client.move("bucket/copy", "bucket/moved")
client.download_file("bucket/moved", folder + "/back")
with client.open("bucket/moved", "rb") as file:
    file.seek(1000)
    part = file.read(10)
listed = [one["name"] for one in client.ls("bucket/d é")]
size = client.content_length("bucket/moved")
client.remove("bucket/moved")
print(json.dumps([listed, size, client.exists("bucket/moved"), len(part)]))
"""


@pytest.mark.needs("python-webdav")
async def test_webdavclient3(dav: WebdavServer, tmp_path: Path) -> None:
    """Every call of it that people use."""
    assert await library(dav, WEBDAVCLIENT3, tmp_path) == [["a b;&+.txt"], 300_000, False, True]


@pytest.mark.needs("python-webdav")
async def test_webdav4(dav: WebdavServer, tmp_path: Path) -> None:
    """The same; it reads ranges."""
    assert await library(dav, WEBDAV4, tmp_path) == [["bucket/d é/a b;&+.txt"], 300_000, False, 10]


async def library(dav: WebdavServer, script: str, folder: Path) -> list[object]:
    """What a script prints that uploads ``large`` and downloads it as ``back``."""
    data = hashlib.shake_128(b"library").digest(300_000)
    (folder / "large").write_bytes(data)
    python = components.find("python-webdav")
    assert python is not None
    said = await run(python, "-c", script, dav.url, USER, PASSWORD, folder, cwd=folder)
    assert (folder / "back").read_bytes() == data
    shown: list[object] = json.loads(said.splitlines()[-1])
    return shown


@pytest.mark.needs("gio", "dbus-run-session")
async def test_gio(dav: WebdavServer, tmp_path: Path) -> None:
    """GNOME's virtual file system: mounted, filled, listed, renamed, read, emptied; it saves beside and renames."""
    data = hashlib.shake_128(b"gio").digest(200_000)
    (tmp_path / "local file").write_bytes(data)
    share = f"dav://{USER}@{dav.url.removeprefix('http://')}/{BUCKET}"
    script = f"""
        printf '%s\\n' '{PASSWORD}' | gio mount '{share}'
        set -e
        gio mkdir '{share}/folder%20%C3%A9'
        gio copy '{tmp_path}/local file' '{share}/folder%20%C3%A9/a%20b%23%3F'
        gio move '{share}/folder%20%C3%A9/a%20b%23%3F' '{share}/moved'
        printf 'saved twice' | gio save '{share}/moved.txt'
        printf 'saved again' | gio save '{share}/moved.txt'
        gio rename '{share}/moved.txt' 'renamed %;.txt'
        gio list '{share}' | sort
        gio info -a 'standard::size,time::modified' '{share}/moved'
        gio copy '{share}/moved' '{tmp_path}/back'
        gio remove '{share}/moved'
        gio mount -u '{share}'
    """
    code, said = await attempt(
        "dbus-run-session", "--", "sh", "-c", script, cwd=tmp_path, XDG_RUNTIME_DIR=str(tmp_path), GVFS_DISABLE_FUSE="1"
    )
    assert code == 0, said
    assert (tmp_path / "back").read_bytes() == data
    assert "folder é\nmoved\nrenamed %;.txt" in said
    assert "standard::size: 200000" in said
    assert (await dav("GET", f"/{BUCKET}/renamed%20%25%3B.txt")).body == b"saved again"
    keys = [key for key, _ in (await dav.world.objects.list(dav.who, BUCKET)).entries]
    assert keys == ["folder é/", "renamed %;.txt"]
