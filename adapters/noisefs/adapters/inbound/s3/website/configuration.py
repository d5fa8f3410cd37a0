"""The web site configuration of a bucket: kept and read back as it was put."""

from functools import lru_cache
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3.operations.kept import KeptConfiguration
from noisefs.adapters.inbound.s3.website.site import Site, site_of
from noisefs.adapters.inbound.s3.xml.kept import content_of
from noisefs.adapters.inbound.s3.xml.reading import parse

KIND: Final = "website"
"""Of the configuration in a bucket's row."""
_ROOT: Final = "WebsiteConfiguration"


class WebsiteOperations(KeptConfiguration):
    """Answers requests on web site configurations. Task-safe."""

    kind = KIND
    root = _ROOT
    absent = "NoSuchWebsiteConfiguration"

    def taken(self, root: etree._Element) -> bytes:
        """The configuration as it is put."""
        site_of(root)
        return content_of(root).encode()


@lru_cache(maxsize=256)
def site_kept(kept: bytes) -> Site:
    """The site that a bucket's configuration describes."""
    return site_of(parse(b"<%s>%s</%s>" % (_ROOT.encode(), kept, _ROOT.encode()), _ROOT))
