"""The servers of the comparison: how each is found and started. None of them is required.

Every peer runs with its own defaults, except where a line below says why not. None of them but MinIO
syncs a PUT to disk, and none encrypts.
"""

import base64
import hashlib
import importlib.util
import json
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ACCESS_KEY = "benchaccesskey00"
SECRET_KEY = "benchsecretkey000000000000000000"


@dataclass(frozen=True, slots=True)
class Launch:
    """One command line, and where the server will answer."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    s3: int | None = None  # port
    webdav: int | None = None
    ready_line: bool = False  # the server prints its addresses; the ports above do not count
    webdav_root: str = "/"  # where collections can be made


def find_program(name: str) -> str | None:
    """A program beside this Python, in ``.tools/bin`` of the checkout, or on the PATH."""
    for folder in (Path(sys.executable).parent, Path(__file__).parents[1] / ".tools" / "bin"):
        if (folder / name).is_file():
            return str(folder / name)
    return shutil.which(name)


class Peer(ABC):
    """One server program. ``ports`` says how many free ports a launch needs."""

    name: str
    program: str
    protocols: frozenset[str] = frozenset({"s3"})
    ports = 1

    def find(self) -> str | None:
        """Path of the program, or None where it is not installed."""
        return find_program(self.program)

    @abstractmethod
    def launch(self, program: str, place: Path, ports: Sequence[int]) -> Launch:
        """How to start it on data folder ``place``, which exists."""


class NoiseFS(Peer):
    """This server, or another checkout of it."""

    name = "noisefs"
    program = "noisefs"
    protocols = frozenset({"s3", "webdav"})
    ports = 0

    def __init__(self, name: str = "noisefs", path: str | None = None, environment: Mapping[str, str] | None = None):
        self.name = name
        self._path = path
        self._environment = dict(environment or {})

    def find(self) -> str | None:
        return self._path or find_program(self.program)

    def launch(self, program: str, place: Path, ports: Sequence[int]) -> Launch:
        del ports  # it picks its own and prints them
        free = "127.0.0.1:0"
        return Launch(
            [program, "serve", "--data", str(place), "--s3", free, "--webdav", free, "--admin", free],
            {
                "NOISEFS_ADMIN_ACCESS_KEY": ACCESS_KEY,
                "NOISEFS_ADMIN_SECRET_KEY": SECRET_KEY,
                **self._environment,
            },
            ready_line=True,
        )


class Versitygw(Peer):
    """A gateway over a plain folder, Go."""

    name = program = "versitygw"

    def launch(self, program: str, place: Path, ports: Sequence[int]) -> Launch:
        (place / "data").mkdir(exist_ok=True)
        # Keep-alive is off by default; every client of this benchmark keeps its connections.
        flags = ["--keep-alive", "--quiet", "--port", f"127.0.0.1:{ports[0]}"]
        keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        return Launch([program, *flags, "posix", str(place / "data")], keys, s3=ports[0])


class Minio(Peer):
    """MinIO on one drive."""

    name = program = "minio"
    ports = 2

    def launch(self, program: str, place: Path, ports: Sequence[int]) -> Launch:
        address, console = (f"127.0.0.1:{port}" for port in ports)
        return Launch(
            [program, "server", "--quiet", "--address", address, "--console-address", console, str(place / "data")],
            {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_UPDATE": "off"},
            s3=ports[0],
        )


class SeaweedFS(Peer):
    """Master, volume server, filer and S3 gateway of SeaweedFS in one process."""

    name = "seaweedfs"
    program = "weed"
    ports = 8

    def launch(self, program: str, place: Path, ports: Sequence[int]) -> Launch:
        identity = {
            "name": "bench",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (place / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (place / "data").mkdir(exist_ok=True)
        names = ("master.port", "volume.port", "filer.port", "s3.port")
        flags = [f"-{name}={port}" for name, port in zip(names, ports, strict=False)]
        flags += [f"-{name}.grpc={port}" for name, port in zip(names, ports[4:], strict=False)]
        flags += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={place / 's3.json'}", f"-dir={place / 'data'}"]
        # One volume collection per bucket grows by seven volumes at once; small limits keep the disk free.
        flags += ["-master.volumeSizeLimitMB=1024", "-volume.max=0"]
        return Launch([program, "server", "-s3", *flags], s3=ports[3])


class RcloneS3(Peer):
    """``rclone serve s3`` over a plain folder."""

    name = "rclone-s3"
    program = "rclone"

    def launch(self, program: str, place: Path, ports: Sequence[int]) -> Launch:
        (place / "data").mkdir(exist_ok=True)
        keys = f"{ACCESS_KEY},{SECRET_KEY}"
        argv = [program, "serve", "s3", "--addr", f"127.0.0.1:{ports[0]}", "--auth-key", keys, str(place / "data")]
        return Launch(argv, {"RCLONE_CONFIG": str(place / "rclone.conf")}, s3=ports[0])


class RcloneWebdav(Peer):
    """``rclone serve webdav`` over a plain folder."""

    name = "rclone-webdav"
    program = "rclone"
    protocols = frozenset({"webdav"})

    def launch(self, program: str, place: Path, ports: Sequence[int]) -> Launch:
        (place / "data").mkdir(exist_ok=True)
        login = ["--user", ACCESS_KEY, "--pass", SECRET_KEY]
        argv = [program, "serve", "webdav", "--addr", f"127.0.0.1:{ports[0]}", *login, str(place / "data")]
        return Launch(argv, {"RCLONE_CONFIG": str(place / "rclone.conf")}, webdav=ports[0])


_APACHE_CONF = """\
ServerName localhost
Listen 127.0.0.1:{port}
ServerRoot {place}
PidFile {place}/httpd.pid
ErrorLog {place}/error.log
DocumentRoot {place}/data
DavLockDB {place}/locks
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
{user}
{modules}
<Directory {place}/data>
  Dav On
  AllowOverride None
  DavMinTimeout 0
  AuthType Basic
  AuthName bench
  AuthUserFile {place}/passwords
  Require valid-user
