"""PostObject: a file that a page sends by a form, without a script and without the page knowing a key."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.auth.gatekeeper import Gatekeeper, Session
from noisefs.adapters.inbound.s3.body.checksums import declared_of
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.encryption import Encryptions
from noisefs.adapters.inbound.s3.failure import S3Error, invalid_argument
from noisefs.adapters.inbound.s3.forms.policy import Policy, policy_of
from noisefs.adapters.inbound.s3.forms.reader import FIELDS_MOST_BYTES, FormReader, boundary_of
from noisefs.adapters.inbound.s3.headers import attributes_of, check_built
from noisefs.adapters.inbound.s3.object_lock import wish_of
from noisefs.adapters.inbound.s3.operations.writing import written_headers
from noisefs.adapters.inbound.s3.target import Target
from noisefs.adapters.inbound.s3.xml.documents import element
from noisefs.adapters.inbound.s3.xml.reading import parse
from noisefs.adapters.inbound.s3.xml.tagging import HEADER as TAGGING
from noisefs.adapters.inbound.s3.xml.tagging import tags_of
from noisefs.adapters.inbound.s3.xml.text import XML_DECLARATION
from noisefs.core.domain.buckets.notification import POST
from noisefs.core.domain.buckets.tags import OBJECT_MOST
from noisefs.core.domain.records import Version
from noisefs.core.errors import EntityTooLarge
from noisefs.core.ports.clock import Clock
from noisefs.core.services.namespace.objects.service import Objects

Ask = Callable[[Call, Session], Session]
"""The session of somebody who says what for: to do what the call is about."""

_HEADERS: Final = frozenset({"cache-control", "content-disposition", "content-encoding", "content-type", "expires"})
"""Fields that mean what the header of their name means, besides those of S3's own."""
_NO_HEADERS: Final = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-security-token", "x-amz-signature", TAGGING}
)
_KEPT: Final = ("referer", "user-agent")
"""Headers of the request itself that policies may ask for."""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
"""What a header may be called, in lower case (RFC 9110)."""
_STATUSES: Final = frozenset({"200", "201", "204"})
_CLOSING_MOST: Final = 1024
"""Bytes of a form behind the file, more or less."""


class Posting:
    """Answers uploads by forms. Task-safe. Memory: the fields, and one piece of the file."""

    def __init__(
        self,
        *,
        objects: Objects,
        gatekeeper: Gatekeeper,
        clock: Clock,
        ask: Ask,
        encryptions: Encryptions,
        max_put_bytes: int,
    ) -> None:
        self._encryptions = encryptions
        self._objects = objects
        self._gatekeeper = gatekeeper
        self._clock = clock
        self._ask = ask
        self._max_put_bytes = max_put_bytes

    async def post_object(self, call: Call) -> Answer:
        """Store the form's file under the form's key. Everything is checked before the file's first byte is taken."""
        form = FormReader(call.incoming.pieces(), boundary_of(call.headers.get("content-type", "")))
        fields = await form.fields()
        session = self._gatekeeper.admit_form(fields, str(call.request.get("client") or call.request.remote or ""))
        key = fields.get("key", "").replace("${filename}", form.filename)
        if not key:
            raise invalid_argument(
                "key",
                "",
                "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the "
                "fields.",
            )
        fields["key"] = key
        policy = policy_of(fields["policy"]) if "policy" in fields else Policy(0, ())
        if "policy" in fields:
            policy.check({**fields, "bucket": call.bucket}, self._clock.now_us())
        most = self._max_put_bytes if policy.size_most is None else min(policy.size_most, self._max_put_bytes)
        if (call.incoming.declared_bytes or 0) > most + FIELDS_MOST_BYTES + _CLOSING_MOST:
            raise EntityTooLarge(call.incoming.declared_bytes or 0, most)
        headers = _headers_of(call.headers, fields)
        check_built(headers)
        declared = declared_of(headers, "", trailing=False)
        named = Call(call.request, _target(call, key), headers, session, call.incoming, call.ids)
        named.session = self._ask(named, session)
        call.target, call.session = named.target, named.session
        wanted = await self._encryptions.wanted(named)
        version = await self._objects.put(
            named.who,
            call.bucket,
            key,
            _bounded(form.file(), policy.size_least, most),
            replace(attributes_of(headers), sse=wanted.sse),
            digests=declared.digests,
            verify=lambda digested: declared.verify(digested, {}),
            lock=wish_of(headers),
            outer=wanted.outer,
            made=POST,
        )
        return _answer(call, fields, key, version, wanted.answered)


async def _bounded(pieces: AsyncIterator[bytes], least: int, most: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > most:
            raise EntityTooLarge(size, most)
        yield piece
    if size < least:
        raise S3Error("EntityTooSmall", ProposedSize=str(size), MinSizeAllowed=str(least))


def _headers_of(sent: Mapping[str, str], fields: Mapping[str, str]) -> dict[str, str]:
    """The headers that a PUT which says the same would have."""
    headers = {name: sent[name] for name in _KEPT if name in sent}
    headers |= {
        name: value
        for name, value in fields.items()
        if name in _HEADERS or (name.startswith("x-amz-") and name not in _NO_HEADERS)
    }
    for name in headers:
        if _TOKEN.fullmatch(name) is None:
            raise invalid_argument(name[:40], "", "A field that is kept as a header must be named like one.")
    if "acl" in fields:
        headers["x-amz-acl"] = fields["acl"]
    if "tagging" in fields:
        tags = tags_of(parse(fields["tagging"].encode(), "Tagging"), OBJECT_MOST)
        headers[TAGGING] = urlencode(tags, quote_via=quote)
    return headers


def _target(call: Call, key: str) -> Target:
    return msgspec.structs.replace(call.target, key=key, params={}, flags=frozenset())


def _answer(call: Call, fields: Mapping[str, str], key: str, version: Version, encryption: Mapping[str, str]) -> Answer:
    """A redirection, or the status that the form asks for."""
    etag = f'"{version.etag}"'
    redirect = fields.get("success_action_redirect") or fields.get("redirect", "")
    if _is_url(redirect):
        separator = "&" if urlsplit(redirect).query else "?"
        told = urlencode({"bucket": call.bucket, "key": key, "etag": etag}, quote_via=quote)
        return answers.empty(
            call, 303, {**written_headers(version), **encryption, "Location": f"{redirect}{separator}{told}"}
        )
    status = fields.get("success_action_status", "")
    location = _location(call, key)
    headers = {**written_headers(version), **encryption, "Location": location}
    if status != "201":
        return answers.empty(call, int(status) if status in _STATUSES else 204, headers)
    content = (
        f"{element('Location', location)}{element('Bucket', call.bucket)}{element('Key', key)}{element('ETag', etag)}"
    )
    body = f"{XML_DECLARATION}<PostResponse>{content}</PostResponse>".encode("utf-8", "replace")
    return answers.whole(call.ids, 201, {**headers, "Content-Type": "application/xml"}, body)


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://")) and text.isascii() and text.isprintable() and " " not in text


def _location(call: Call, key: str) -> str:
    scheme = call.request.get("scheme") or call.request.scheme
    path = call.target.raw_path.rstrip("/")
    return f"{scheme}://{call.headers.get('host', '')}{path}/{quote(key)}"
