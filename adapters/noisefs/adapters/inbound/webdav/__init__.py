"""WebDAV: class 1 and 2 (RFC 4918) over the same namespace as S3.

GET, HEAD, PUT and PROPFIND, whose bodies have no bound, are answered on the event loop; the other methods go to
WsgiDAV in a worker thread, through :mod:`.engine.bridge`. Conditions and locks are one set of rules for both
(:mod:`.rules.guard`).
"""

from noisefs.adapters.inbound.webdav.adapter import WebdavAdapter
from noisefs.adapters.inbound.webdav.settings import WebdavSettings

__all__ = ["WebdavAdapter", "WebdavSettings"]
