"""ListObjects (both versions), ListBuckets."""

import base64
import binascii
from typing import Final

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.xml import listing
from noisefs.adapters.inbound.s3.xml.documents import element, flag, optional, person
from noisefs.adapters.inbound.s3.xml.text import iso_time
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects

KEYS_MOST: Final = 1000
BUCKETS_MOST: Final = 10_000
_TOKEN: Final = b"\x01"
"""First byte of a continuation token: its form."""


class Listing:
    """Answers listings. Task-safe."""

    def __init__(self, *, buckets: Buckets, objects: Objects, region: str) -> None:
        self._buckets = buckets
        self._objects = objects
        self._region = region

    async def list_buckets(self, call: Call) -> Answer:
        """The caller's buckets."""
        prefix, token = call.param("prefix"), call.param("continuation-token")
        limit = call.number("max-buckets", BUCKETS_MOST, BUCKETS_MOST)
        if limit == 0:
            raise invalid_argument("max-buckets", "0", "Argument max-buckets must be an integer between 1 and 10000")
        region = call.param("bucket-region", self._region)
        found = []
        if region == self._region:
            found = await self._buckets.list(call.who, prefix=prefix, after=_position(token), limit=limit + 1)
        texts = "".join(
            [
                f"<Bucket>{element('Name', name)}{element('CreationDate', iso_time(row.created_us))}"
                f"{element('BucketRegion', self._region)}</Bucket>"
                for name, row in found[:limit]
            ]
        )
        next_token = element("ContinuationToken", _token(found[limit - 1][0])) if len(found) > limit else ""
        content = f"{person('Owner', call.who.user_id, call.who)}<Buckets>{texts}</Buckets>{next_token}"
        return answers.xml(call, "ListAllMyBucketsResult", content + optional("Prefix", prefix))

    async def list_objects(self, call: Call) -> Answer:
        """Version 1: with markers that are keys, and owners.

        The prefix stays as it was given whatever the encoding type: the SDKs that ask for one do not decode it here.
        """
        prefix, delimiter, marker = call.param("prefix"), call.param("delimiter"), call.param("marker")
        encoding, encode = _encoding(call)
        limit = call.number("max-keys", KEYS_MOST, KEYS_MOST)
        page = await self._objects.list(
            call.who, call.bucket, prefix=prefix, delimiter=delimiter, after=marker, limit=limit
        )
        following = page.next_after if delimiter else None
        content = (
            f"{element('Name', call.bucket)}{element('Prefix', prefix)}<Marker>{encode(marker)}</Marker>"
            f"{'' if following is None else f'<NextMarker>{encode(following)}</NextMarker>'}"
            f"<MaxKeys>{limit}</MaxKeys>{_delimiter(delimiter, encode)}"
            f"{flag('IsTruncated', value=page.next_after is not None)}{encoding}"
            f"{await listing.contents(page.entries, encode, call.who, owners=True)}"
            f"{listing.common_prefixes(page.prefixes, encode)}"
        )
        return answers.xml(call, "ListBucketResult", content)

    async def list_objects_v2(self, call: Call) -> Answer:
        """Version 2: with opaque tokens, and owners on demand."""
        prefix, delimiter, start_after = call.param("prefix"), call.param("delimiter"), call.param("start-after")
        encoding, encode = _encoding(call)
        token = call.target.params.get("continuation-token")
        limit = call.number("max-keys", KEYS_MOST, KEYS_MOST)
        after = _position(token) if token else start_after
        page = await self._objects.list(
            call.who, call.bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
        )
        following = "" if page.next_after is None else element("NextContinuationToken", _token(page.next_after))
        content = (
            f"{element('Name', call.bucket)}<Prefix>{encode(prefix)}</Prefix>"
            f"{'' if token is None else element('ContinuationToken', token)}{following}"
            f"{f'<StartAfter>{encode(start_after)}</StartAfter>' if start_after else ''}"
            f"<KeyCount>{len(page.entries) + len(page.prefixes)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
            f"{_delimiter(delimiter, encode)}{flag('IsTruncated', value=page.next_after is not None)}{encoding}"
            f"{await listing.contents(page.entries, encode, call.who, owners=call.param('fetch-owner') == 'true')}"
            f"{listing.common_prefixes(page.prefixes, encode)}"
        )
        return answers.xml(call, "ListBucketResult", content)


def _encoding(call: Call) -> tuple[str, listing.Encode]:
    kind = call.param("encoding-type")
    if kind not in ("", "url"):
        raise invalid_argument("encoding-type", kind, "Invalid Encoding Method specified in Request")
    return optional("EncodingType", kind), listing.encoder(kind)


def _delimiter(delimiter: str, encode: listing.Encode) -> str:
    return f"<Delimiter>{encode(delimiter)}</Delimiter>" if delimiter else ""


def _token(position: str) -> str:
    return base64.urlsafe_b64encode(_TOKEN + position.encode()).decode()


def _position(token: str) -> str:
    """Where a page begins; its inverse is :func:`_token`."""
    if not token:
        return ""
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        if raw[:1] == _TOKEN:
            return raw[1:].decode()
    except (binascii.Error, ValueError):
        pass
    raise S3Error(
        "InvalidArgument",
        "The continuation token provided is incorrect",
        ArgumentName="continuation-token",
        ArgumentValue=token[:200],
    )
