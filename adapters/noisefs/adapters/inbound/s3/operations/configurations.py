"""Bucket configurations that are kept and read back as they were put, and such that can only say what is so anyway."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.encryption import KIND, KMS
from noisefs.adapters.inbound.s3.failure import S3Error, not_implemented
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.kept import content_of
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of
from noisefs.core.services.namespace.buckets import Buckets

ENCRYPTION: Final = KIND


def _check_encryption(root: etree._Element) -> None:
    """Every object is sealed whatever this says; a named key seals it once more (:mod:`..encryption`)."""
    rules = [child for child in root if name_of(child) == "Rule"]
    if len(rules) != 1 or len(root) != 1:
        raise S3Error("MalformedXML")
    default = next((child for child in rules[0] if name_of(child) == "ApplyServerSideEncryptionByDefault"), None)
    if default is None:
        raise S3Error("MalformedXML")
    algorithm = (text_of(default, "SSEAlgorithm") or "").strip()
    if algorithm == "aws:kms:dsse":
        raise not_implemented(f"SSEAlgorithm {algorithm}")
    if algorithm not in ("AES256", KMS):
        raise S3Error("MalformedXML")
    if algorithm != KMS and text_of(default, "KMSMasterKeyID"):
        raise S3Error("InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is AES256")


def _check_payer(root: etree._Element) -> None:
    payer = (text_of(root, "Payer") or "").strip()
    if payer != "BucketOwner":
        raise not_implemented(f"Payer {payer[:40]}") if payer == "Requester" else S3Error("MalformedXML")


class _Kind(NamedTuple):
    root: str
    check: Callable[[etree._Element], None]
    kept: bool
    """Whether it is kept; else it can only say what is so anyway."""


KINDS: Final[Mapping[str, _Kind]] = {
    ENCRYPTION: _Kind("ServerSideEncryptionConfiguration", _check_encryption, kept=True),
    "requestPayment": _Kind("RequestPaymentConfiguration", _check_payer, kept=False),
}
"""By sub-resource."""


class Configurations:
    """Answers requests on bucket configurations. Task-safe."""

    def __init__(self, *, buckets: Buckets, bodies: XmlBodies) -> None:
        self._buckets = buckets
        self._bodies = bodies

    async def put(self, call: Call) -> Answer:
        """Keep a configuration."""
        sub = next(name for name in KINDS if name in call.target.params)
        kind = KINDS[sub]

        def checked(root: etree._Element) -> str:
            kind.check(root)
            return content_of(root)

        content = await self._bodies.read(call, kind.root, checked)
        if kind.kept:
            await self._buckets.configure(call.who, call.bucket, sub, content.encode())
        else:
            await self._buckets.get(call.who, call.bucket)
        return answers.empty(call)

    async def get_encryption(self, call: Call) -> Answer:
        """The default encryption as it was put."""
        bucket = await self._buckets.get(call.who, call.bucket)
        kept = bucket.config.get(ENCRYPTION)
        if kept is None:
            raise S3Error("ServerSideEncryptionConfigurationNotFoundError", BucketName=call.bucket)
        return answers.xml(call, KINDS[ENCRYPTION].root, kept.decode())

    async def delete_encryption(self, call: Call) -> Answer:
        """Forget it."""
        await self._buckets.configure(call.who, call.bucket, ENCRYPTION, None)
        return answers.empty(call, 204)
