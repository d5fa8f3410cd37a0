"""A bucket's default encryption, and who pays for requests."""

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.encryption import KIND, KMS
from noisefs.adapters.inbound.s3.failure import S3Error, not_implemented
from noisefs.adapters.inbound.s3.operations.kept import KeptConfiguration
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.kept import content_of
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of
from noisefs.core.services.namespace.buckets.service import Buckets


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


class DefaultEncryption(KeptConfiguration):
    """Answers requests on how a bucket's objects are encrypted. Task-safe."""

    kind = KIND
    root = "ServerSideEncryptionConfiguration"
    absent = "ServerSideEncryptionConfigurationNotFoundError"

    def taken(self, root: etree._Element) -> bytes:
        """The configuration as it is put."""
        _check_encryption(root)
        return content_of(root).encode()


class RequestPayment:
    """Takes the configuration that says who pays, which is the bucket's owner anyway. Task-safe."""

    def __init__(self, *, buckets: Buckets, bodies: XmlBodies) -> None:
        self._buckets = buckets
        self._bodies = bodies

    async def put(self, call: Call) -> Answer:
        """Accept what is so anyway."""
        await self._bodies.read(call, "RequestPaymentConfiguration", _check_payer)
        await self._buckets.get(call.who, call.bucket)
        return answers.empty(call)
