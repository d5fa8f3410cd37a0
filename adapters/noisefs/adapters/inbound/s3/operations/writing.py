"""PutObject, DeleteObject, DeleteObjects."""

from dataclasses import replace
from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.asking.needs import needs_to_delete
from noisefs.adapters.inbound.s3.body.payload import Payload
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.conditions import delete_condition, exactly, write_condition
from noisefs.adapters.inbound.s3.encryption import Encryptions
from noisefs.adapters.inbound.s3.failure import S3Error, failure_of, invalid_argument
from noisefs.adapters.inbound.s3.headers import attributes_of, checksum_headers
from noisefs.adapters.inbound.s3.object_lock import bypasses, wish_of
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.documents import element, optional
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of, texts_of
from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import Doomed, Removed
from noisefs.core.errors import InvalidArgument, NoisefsError
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.rights.bucket_rights import BucketRights

KEYS_MOST: Final = 1000


class Writing:
    """Answers writes and deletes of objects. Task-safe."""

    def __init__(
        self,
        *,
        objects: Objects,
        rights: BucketRights,
        bodies: XmlBodies,
        encryptions: Encryptions,
        max_put_bytes: int,
    ) -> None:
        self._encryptions = encryptions
        self._rights = rights
        self._objects = objects
        self._bodies = bodies
        self._max_put_bytes = max_put_bytes

    async def put_object(self, call: Call) -> Answer:
        """Store the body under the key. All checks that need no bytes come before the client is asked for them."""
        for name in ("versionId", "partNumber"):
            if name in call.target.params:
                raise invalid_argument(name, call.param(name), f"This operation does not accept a {name}.")
        attributes = attributes_of(call.headers)
        condition = write_condition(call.headers)
        wanted = await self._encryptions.wanted(call)
        payload = Payload(call.headers, call.session, call.incoming, self._max_put_bytes)
        version = await self._objects.put(
            call.who,
            call.bucket,
            call.key,
            payload.pieces(),
            replace(attributes, sse=wanted.sse),
            condition=condition,
            digests=payload.digests,
            verify=payload.verify,
            declared_bytes=payload.size or 0,
            lock=wish_of(call.headers),
            outer=wanted.outer,
        )
        return answers.empty(call, headers={**written_headers(version), **wanted.answered})

    async def delete_object(self, call: Call) -> Answer:
        """Remove the object or one version of it; a missing one is removed already."""
        removed = await self._objects.delete(
            call.who,
            call.bucket,
            call.key,
            condition=delete_condition(call.headers),
            version_id=call.target.params.get("versionId") or None,
            bypass=bypasses(call.headers),
        )
        return answers.empty(call, 204, removed_headers(removed))

    async def delete_objects(self, call: Call) -> Answer:
        """Remove up to 1000 objects; each has an outcome of its own."""
        quiet, doomed = await self._bodies.read(call, "Delete", _doomed_of)
        bypass = bypasses(call.headers)
        needs = [needs_to_delete(call.bucket, one.key, one.version_id, bypass=bypass) for one in doomed]
        who, allowed = await self._rights.sift(call.who, call.bucket, needs)
        permitted = [one for one, leave in zip(doomed, allowed, strict=True) if leave]
        removed = iter(await self._objects.delete_many(who, call.bucket, permitted, bypass=bypass))
        texts = []
        for one, leave in zip(doomed, allowed, strict=True):
            outcome = next(removed) if leave else S3Error("AccessDenied")
            code = ""
            named = element("Key", one.key) + optional("VersionId", one.version_id or "")
            if isinstance(outcome, NoisefsError):
                error = _error_of(outcome)
                texts.append(f"<Error>{named}{element('Code', error.code)}{element('Message', str(error))}</Error>")
                code = error.code
            elif not quiet:
                marker = ""
                if outcome.marker:
                    marker = element("DeleteMarker", "true") + element("DeleteMarkerVersionId", outcome.version_id)
                texts.append(f"<Deleted>{named}{marker}</Deleted>")
            if call.logged:
                call.deleted.append((one.key, one.version_id or "", code))
        return answers.xml(call, "DeleteResult", "".join(texts))


def removed_headers(removed: Removed) -> dict[str, str]:
    """What the answer to a delete says about versions."""
    if not removed.version_id:
        return {}
    found = {"x-amz-version-id": removed.version_id}
    if removed.marker:
        found["x-amz-delete-marker"] = "true"
    return found


def written_headers(version: Version) -> dict[str, str]:
    """What the answer to a write says about the object."""
    found = {"ETag": f'"{version.etag}"', **checksum_headers(version.checksums, version.checksum_type)}
    if version.version_id:
        found["x-amz-version-id"] = version.version_id
    if version.sse:
        found["x-amz-server-side-encryption"] = version.sse
    return found


def _error_of(outcome: NoisefsError) -> S3Error:
    impossible = isinstance(outcome, InvalidArgument) and outcome.field == "versionId"
    return S3Error("NoSuchVersion") if impossible else failure_of(outcome)


def _doomed_of(root: etree._Element) -> tuple[bool, list[Doomed]]:
    objects = [child for child in root if name_of(child) == "Object"]
    if not 1 <= len(objects) <= KEYS_MOST:
        raise S3Error("MalformedXML")
    return (text_of(root, "Quiet") or "").strip().lower() == "true", [_doomed(child) for child in objects]


def _doomed(child: etree._Element) -> Doomed:
    fields = texts_of(child)
    if not fields.get("Key"):
        raise S3Error("MalformedXML")
    condition = exactly(fields.get("ETag"), fields.get("LastModifiedTime"), fields.get("Size"))
    return Doomed(fields["Key"], fields.get("VersionId") or None, condition)
