"""RenameObject: another key for an object, in one commit, with conditions on both ends.

A token makes it idempotent: for as long as Complete remembers its answers, the same request with the same token does
nothing a second time.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.buckets.notification import COPY
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.objects.conditions import check_source
from noisefs.core.domain.records import Bucket, Completed, Version, decode, encode
from noisefs.core.domain.requests import ANY, Cause, Principal, ReadCondition
from noisefs.core.errors import InvalidArgument, PreconditionFailed, TokenReused
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.buckets import notifying
from noisefs.core.services.namespace.objects import layouts, publishing
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.trees import properties
from noisefs.core.services.namespace.versions import lookup

_TOKENS = b"rename/"
"""In ``COMPLETED``, answers to renames begin with this: longer than any upload id."""


class Renames:
    """Renames objects. Task-safe."""

    def __init__(self, *, commits: CommitQueue, clock: Clock, entropy: Entropy) -> None:
        self._commits = commits
        self._clock = clock
        self._mint = versions.minter(entropy)

    async def rename(
        self,
        who: Principal,
        bucket: str,
        source: str,
        target: str,
        *,
        condition: ReadCondition = ANY,
        source_condition: ReadCondition = ANY,
        token: str = "",
    ) -> str:
        """Let ``target`` name what ``source`` names, and ``source`` nothing; returns the version's id, if it has one.

        No data moves; attributes, times and dead properties stay. What ``target`` named is replaced, as a write would
        replace it. In a bucket with versions the source gets a delete marker and the target a new version.

        Raises:
            ObjectNotFound: There is no source.
            PreconditionFailed: A condition does not hold: of the target (``condition``) or of the source.
            InvalidArgument: Both keys are the same.
            TokenReused: The token was used for another rename.
        """
        raw_source, raw_target = naming.key_bytes(source), naming.key_bytes(target)
        if raw_source == raw_target:
            raise InvalidArgument("target", target, "another key than the source's")
        asked = _digest([source, target, repr(condition), repr(source_condition)]).hex()

        def rename(tx: Writing) -> str:
            row = reach_bucket(tx, who, bucket)
            token_key = _TOKENS + _digest([str(row.bucket_id), who.user_id, token])
            raw = tx.get(Table.COMPLETED, token_key) if token else None
            if raw is not None:
                answer = decode(Completed, raw)
                if answer.etag != asked:
                    raise TokenReused("the token was used for another rename")
                return answer.version_id
            found = lookup.find(tx, row, bucket, source, raw_source, None).version
            check_source(source_condition, found)
            prefix = u64(row.bucket_id)
            old = publishing.present(tx, prefix + raw_target)
            _check_target(condition, old)
            now_us = self._clock.now_us()
            version_id = self._moved(tx, row, (prefix + raw_source, found), (prefix + raw_target, old), now_us, who)
            if token:
                tx.put(Table.COMPLETED, token_key, encode(Completed(row.bucket_id, target, asked, version_id, now_us)))
            return version_id

        return await self._commits.run(rename)

    def _moved(
        self,
        tx: Writing,
        row: Bucket,
        source: tuple[bytes, Version],
        target: tuple[bytes, Version | None],
        now_us: int,
        who: Principal,
    ) -> str:
        (source_key, found), (target_key, old) = source, target
        noted = properties.of_resource(tx, source_key) if row.properties else []
        tally = Tally()
        if row.versioning:
            layouts.share(tx, found)
            publishing.remove(tx, row, source_key, found, now_us, self._mint, tally, Cause(who))
            new = msgspec.structs.replace(publishing.new_version(found, row), owner=found.owner, acl=found.acl)
        else:
            tx.delete(Table.OBJECTS, source_key)
            notifying.tell_removed(tx, row, source_key, "", now_us, Cause(who))
            tally.add(-found.size, -1)
            new = found
        new = publishing.replace(tx, row, target_key, old, new, now_us, self._mint, tally, Cause(who, COPY))
        tally.apply(tx, row)
        if row.properties:
            properties.forget(tx, source_key)
            properties.forget(tx, target_key)
            properties.give(tx, target_key, noted)
        return new.version_id


def _check_target(condition: ReadCondition, old: Version | None) -> None:
    if old is not None:
        check_source(condition, old)
    elif condition.if_match:
        raise PreconditionFailed("If-Match")
    elif condition.if_modified_since_us is not None:
        raise PreconditionFailed("If-Modified-Since")


def _digest(texts: Sequence[str]) -> bytes:
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()
