"""PutObject, DeleteObject, DeleteObjects."""

from typing import Final, NamedTuple

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.body.payload import Payload
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.conditions import delete_condition, write_condition
from noisefs.adapters.inbound.s3.failure import S3Error, failure_of, invalid_argument, not_implemented
from noisefs.adapters.inbound.s3.headers import attributes_of, checksum_headers
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.documents import element, optional
from noisefs.adapters.inbound.s3.xml.reading import name_of, text_of, texts_of
from noisefs.core.domain.records import Version
from noisefs.core.domain.requests import ALWAYS, WriteCondition
from noisefs.core.errors import NoisefsError
from noisefs.core.services.namespace.objects import Objects

KEYS_MOST: Final = 1000
_NULL: Final = ("", "null")
"""Version ids of the only version an object has."""


class _Doomed(NamedTuple):
    """One object of a DeleteObjects request. ``refused``: it cannot be deleted like that."""

    key: str
    version_id: str
    condition: WriteCondition
    refused: S3Error | None


class Writing:
    """Answers writes and deletes of objects. Task-safe."""

    def __init__(self, *, objects: Objects, bodies: XmlBodies, max_put_bytes: int) -> None:
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
        )
        return answers.empty(call, headers=written_headers(version))

    async def delete_object(self, call: Call) -> Answer:
        """Remove the object; a missing one is removed already."""
        _check_version(call.target.params.get("versionId") or "")
        await self._objects.delete(call.who, call.bucket, call.key, condition=delete_condition(call.headers))
        return answers.empty(call, 204)

    async def delete_objects(self, call: Call) -> Answer:
        """Remove up to 1000 objects; each has an outcome of its own."""
        quiet, doomed = await self._bodies.read(call, "Delete", _doomed_of)
        fit = [one for one in doomed if one.refused is None]
        outcomes = iter(
            await self._objects.delete_many(
                call.who, call.bucket, [one.key for one in fit], [one.condition for one in fit]
            )
        )
        texts = []
        for one in doomed:
            outcome = next(outcomes) if one.refused is None else one.refused
            named = element("Key", one.key) + optional("VersionId", one.version_id)
            if outcome is not None:
                texts.append(_error(named, outcome))
            elif not quiet:
                texts.append(f"<Deleted>{named}</Deleted>")
        return answers.xml(call, "DeleteResult", "".join(texts))


def written_headers(version: Version) -> dict[str, str]:
    """What the answer to a write says about the object."""
    found = {"ETag": f'"{version.etag}"', **checksum_headers(version.checksums, version.checksum_type)}
    if version.sse:
        found["x-amz-server-side-encryption"] = version.sse
    return found


def _error(named: str, outcome: NoisefsError) -> str:
    error = failure_of(outcome)
    return f"<Error>{named}{element('Code', error.code)}{element('Message', str(error))}</Error>"


def _check_version(version_id: str) -> None:
    if version_id not in _NULL:
        raise S3Error(
            "InvalidArgument",
            "Invalid version id specified",
            ArgumentName="versionId",
            ArgumentValue=version_id[:200],
        )


def _doomed_of(root: etree._Element) -> tuple[bool, list[_Doomed]]:
    objects = [child for child in root if name_of(child) == "Object"]
    if not 1 <= len(objects) <= KEYS_MOST:
        raise S3Error("MalformedXML")
    return (text_of(root, "Quiet") or "").strip().lower() == "true", [_doomed(child) for child in objects]


def _doomed(child: etree._Element) -> _Doomed:
    fields = texts_of(child)
    key, version_id, etag = fields.get("Key"), fields.get("VersionId", ""), fields.get("ETag")
    if not key:
        raise S3Error("MalformedXML")
    refused: S3Error | None = None
    if version_id not in _NULL:
        refused = S3Error("NoSuchVersion")
    for name in ("LastModifiedTime", "Size"):
        if name in fields:
            refused = not_implemented(f"{name} of an object to delete")
    condition = ALWAYS if etag is None else WriteCondition(if_match=(etag.strip().strip('"'),))
    return _Doomed(key, version_id, condition, refused)
