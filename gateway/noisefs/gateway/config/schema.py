"""The schema: every setting, its type, its default and what it is for. The README's table is made from it.

Only settings that something reads are here. Names carry their unit, except sizes, which may be written ``256MiB``.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, Field, SecretStr, model_validator

from noisefs.core.domain.buckets.durability import MOST_COPIES
from noisefs.gateway.config.caching import CacheConfig
from noisefs.gateway.config.events import EventsConfig
from noisefs.gateway.config.table import Count, Seconds, Table
from noisefs.gateway.config.values import (
    Address,
    DayWindows,
    Domain,
    DurabilityName,
    Endpoint,
    Networks,
    Size,
    Url,
)
from noisefs.gateway.config.webdav import WebdavConfig

_MIB = 1 << 20
_GIB = 1 << 30
_TIB = 1 << 40


class S3Config(Table):
    """The S3 endpoint."""

    listen: Endpoint = Field(
        default=Address.parse("127.0.0.1:9000"), description="Where S3 listens. Port 0 picks a free one."
    )
    region: str = Field(default="us-east-1", min_length=1, description="Region that clients sign for.")
    domain: Domain | None = Field(
        default=None, description="Domain of virtual-host requests: `bucket.DOMAIN` names a bucket."
    )
    max_put_bytes: Size = Field(default=5 * _GIB, gt=0, description="Largest body of one PUT or one part.")
    min_part_bytes: Size = Field(
        default=5 * _MIB, gt=0, description="Smallest part of a multipart upload, the last one apart."
    )
    upload_expiry_s: Seconds = Field(
        default=7 * 86_400, description="Age at which an unfinished multipart upload is removed."
    )
    lifecycle_day_s: Seconds = Field(
        default=86_400,
        ge=1,
        le=86_400,
        description="Length of a day where lifecycle rules are carried out: shorter to try them; dates stay right.",
    )
    log_flush_s: Seconds = Field(
        default=300.0,
        description="Lines of buckets' access logs are put into their bucket so often; a kill loses them.",
    )
    ownership: Literal["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"] = Field(
        default="BucketOwnerEnforced",
        description="S3 object ownership of new buckets that name none; `ObjectWriter`: ACLs count.",
    )
    sosapi: bool = Field(
        default=True, description="Every bucket shows Veeam's `system.xml` and `capacity.xml`, in no listing."
    )
    signature_v2: bool = Field(
        default=False,
        description="Requests and URLs signed with AWS Signature Version 2 are accepted too. It covers no bodies: TLS.",
    )


class WebsiteConfig(Table):
    """Buckets as web sites, for anybody whom their policies let read."""

    listen: Endpoint | None = Field(
        default=None, description="Where web sites of buckets listen; none: nowhere. Port 0 picks a free one."
    )
    domain: Domain | None = Field(
        default=None,
        description="Domain of web sites: `bucket.DOMAIN` is a bucket's. Any other host names the bucket called like "
        "it; on loopback `/bucket/` does.",
    )


class AdminConfig(Table):
    """Health, metrics."""

    listen: Endpoint = Field(
        default=Address.parse("127.0.0.1:9002"), description="Where `/healthz`, `/readyz` and `/metrics` listen."
    )
    token: SecretStr | None = Field(
        default=None, min_length=16, description="Bearer token for the admin port; needed when it listens off loopback."
    )


class TlsConfig(Table):
    """TLS for S3 and WebDAV, and for the admin port where it is not on loopback."""

    certificate: Path | None = Field(
        default=None, description="PEM file with the certificate and its chain. Turns TLS on."
    )
    key: Path | None = Field(default=None, description="PEM file with the certificate's key.")

    @model_validator(mode="after")
    def _both(self) -> "TlsConfig":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class PublicUrls(Table):
    """How clients reach the server when something stands in front of it."""

    s3: Url | None = Field(default=None, description="URL of the S3 endpoint as clients see it.")
    webdav: Url | None = Field(default=None, description="URL of the WebDAV share as clients see it.")


class StoreConfig(Table):
    """How the store works; the first two are fixed when it is made."""

    segment_bytes: Size = Field(
        default=131_072,
        description="Bytes sealed as one: 128KiB, 256KiB, 512KiB or 1MiB. Read only when the store is made.",
    )
    strategy: Literal["chain", "uniform", "fresh"] = Field(
        default="chain",
        description="How randomizers are chosen: chain, uniform, fresh. Read only when the store is made.",
    )
    sync: Literal["fsync", "os"] = Field(
        default="fsync",
        description="`fsync`: an answered write survives power loss. `os`: only the end of the process.",
    )
    write_buffer_bytes: Size = Field(
        default=16 * _MIB, gt=0, description="Plaintext of all uploads under way held in memory."
    )
    read_buffer_bytes: Size = Field(
        default=16 * _MIB, gt=0, description="Plaintext of all downloads under way held in memory."
    )
    inline_max_bytes: Size = Field(
        default=512 * _MIB, gt=0, description="Small objects that may wait in the index; writes slow down beyond."
    )
    reserve_bytes: Size = Field(
        default=256 * _MIB,
        ge=0,
        description="Disk space kept free, so that start, DELETE and cleaning work on a full disk.",
    )
    max_object_bytes: Size = Field(
        default=5 * _TIB, gt=0, description="Largest object, also of many parts or through WebDAV."
    )
    max_buckets: Count = Field(default=1000, description="Buckets a user may own.")
    durability: DurabilityName = Field(
        default="local",
        description="Class of new buckets: `local`; with nodes also `ipfs` (as many copies as `ipfs.copies`) and "
        "`replicated:N`.",
    )


class HotConfig(Table):
    """The hot tier."""

    max_bytes: Size = Field(
        default=512 * _MIB, ge=0, description="Memory for cells and small objects that are read again."
    )


class NodeDeclaration(Table):
    """A node that keeps packs."""

    api: Url = Field(description="URL of its API: Kubo's RPC (port 5001), or the REST of ipfs-cluster (9094).")
    kind: Literal["kubo", "cluster"] = Field(
        default="kubo", description="`kubo`: one daemon. `cluster`: an ipfs-cluster, which spreads copies itself."
    )
    kubo: Url | None = Field(
        default=None,
        description="Of a `cluster`: URL of the Kubo RPC of one of its peers. Blocks and heads go through it.",
    )
    gateway: Url | None = Field(
        default=None, description="URL of its HTTP gateway, which gives blocks at half the cost of the API."
    )
    name: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9.:_\[\]-]*)?$",
        max_length=100,
        description="What the store calls it, for ever. Default: host and port of `api`.",
    )
    zone: str = Field(default="", description="Where it stands: copies go to different zones first. Default: its own.")
    managed: bool = Field(
        default=False, description="It is this store's alone: its garbage is collected in `ipfs.gc_windows`."
    )
    drain: bool = Field(default=False, description="Give it nothing new, and copy what it holds to other nodes.")
    token: SecretStr | None = Field(default=None, description="Bearer token for its API (and for `kubo`).")
    token_file: Path | None = Field(default=None, description="File whose first line is the token.")
    user: str = Field(default="", description="User for its API (and for `kubo`), instead of a token.")
    password: SecretStr | None = Field(default=None, description="That user's password.")
    password_file: Path | None = Field(default=None, description="File whose first line is the password.")

    @model_validator(mode="after")
    def _peer(self) -> "NodeDeclaration":
        if (self.kind == "cluster") != (self.kubo is not None):
            raise ValueError("kubo is for a cluster, and a cluster needs it")
        return self

    @model_validator(mode="after")
    def _credentials(self) -> "NodeDeclaration":
        tokens = (self.token is not None) + (self.token_file is not None)
        passwords = (self.password is not None) + (self.password_file is not None)
        if tokens > 1 or passwords > 1 or (tokens and (passwords or self.user)) or bool(self.user) != bool(passwords):
            raise ValueError("a token, a token_file, or a user with a password or password_file can be given")
        if self.kind == "cluster" and self.managed:
            raise ValueError("a cluster collects its garbage itself: managed is for kubo")
        return self

    @property
    def known_as(self) -> str:
        """Its name, or what stands for it."""
        return self.name or self.api.partition("://")[2]


class IpfsConfig(Table):
    """IPFS nodes as the backing store."""

    nodes: tuple[NodeDeclaration, ...] = Field(default=(), description="Nodes that keep packs.")
    public: bool = Field(
        default=False,
        description="Use nodes of the public network too: everybody sees which node holds which pack, its size and "
        "when it came.",
    )
    copies: int = Field(
        default=1,
        ge=1,
        le=MOST_COPIES,
        description="Copies of each pack, on different nodes; a bucket's class may ask for more.",
    )
    local_packs_max_bytes: Size = Field(
        default=0,
        ge=0,
        description="Packs that nodes hold leave the disk, the longest unread first, when local packs take this much; "
        "0: they all stay. At least 4 packs (256MiB) stay.",
    )
    upload_bytes_per_s: Size = Field(default=0, ge=0, description="Bandwidth of all uploads to nodes; 0: no limit.")
    uploads_at_once: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Packs on their way to nodes at one time, and as many repairs; a node is sent one at a time.",
    )
    min_free_bytes: Size = Field(default=_GIB, ge=0, description="Free space a node must have left to get a pack.")
    min_free_inodes: int = Field(default=10_000, ge=0, description="Free inodes a node must have left to get a pack.")
    gc_windows: DayWindows = Field(
        default=(),
        description="Times of day, such as `01:30-05:00` (UTC), at which garbage of managed nodes is collected.",
    )
    read_timeout_s: Seconds = Field(
        default=20, description="A block that no node gives in this time is unavailable: 503."
    )
    confirm_timeout_s: Seconds = Field(
        default=10,
        description="A write to a bucket of a class above `local` waits so long for nodes that answer: 503.",
    )
    pack_max_age_s: Seconds = Field(
        default=300, description="Age at which a pack that is not full is sealed and leaves for nodes."
    )
    down_after_s: Seconds = Field(
        default=900, description="What a node holds is copied to others when it is down for so long."
    )
    health_every_s: Annotated[float, Field(ge=1)] = Field(
        default=3600, description="Every node is asked for every pack it should hold this often."
    )
    verify_every_s: Annotated[float, Field(ge=0)] = Field(
        default=2_592_000,
        description="Every block of every copy is read from its node once in this time, so that damage is found before "
        "a read finds it: 1 TiB on nodes in 30 days is 420 kB/s; 0: never.",
    )
    reconcile_every_s: Annotated[float, Field(ge=1)] = Field(
        default=21_600,
        description="Pins of nodes are compared with the index at start, and then this often: what a crash left behind "
        "is taken up, or let go of.",
    )

    @model_validator(mode="after")
    def _nodes(self) -> "IpfsConfig":
        names = [node.known_as for node in self.nodes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two nodes are called {twice[0]!r}")
        return self


_TAKEN_EVERY_S: Final = 3600.0
_SHIPPED_EVERY_S: Final = 300.0


class SnapshotsConfig(Table):
    """Snapshots of the index: what `rebuild-index` goes back to."""

    every_s: Seconds | None = Field(
        default=None,
        description="A snapshot is taken this often, if anything changed. Default: 3600; with nodes 300.",
    )
    set_age_s: Seconds = Field(default=86_400, description="Age at which a full snapshot begins a new set.")
    keep_sets: Count = Field(
        default=2, description="Sets that are kept. Keys of deleted objects live in them until they expire."
    )

    def pause_s(self, *, nodes: bool) -> float:
        """Seconds between two snapshots."""
        return self.every_s or (_SHIPPED_EVERY_S if nodes else _TAKEN_EVERY_S)


class RootKeyConfig(Table):
    """Where the root key comes from: a file, or a passphrase."""

    file: Path | None = Field(
        default=None, description="Root key file, of mode 0600. Default: `root.key` in the data folder."
    )
    passphrase: SecretStr | None = Field(
        default=None, min_length=8, description="Passphrase that becomes the root key."
    )
    passphrase_file: Path | None = Field(default=None, description="File whose first line is the passphrase.")

    @model_validator(mode="after")
    def _one(self) -> "RootKeyConfig":
        if sum(one is not None for one in (self.file, self.passphrase, self.passphrase_file)) > 1:
            raise ValueError("only one of file, passphrase and passphrase_file can be given")
        return self


class LimitsConfig(Table):
    """Bounds on what clients may make the server hold."""

    max_connections: Count = Field(
        default=1024, description="Connections of each listener; further ones are answered 503."
    )
    max_header_bytes: Size = Field(
        default=32_768, ge=8192, description="Longest header line, and longest request line."
    )
    keepalive_s: Seconds = Field(
        default=75, description="A connection that has not sent a whole request's headers for so long is closed."
    )
    body_timeout_s: Seconds = Field(
        default=60, description="A client that neither sends nor takes a byte for so long is cut off."
    )
    drain_s: Seconds = Field(default=30, description="After SIGTERM, requests under way have this long to end.")


class KeyDeclaration(Table):
    """An access key of a declared user."""

    access_key: str = Field(description="Access key id.")
    secret_key: SecretStr | None = Field(default=None, description="Its secret.")
    secret_key_file: Path | None = Field(default=None, description="File whose first line is the secret.")

    @model_validator(mode="after")
    def _one(self) -> "KeyDeclaration":
        if (self.secret_key is None) == (self.secret_key_file is None):
            raise ValueError("one of secret_key and secret_key_file is needed")
        return self


class UserDeclaration(Table):
    """A user that is there after every start."""

    name: str = Field(description="User name; also a WebDAV login.")
    admin: bool = Field(default=False, description="Sees and uses every bucket, and may manage users.")
    password: SecretStr | None = Field(
        default=None, description="WebDAV password of the name; keys work as logins without it."
    )
    keys: tuple[KeyDeclaration, ...] = Field(default=(), description="Access keys.")
    root: str | None = Field(
        default=None,
        description="What `/` is over WebDAV: a bucket, perhaps with a path; empty: all buckets. Default: as it is.",
    )
    quota_bytes: Size | None = Field(
        default=None, ge=0, description="All their buckets may hold so many bytes; 0: any number. Default: as it is."
    )
    quota_objects: int | None = Field(default=None, ge=0, description="The same for objects.")


class BucketDeclaration(Table):
    """A bucket that is there after every start."""

    name: str = Field(description="Bucket name.")
    owner: str = Field(description="Name of the user who owns it.")
    durability: DurabilityName | None = Field(
        default=None, description="Its class. Default: `store.durability` when it is made."
    )
    quota_bytes: Size | None = Field(
        default=None, ge=0, description="It may hold so many bytes; 0: any number. Default: as it is."
    )
    quota_objects: int | None = Field(default=None, ge=0, description="The same for objects.")


class Config(Table):
    """All settings."""

    admin_access_key: str | None = Field(
        default=None, description="Access key of the first user, taken when the store is made; also its WebDAV login."
    )
    admin_secret_key: SecretStr | None = Field(default=None, description="Secret of that key.")
    allow_insecure: bool = Field(
        default=False, description="Listen off loopback without TLS and without a trusted proxy all the same."
    )
    trusted_proxies: Networks = Field(
        default=(), description="Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that serve; more help only with many tiny requests. They share the memory set below.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    s3: S3Config = S3Config()
    webdav: WebdavConfig = WebdavConfig()
    website: WebsiteConfig = WebsiteConfig()
    admin: AdminConfig = AdminConfig()
    tls: TlsConfig = TlsConfig()
    public_urls: PublicUrls = PublicUrls()
    store: StoreConfig = StoreConfig()
    hot: HotConfig = HotConfig()
    cache: CacheConfig = CacheConfig()
    ipfs: IpfsConfig = IpfsConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    events: EventsConfig = EventsConfig()
    root_key: RootKeyConfig = RootKeyConfig()
    limits: LimitsConfig = LimitsConfig()
    users: tuple[UserDeclaration, ...] = Field(
        default=(), description="Users that are made at start if they are not there."
    )
    buckets: tuple[BucketDeclaration, ...] = Field(default=(), description="Buckets that are made at start.")

    @model_validator(mode="after")
    def _pair(self) -> "Config":
        if (self.admin_access_key is None) != (self.admin_secret_key is None):
            raise ValueError("admin_access_key and admin_secret_key go together")
        return self

    @model_validator(mode="after")
    def _durable(self) -> "Config":
        classes = {"store": self.store.durability} | {bucket.name: bucket.durability for bucket in self.buckets}
        for name, durability in classes.items():
            if durability not in (None, "local") and not self.ipfs.nodes:
                raise ValueError(f"durability {durability!r} of {name} needs nodes: there are no ipfs.nodes")
        return self


def table_of(annotation: object) -> type[BaseModel] | None:
    """The table in a field's type: the type itself, or what a tuple of it holds; ``None`` for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := table_of(part))), None)
