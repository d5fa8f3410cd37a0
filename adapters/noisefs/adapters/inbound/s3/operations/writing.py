"""PutObject, DeleteObject, DeleteObjects."""

from typing import Final, NamedTuple

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.asking.needs import needs_to_delete
from noisefs.adapters.inbound.s3.body.payload import Payload
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.conditions import delete_condition, write_condition
from noisefs.adapters.inbound.s3.failure import S3Error, failure_of, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.headers import attributes_of, checksum_headers
from noisefs.adapters.inbound.s3.object_lock import bypasses, wish_of
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.documents import element, optional
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of, texts_of
from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import ALWAYS, Doomed, Removed, WriteCondition
from noisefs.core.errors import InvalidArgument, NoisefsError
from noisefs.core.services.namespace.bucket_rights import BucketRights
from noisefs.core.services.namespace.objects import Objects

KEYS_MOST: Final = 1000


class _Asked(NamedTuple):
    """One object of a DeleteObjects request. ``refused``: it cannot be deleted like that."""

    doomed: Doomed
    refused: S3Error | None


class Writing:
    """Answers writes and deletes of objects. Task-safe."""

    def __init__(self, *, objects: Objects, rights: BucketRights, bodies: XmlBodies, max_put_bytes: int) -> None:
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
        payload = Payload(call.headers, call.session, call.incoming, self._max_put_bytes)
        version = await self._objects.put(
            call.who,
            call.bucket,
            call.key,
            payload.pieces(),
            attributes,
            condition=condition,
            digests=payload.digests,
            verify=payload.verify,
            lock=wish_of(call.headers),
        )
        return answers.empty(call, headers=written_headers(version))

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
        quiet, asked = await self._bodies.read(call, "Delete", _asked_of)
        fit = [one.doomed for one in asked if one.refused is None]
        bypass = bypasses(call.headers)
        needs = [needs_to_delete(call.bucket, doomed.key, doomed.version_id, bypass=bypass) for doomed in fit]
        who, allowed = await self._rights.sift(call.who, call.bucket, needs)
        permitted = [doomed for doomed, leave in zip(fit, allowed, strict=True) if leave]
        removed = iter(await self._objects.delete_many(who, call.bucket, permitted, bypass=bypass))
        outcomes = iter([next(removed) if leave else S3Error("AccessDenied") for leave in allowed])
        texts = []
        for one in asked:
            outcome = next(outcomes) if one.refused is None else one.refused
            named = element("Key", one.doomed.key) + optional("VersionId", one.doomed.version_id or "")
            if isinstance(outcome, NoisefsError):
                texts.append(_error(named, outcome))
            elif not quiet:
                marker = ""
                if outcome.marker:
                    marker = element("DeleteMarker", "true") + element("DeleteMarkerVersionId", outcome.version_id)
                texts.append(f"<Deleted>{named}{marker}</Deleted>")
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


def _error(named: str, outcome: NoisefsError) -> str:
    impossible = isinstance(outcome, InvalidArgument) and outcome.field == "versionId"
    error = S3Error("NoSuchVersion") if impossible else failure_of(outcome)
    return f"<Error>{named}{element('Code', error.code)}{element('Message', str(error))}</Error>"


def _asked_of(root: etree._Element) -> tuple[bool, list[_Asked]]:
    objects = [child for child in root if name_of(child) == "Object"]
    if not 1 <= len(objects) <= KEYS_MOST:
        raise S3Error("MalformedXML")
    return (text_of(root, "Quiet") or "").strip().lower() == "true", [_asked(child) for child in objects]


def _asked(child: etree._Element) -> _Asked:
    fields = texts_of(child)
    key, version_id, etag = fields.get("Key"), fields.get("VersionId"), fields.get("ETag")
    if not key:
        raise S3Error("MalformedXML")
    refused: S3Error | None = None
    for name in ("LastModifiedTime", "Size"):
        if name in fields:
            refused = not_implemented(f"{name} of an object to delete")
    condition = ALWAYS if etag is None else WriteCondition(if_match=(etag.strip().strip('"'),))
    return _Asked(Doomed(key, version_id or None, condition), refused)
