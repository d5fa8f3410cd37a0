"""Versioning of buckets, and ListObjectVersions."""

from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml import listing, versions
from noisefs.adapters.inbound.s3.xml.documents import element, flag, optional
from noisefs.adapters.inbound.s3.xml.reading import texts_of
from noisefs.core.domain.records import Versioning as State
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.versions.versioning import Versions

VERSIONS_MOST: Final = 1000
_TOLD: Final = {State.NEVER: "", State.ENABLED: "Enabled", State.SUSPENDED: "Suspended"}


class VersionOperations:
    """Answers requests about versions. Task-safe."""

    def __init__(self, *, buckets: Buckets, objects: Objects, versions: Versions, bodies: XmlBodies) -> None:
        self._buckets = buckets
        self._objects = objects
        self._versions = versions
        self._bodies = bodies

    async def state(self, call: Call) -> Answer:
        """Whether the bucket keeps versions; nothing where it never did."""
        bucket = await self._buckets.get(call.who, call.bucket)
        return answers.xml(call, "VersioningConfiguration", optional("Status", _TOLD[State(bucket.versioning)]))

    async def configure(self, call: Call) -> Answer:
        """Enable or suspend versioning."""
        enabled = await self._bodies.read(call, "VersioningConfiguration", _enabled_of)
        await self._versions.configure(call.who, call.bucket, enabled=enabled)
        return answers.empty(call)

    async def list_versions(self, call: Call) -> Answer:
        """Current and older versions and delete markers: by key, the newest of a key first."""
        prefix, delimiter = call.param("prefix"), call.param("delimiter")
        key_marker, version_marker = call.param("key-marker"), call.param("version-id-marker")
        if version_marker and not key_marker:
            raise invalid_argument(
                "version-id-marker", version_marker, "A version-id marker cannot be specified without a key marker."
            )
        kind = call.param("encoding-type")
        if kind not in ("", "url"):
            raise invalid_argument("encoding-type", kind, "Invalid Encoding Method specified in Request")
        encode = listing.encoder(kind)
        limit = call.number("max-keys", VERSIONS_MOST, VERSIONS_MOST)
        page = await self._objects.list_history(
            call.who,
            call.bucket,
            prefix=prefix,
            delimiter=delimiter,
            key_marker=key_marker,
            version_marker=version_marker,
            limit=limit,
        )
        following = ""
        if page.next_after is not None:
            key, version_id = page.next_after
            following = f"<NextKeyMarker>{encode(key)}</NextKeyMarker>{optional('NextVersionIdMarker', version_id)}"
        content = (
            f"{element('Name', call.bucket)}<Prefix>{encode(prefix)}</Prefix>"
            f"<KeyMarker>{encode(key_marker)}</KeyMarker>"
            f"{element('VersionIdMarker', version_marker)}{following}<MaxKeys>{limit}</MaxKeys>"
            f"{f'<Delimiter>{encode(delimiter)}</Delimiter>' if delimiter else ''}"
            f"{flag('IsTruncated', value=page.next_after is not None)}{optional('EncodingType', kind)}"
            f"{await versions.entries(page.entries, encode, call.who)}"
            f"{listing.common_prefixes(page.prefixes, encode)}"
        )
        return answers.xml(call, "ListVersionsResult", content)


def _enabled_of(root: etree._Element) -> bool:
    fields = texts_of(root)
    delete = fields.get("MfaDelete", "Disabled")
    if delete not in ("Disabled", "Enabled"):
        raise S3Error("MalformedXML")
    if delete == "Enabled":
        raise not_implemented("MFA delete")
    status = fields.get("Status")
    if status is None:
        raise S3Error("IllegalVersioningConfigurationException")
    if status not in ("Enabled", "Suspended"):
        raise S3Error("MalformedXML")
    return status == "Enabled"