</Directory>
"""
_APACHE_MODULES = (
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "dav",
    "dav_fs",
)


class Apache(Peer):
    """Apache httpd with mod_dav, as Debian ships it."""

    name = "apache-dav"
    program = "apache2"
    protocols = frozenset({"webdav"})

    def find(self) -> str | None:
        return find_program("apache2") or find_program("httpd") or shutil.which("apache2", path="/usr/sbin")

    def launch(self, program: str, place: Path, ports: Sequence[int]) -> Launch:
        folder = next(
            (path for path in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules") if Path(path).is_dir()),
            "modules",
        )
        modules = "\n".join(f"LoadModule {name}_module {folder}/mod_{name}.so" for name in _APACHE_MODULES)
        # A fast hash, so that the comparison is not one of password hashes.
        digest = base64.b64encode(hashlib.sha1(SECRET_KEY.encode()).digest()).decode()
        (place / "passwords").write_text(f"{ACCESS_KEY}:{{SHA}}{digest}\n")
        data = place / "data"
        data.mkdir(exist_ok=True)
        user = ""
        if place.owner() == "root":  # its workers drop to an ordinary user, which must be able to write
            user = "User www-data\nGroup www-data"
            for path in (place, data):
                shutil.chown(path, "www-data", "www-data")
        conf = place / "httpd.conf"
        conf.write_text(_APACHE_CONF.format(port=ports[0], place=place, user=user, modules=modules))
        return Launch([program, "-D", "FOREGROUND", "-f", str(conf)], webdav=ports[0])


class WsgiDav(Peer):
    """WsgiDAV with its own filesystem provider, behind the server that it is to be run with."""

    name = program = "wsgidav"
    protocols = frozenset({"webdav"})

    def find(self) -> str | None:
        return find_program(self.program) if importlib.util.find_spec("cheroot") else None

    def launch(self, program: str, place: Path, ports: Sequence[int]) -> Launch:
        (place / "data").mkdir(exist_ok=True)
        config = {
            "host": "127.0.0.1",
            "port": ports[0],
            "server": "cheroot",
            "provider_mapping": {"/": str(place / "data")},
            "simple_dc": {"user_mapping": {"*": {ACCESS_KEY: {"password": SECRET_KEY}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "logging": {"enable": False},
        }
        (place / "wsgidav.json").write_text(json.dumps(config))
        return Launch([program, "--config", str(place / "wsgidav.json")], webdav=ports[0])


def all_peers() -> list[Peer]:
    """Every server this benchmark knows, ours first."""
    return [NoiseFS(), Versitygw(), Minio(), SeaweedFS(), RcloneS3(), RcloneWebdav(), Apache(), WsgiDav()]
