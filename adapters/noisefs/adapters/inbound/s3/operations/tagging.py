"""Tags of objects and buckets, also through the three calls of S3 Control that infrastructure tools use."""

from typing import Final
from urllib.parse import parse_qsl

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.reading import name_of, parse
from noisefs.adapters.inbound.s3.xml.tagging import listed_tags, tag_texts, tags_of, valid_tags
from noisefs.core.domain.buckets.tags import BUCKET_MOST, OBJECT_MOST, without
from noisefs.core.domain.records import Version
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.objects.tagging import Tagging

KIND: Final = "tagging"
"""Of the configuration in a bucket's row."""


class TaggingOperations:
    """Answers requests about tags. Task-safe."""

    def __init__(self, *, buckets: Buckets, objects: Objects, tagging: Tagging, bodies: XmlBodies) -> None:
        self._buckets = buckets
        self._objects = objects
        self._tagging = tagging
        self._bodies = bodies

    async def of_object(self, call: Call) -> Answer:
        """The tags of a version, by key."""
        version = await self._objects.head(call.who, call.bucket, call.key, version_id=call.version_id())
        tags = dict(sorted(version.tags.items()))
        return answers.xml(call, "Tagging", f"<TagSet>{tag_texts(tags)}</TagSet>", headers=_named(version))

    async def put_object(self, call: Call) -> Answer:
        """Give a version these tags and no others."""
        tags = await self._bodies.read(call, "Tagging", lambda root: tags_of(root, OBJECT_MOST))
        version = await self._tagging.set(call.who, call.bucket, call.key, tags, version_id=call.version_id())
        return answers.empty(call, headers=_named(version))

    async def delete_object(self, call: Call) -> Answer:
        """Take all tags from a version."""
        version = await self._tagging.set(call.who, call.bucket, call.key, {}, version_id=call.version_id())
        return answers.empty(call, 204, _named(version))

    async def of_bucket(self, call: Call) -> Answer:
        """The tags of a bucket."""
        tags = await self._bucket_tags(call)
        if not tags:
            raise S3Error("NoSuchTagSet", BucketName=call.bucket)
        return answers.xml(call, "Tagging", f"<TagSet>{tag_texts(tags)}</TagSet>")

    async def put_bucket(self, call: Call) -> Answer:
        """Give a bucket these tags and no others."""
        tags = await self._bodies.read(call, "Tagging", lambda root: tags_of(root, BUCKET_MOST))
        await self._buckets.configure(call.who, call.bucket, KIND, kept(tags))
        return answers.empty(call, 204)

    async def delete_bucket(self, call: Call) -> Answer:
        """Take all tags from a bucket."""
        await self._buckets.configure(call.who, call.bucket, KIND, None)
        return answers.empty(call, 204)

    async def list_of_resource(self, call: Call) -> Answer:
        """S3 Control's ListTagsForResource."""
        tags = await self._bucket_tags(call)
        return answers.xml(call, "ListTagsForResourceResult", f"<Tags>{tag_texts(tags)}</Tags>", namespace=False)

    async def tag_resource(self, call: Call) -> Answer:
        """S3 Control's TagResource: tags that are added to those there are."""
        added = await self._bodies.read(call, "TagResourceRequest", _added)

        def more(before: bytes | None) -> bytes | None:
            return kept(valid_tags((_tags_kept(before) | added).items(), BUCKET_MOST))

        await self._buckets.reconfigure(call.who, call.bucket, KIND, more)
        return answers.empty(call, 204)

    async def untag_resource(self, call: Call) -> Answer:
        """S3 Control's UntagResource: some tags less."""
        keys = [value for name, value in parse_qsl(call.target.raw_query) if name == "tagKeys"]
        if not keys:
            raise invalid_argument("tagKeys", "", "At least one key is needed.")
        await self._buckets.reconfigure(
            call.who, call.bucket, KIND, lambda before: kept(without(_tags_kept(before), keys))
        )
        return answers.empty(call, 204)

    async def _bucket_tags(self, call: Call) -> dict[str, str]:
        return _tags_kept((await self._buckets.get(call.who, call.bucket)).config.get(KIND))


def _tags_kept(kept: bytes | None) -> dict[str, str]:
    return {} if kept is None else listed_tags(parse(kept, "TagSet"), BUCKET_MOST)


def kept(tags: dict[str, str]) -> bytes | None:
    """Tags as a bucket's row keeps them; ``None``: there are none."""
    return f"<TagSet>{tag_texts(tags)}</TagSet>".encode() if tags else None


def _named(version: Version) -> dict[str, str]:
    return {"x-amz-version-id": version.version_id} if version.version_id else {}


def _added(root: etree._Element) -> dict[str, str]:
    if len(root) != 1 or name_of(root[0]) != "Tags":
        raise S3Error("MalformedXML")
    return listed_tags(root[0], BUCKET_MOST)
