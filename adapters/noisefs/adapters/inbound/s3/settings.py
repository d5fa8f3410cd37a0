"""What can be set about the S3 endpoint."""

from dataclasses import dataclass

from noisefs.core.domain.rights.ownership import Ownership
from noisefs.core.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Settings of the S3 endpoint.

    Attributes:
        region: The region clients sign for.
        virtual_host_domain: ``bucket.<domain>`` addresses a bucket; ``None``: path style only.
        max_xml_bytes: Largest XML body that is read; a Complete of 10,000 parts with SHA-256 checksums has about 2 MiB.
        max_put_bytes: Largest body of one PUT or one part.
        body_timeout_s: A client that neither sends nor takes a byte for so long is cut off.
        clock_skew_s: A signature's time may differ from ours by this much.
        log_flush_s: Lines of access logs wait so long at most before they are put into their bucket.
        ownership: S3's object ownership of new buckets that are made without one.
        sosapi: Whether every bucket has Veeam's two files.
        signature_v2: Whether requests may be signed with Signature Version 2 too.
    """

    region: str = "us-east-1"
    virtual_host_domain: str | None = None
    max_xml_bytes: int = 4 << 20
    max_put_bytes: int = 5 << 30
    body_timeout_s: float = 60.0
    clock_skew_s: float = 900.0
    log_flush_s: float = 300.0
    ownership: str = Ownership.ENFORCED.value
    sosapi: bool = True
    signature_v2: bool = False

    def __post_init__(self) -> None:
        """Refuse values that would make no server."""
        if self.ownership not in [rule.value for rule in Ownership]:
            raise InvalidArgument("s3.ownership", self.ownership, f"one of {[rule.value for rule in Ownership]}")
        for name in ("max_xml_bytes", "max_put_bytes", "body_timeout_s", "clock_skew_s", "log_flush_s"):
            if getattr(self, name) <= 0:
                raise InvalidArgument(f"s3.{name}", getattr(self, name), "more than 0")
        if not self.region.isascii() or not self.region.isprintable() or "/" in self.region or not self.region:
            raise InvalidArgument("s3.region", self.region, "printable ASCII without slashes")
