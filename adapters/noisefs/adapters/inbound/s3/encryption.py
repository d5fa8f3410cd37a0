"""What headers say about encryption: keys that customers bring (SSE-C), keys with names (SSE-KMS), and what is done
anyway (SSE-S3).

Source: S3 user guide, *Protecting data with encryption*. A customer's key is asked for over TLS, or on this machine.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.xml.reading import name_of
from noisefs.core.domain.records import Version
from noisefs.core.domain.sealing.inner import CUSTOMER, NAMED, OuterKey
from noisefs.core.domain.sealing.keys import KEY_BYTES
from noisefs.core.services.named_keys import DEFAULT, NamedKeys
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.rights.bucket_rights import BucketRights

SSE: Final = "x-amz-server-side-encryption"
KEY_ID: Final = f"{SSE}-aws-kms-key-id"
KIND: Final = "encryption"
"""Of a bucket's default encryption among its configurations."""
SOURCE: Final = "x-amz-copy-source-server-side-encryption"
KMS: Final = "aws:kms"
PLAIN: Final = "AES256"
_OTHERS: Final = frozenset({"aws:kms:dsse", "aws:fsx"})
_CUSTOMER: Final = ("customer-algorithm", "customer-key", "customer-key-md5")
UNUSUAL: Final = frozenset({KEY_ID, *(f"{SSE}-{name}" for name in _CUSTOMER)})
"""Headers with which a request takes the long way."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a write is to be encrypted.

    Attributes:
        outer: The key of the inner seal; ``None``: there is none.
        sse: What the object says of it.
        answered: Headers of the answer.
    """

    outer: OuterKey | None = None
    sse: str = ""
    answered: Mapping[str, str] = field(default_factory=dict)


def is_usual(headers: Mapping[str, str] | Set[str]) -> bool:
    """Whether a request says nothing about encryption that takes a longer look."""
    return UNUSUAL.isdisjoint(headers) and SSE not in headers


def customer_key_of(call: Call, prefix: str = SSE) -> bytes | None:
    """The key that came with a request; ``prefix``: of its headers.

    Raises:
        S3Error: ``InvalidArgument``, ``InvalidEncryptionAlgorithmError``: there is no key in them; ``InvalidRequest``:
            they came in the clear.
    """
    algorithm, key, md5 = (call.headers.get(f"{prefix}-{name}") for name in _CUSTOMER)
    if algorithm is None and key is None and md5 is None:
        return None
    about = "Requests specifying Server Side Encryption with Customer provided keys must"
    if not algorithm:
        raise S3Error("InvalidArgument", f"{about} provide a valid encryption algorithm.")
    if algorithm != PLAIN:
        raise S3Error(
            "InvalidEncryptionAlgorithmError",
            f"The Encryption request you specified is not valid. Supported value: {PLAIN}.",
        )
    if not _is_private(call):
        raise S3Error("InvalidRequest", f"{about} be made over a secure connection.")
    if not key:
        raise S3Error("InvalidArgument", f"{about} provide an appropriate secret key.")
    if not md5:
        raise S3Error("InvalidArgument", f"{about} provide the client calculated MD5 of the secret key.")
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise S3Error("InvalidArgument", "The secret key was invalid for the specified algorithm.")
    computed = base64.b64encode(hashlib.md5(raw, usedforsecurity=False).digest()).decode()
    if not hmac.compare_digest(computed, md5.strip()):
        raise S3Error("InvalidArgument", "The calculated MD5 hash of the key did not match the hash that was provided.")
    return raw


def check_read(call: Call) -> None:
    """Refuse a read that says how something shall be encrypted.

    Raises:
        S3Error: ``InvalidArgument``.
    """
    for name in (SSE, KEY_ID):
        if name in call.headers:
            raise invalid_argument(name, call.headers[name], f"{name} header is not supported for this operation.")


