"""What is set about the WebDAV share."""

from typing import Annotated, Final

from pydantic import Field, model_validator

from noisefs.gateway.config.table import Count, Table
from noisefs.gateway.config.values import Address, Endpoint, Size

_MIB: Final = 1 << 20


class WebdavConfig(Table):
    """The WebDAV share."""

    listen: Endpoint = Field(
        default=Address.parse("127.0.0.1:9001"), description="Where WebDAV listens. Port 0 picks a free one."
    )
    realm: str = Field(default="NoiseFS", description="What a client shows when it asks for a password.")
    max_xml_bytes: Size = Field(default=_MIB, gt=0, description="Largest XML request body.")
    threads: Count = Field(default=8, description="Threads for WebDAV's rules; none of them ever waits for a client.")
    infinity_members: int = Field(
        default=1000,
        ge=0,
        description="PROPFIND with `Depth: infinity` answers trees of up to this many members; 0: never.",
    )
    max_lock_s: Count = Field(
        default=86_400, description="Longest time a lock is granted for before it must be refreshed."
    )
    versions_name: Annotated[str, Field(pattern=r"^[^/]{0,100}$")] = Field(
        default=".versions",
        description="In a bucket that keeps versions: the collection of all of them, read-only, in no listing; empty: "
        "none. Real files of this name come first.",
    )
    trash_name: Annotated[str, Field(pattern=r"^[^/]{0,100}$")] = Field(
        default=".trash",
        description="The same of deleted files: MOVE restores, DELETE removes for good.",
    )
    digest: bool = Field(
        default=False,
        description="Offer Digest authentication too, with access keys only: clients that prefer it then fail with "
        "passwords. For clients that refuse Basic without TLS.",
    )
    cors_origins: list[Annotated[str, Field(pattern=r"^[!-~]+$")]] = Field(
        default=[],
        description="Origins, such as `https://app.example` or `https://*.example`, whose scripts may use the share "
        "with their user's login; `*`: any, with a login of their own only. Buckets' CORS rules count besides.",
    )
    wrong_logins_a_minute: int = Field(
        default=30, ge=0, description="Wrong logins of one address after which further ones wait (429); 0: never."
    )

    @model_validator(mode="after")
    def _names(self) -> "WebdavConfig":
        for name in (self.versions_name, self.trash_name):
            if name in (".", "..") or not name.isprintable():
                raise ValueError(f"{name!r} is no name of a collection")
        if self.versions_name and self.versions_name == self.trash_name:
            raise ValueError("versions_name and trash_name are two names")
        return self
