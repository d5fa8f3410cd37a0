"""Amazon S3's REST API over the namespace.

A request is taken apart (:mod:`.target`), its signature is checked (:mod:`.auth`), and :mod:`.routing` finds the
operation. Bodies come in through :mod:`.body`, XML goes in and out through :mod:`.xml`, and every refusal is one of
:mod:`.failure`.
"""

from noisefs.adapters.inbound.s3.adapter import S3Adapter
from noisefs.adapters.inbound.s3.settings import S3Settings

__all__ = ["S3Adapter", "S3Settings"]