def _is_private(call: Call) -> bool:
    """Whether nobody between the client and here could see a key."""
    request = call.request
    if (request.get("scheme") or request.scheme) == "https":
        return True
    try:
        return ip_address(str(request.get("client") or request.remote or "").partition("%")[0]).is_loopback
    except ValueError:
        return False


def told_of(call: Call, version: Version) -> dict[str, str]:
    """What an answer about an object, or an upload's template, says of its encryption."""
    found = {SSE: version.sse} if version.sse else {}
    if version.inner is None:
        return found
    return found | ({KEY_ID: version.inner.key_name} if version.inner.kind == NAMED else _customer_headers(call))


def _customer_headers(call: Call) -> dict[str, str]:
    md5 = call.headers.get(f"{SSE}-customer-key-md5")
    return {} if md5 is None else {f"{SSE}-customer-algorithm": PLAIN, f"{SSE}-customer-key-MD5": md5.strip()}


class Encryptions:
    """Finds out how writes are to be encrypted. Task-safe."""

    def __init__(self, *, buckets: Buckets, rights: BucketRights, named: NamedKeys) -> None:
        self._buckets = buckets
        self._rights = rights
        self._named = named

    async def wanted(self, call: Call) -> Wanted:
        """What the headers ask for, or else the bucket's default.

        Raises:
            S3Error: ``InvalidArgument``, ``NotImplemented``.
            NamedKeyNotFound: There is no such key.
            AccessDenied: A policy forbids it, before anybody looks whether it has a meaning.
        """
        try:
            return await self._wanted(call)
        except S3Error:
            self._rights.check(call.who, call.bucket)
            raise

    async def _wanted(self, call: Call) -> Wanted:
        said = call.headers
        customer = customer_key_of(call)
        sse, key_id = said.get(SSE), said.get(KEY_ID)
        if customer is not None:
            if sse is not None or key_id is not None:
                raise S3Error(
                    "InvalidArgument",
                    "Server Side Encryption with Customer provided key is incompatible "
                    "with the encryption method specified",
                )
            return Wanted(OuterKey(CUSTOMER, customer), "", _customer_headers(call))
        if sse is None and key_id is None:
            sse, key_id = _default_of(self._buckets.peek(call.bucket, KIND))
        if sse is None or sse == PLAIN:
            if key_id is not None:
                raise invalid_argument(KEY_ID, key_id, f"{KEY_ID} goes with {SSE}: {KMS}")
            return Wanted() if sse is None else Wanted(None, PLAIN, {SSE: PLAIN})
        if sse in _OTHERS:
            raise not_implemented(f"{SSE}: {sse}")
        if sse != KMS:
            if key_id is not None:
                raise invalid_argument(SSE, sse, f"{KEY_ID} goes with {SSE}: {KMS}")
            raise invalid_argument(SSE, sse, "The encryption method specified is not supported")
        return await self._by_name(_name_of(key_id))

    async def _by_name(self, name: str) -> Wanted:
        if name == DEFAULT:
            await self._named.ensure(DEFAULT)
        return Wanted(OuterKey(NAMED, self._named.get(name), name), KMS, {SSE: KMS, KEY_ID: name})


def _name_of(key_id: str | None) -> str:
    """A key's name out of what a client may call it: the name, or an ARN that ends in it."""
    if not key_id:
        return DEFAULT
    return key_id.partition(":key/")[2] or key_id if key_id.startswith("arn:") else key_id


@lru_cache(maxsize=256)
def _default_of(kept: bytes | None) -> tuple[str | None, str | None]:
    """Algorithm and key of a bucket's default encryption, as its configuration was put."""
    if kept is None:
        return None, None
    found: dict[str, str] = {}
    for element in etree.fromstring(b"<r>" + kept + b"</r>", etree.XMLParser(resolve_entities=False)).iter():
        if name_of(element) in ("SSEAlgorithm", "KMSMasterKeyID"):
            found[name_of(element)] = (element.text or "").strip()
    return found.get("SSEAlgorithm"), found.get("KMSMasterKeyID") or None
