"""Access logs: which buckets have them, where their lines may go, and putting them there.

Promise: lines are put only where the target's policy lets S3's logging service (or, where lists count, its list lets
the log delivery group) write this very object, looked at in the commit that puts it: a right that is taken away ends
the delivery. Nobody else's rights are used, and no rights of users let the service do anything.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from noisefs.core.domain.buckets.access_log import KIND, SERVICE, Rule, decode_rule, encode_rule, object_name
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Bucket, Version, decode, encode
from noisefs.core.domain.requests import Attributes, Principal
from noisefs.core.domain.rights.acl import LOGS, Acl, AclWish, acl_of_bucket, private
from noisefs.core.domain.rights.caller_keys import utc_time
from noisefs.core.domain.rights.conditions import Lookup
from noisefs.core.domain.rights.ownership import Ownership, ownership_of
from noisefs.core.domain.rights.policy import ARN, Request, Verdict
from noisefs.core.domain.rights.principals import Caller
from noisefs.core.errors import AccessDenied, AclNotSupported, LogTargetUnfit
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rights.evaluating import POLICY, compiled, went_by_lists
from noisefs.core.services.namespace.rights.wishes import checked_wish, names_of

_ENCRYPTION: Final = "encryption"
_NAMED_KEYS: Final = b"aws:kms"
_UNIQUE_BYTES: Final = 8
_TYPE: Final = "text/plain"
_GRANTED: Final = frozenset({"WRITE", "FULL_CONTROL"})


@dataclass(frozen=True, slots=True)
class Logged:
    """A bucket whose requests are logged."""

    bucket: str
    owner: UserId
    rule: Rule


class AccessLogs:
    """Operations on access logs. Task-safe."""

    def __init__(
        self,
        *,
        index: Index,
        commits: CommitQueue,
        objects: Objects,
        clock: Clock,
        entropy: Entropy,
        account: str,
    ) -> None:
        self._index = index
        self._commits = commits
        self._objects = objects
        self._clock = clock
        self._entropy = entropy
        self.account = account

    def of(self, name: str) -> Logged | None:
        """Whether a bucket's requests are logged, whoever asks. Cost: one get."""

        def look(tx: Reading) -> Logged | None:
            bucket = _row(tx, name)
            raw = None if bucket is None else bucket.config.get(KIND)
            return None if bucket is None or raw is None else Logged(name, bucket.owner, decode_rule(raw))

        return self._index.read(look)

    def needed_list(self, who: Principal, name: str) -> bool:
        """Whether somebody who was let do what it asks for in a bucket was let by a list, and by nothing else."""

        def look(tx: Reading) -> bool:
            bucket = _row(tx, name)
            return bucket is not None and went_by_lists(bucket, who, name)

        return self._index.read(look)

    async def get(self, who: Principal, name: str) -> tuple[Rule, dict[str, str]] | None:
        """The bucket's rule, and names of the users in it. Raises as ``Buckets.get``."""

        def look(tx: Reading) -> tuple[Rule, dict[str, str]] | None:
            raw = reach_bucket(tx, who, name).config.get(KIND)
            if raw is None:
                return None
            rule = decode_rule(raw)
            return rule, names_of(tx, tuple(grantee for grantee, _ in rule.grants))

        return self._index.read(look)

    async def put(self, who: Principal, name: str, rule: Rule | None, region: str) -> None:
        """Log a bucket's requests from now on; ``None``: no more.

        Raises:
            LogTargetUnfit: There is no such target, it is somebody else's, or logs may not be written there.
            AclNotSupported: Grants come with it, and the target takes no lists.
            InvalidArgument: A grantee does not exist.
            BucketNotFound, AccessDenied: As ``Buckets.get``.
        """

        def change(tx: Writing) -> None:
            bucket = reach_bucket(tx, who, name)
            config = {kind: value for kind, value in bucket.config.items() if kind != KIND}
            if rule is not None:
                target = _row(tx, rule.target)
                if target is None:
                    raise LogTargetUnfit("The target bucket for logging does not exist")
                if rule.grants:
                    if ownership_of(target) is Ownership.ENFORCED:
                        raise AclNotSupported
                    checked_wish(tx, AclWish(grants=rule.grants))
                now_us = self._clock.now_us()
                key = object_name(rule, self.account, region, name, 0, now_us, "0" * (2 * _UNIQUE_BYTES))
                self._check(target, rule.target, key, Logged(name, bucket.owner, rule))
                config[KIND] = encode_rule(rule)
            if config != bucket.config:
                tx.put(Table.BUCKETS, name.encode(), encode(msgspec.structs.replace(bucket, config=config)))

        await self._commits.run(change)

    async def deliver(self, logged: Logged, region: str, day_s: int, pieces: Sequence[bytes]) -> Version:
        """Put lines into an object of their own. ``day_s``: see :func:`~noisefs.core.domain.buckets.access_log.day_of`.

        Raises:
            BucketNotFound, AccessDenied, LogTargetUnfit: They may not be put there (any more).
            NoisefsError: As ``Objects.put``.
        """
        rule = logged.rule
        unique = self._entropy.secret(_UNIQUE_BYTES).hex().upper()
        key = object_name(rule, self.account, region, logged.bucket, day_s, self._clock.now_us(), unique)

        def admit(_tx: Reading, target: Bucket, _old: Version | None) -> Attributes:
            self._check(target, rule.target, key, logged)
            if not rule.grants or ownership_of(target) is Ownership.ENFORCED:
                return Attributes(content_type=_TYPE)
            grants: Acl = (*rule.grants, *private(target.owner))
            return Attributes(content_type=_TYPE, acl=AclWish(grants=grants))

        async def source() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        # As the owner, whose objects they are; whether the service may is what is asked in the commit.
        who = Principal(logged.owner, SERVICE, admin=False, account=self.account, trusted=True)
        return await self._objects.put(who, rule.target, key, source(), admit)

    def _check(self, target: Bucket, name: str, key: str, logged: Logged) -> None:
        """Refuse a target that may not be given this object."""
        if target.owner != logged.owner:
            raise LogTargetUnfit("The owner for the bucket to be logged and the target bucket must be the same")
        if _NAMED_KEYS in target.config.get(_ENCRYPTION, b""):
            raise LogTargetUnfit("The target bucket's default encryption must be SSE-S3")
        if target.lock is not None and target.lock.mode:
            raise LogTargetUnfit("The target bucket must not have a default retention of object lock")
        try:
            self._permit(target, name, key, logged)
        except AccessDenied as exc:
            raise LogTargetUnfit(str(exc)) from exc

    def _permit(self, target: Bucket, name: str, key: str, logged: Logged) -> None:
        verdict = Verdict.SILENT
        kept = target.config.get(POLICY)
        if kept is not None:
            caller = Caller(UserId(""), "", "", admin=False, service=SERVICE)
            lookup = self._lookup(logged.bucket)
            verdict = compiled(kept, name).policy.verdict(Request(caller, "s3:PutObject", f"{ARN}{name}/{key}", lookup))
        if verdict is Verdict.ALLOW:
            return
        if verdict is Verdict.SILENT and ownership_of(target) is not Ownership.ENFORCED:
            granted = {permission for grantee, permission in acl_of_bucket(target) if grantee == LOGS}
            if granted & _GRANTED and granted & {"READ_ACP", "FULL_CONTROL"}:
                return
        raise AccessDenied(
            "You must either provide the necessary permissions to the logging service using a bucket policy or give "
            "the log-delivery group WRITE and READ_ACP permissions to the target bucket"
        )

    def _lookup(self, source: str) -> Lookup:
        """Condition keys of a delivery."""
        found = {
            "aws:currenttime": utc_time(self._clock.now_us()),
            "aws:epochtime": str(self._clock.now_us() // 1_000_000),
            "aws:principalisawsservice": "true",
            "aws:principalservicename": SERVICE,
            "aws:resourceaccount": self.account,
            "aws:securetransport": "true",
            "aws:sourceaccount": self.account,
            "aws:sourcearn": ARN + source,
            "s3:resourceaccount": self.account,
        }

        def value(key: str) -> tuple[str, ...] | None:
            text = found.get(key)
            return None if text is None else (text,)

        return value


def _row(tx: Reading, name: str) -> Bucket | None:
    raw = tx.get(Table.BUCKETS, name.encode("utf-8", "replace"))
    return None if raw is None else decode(Bucket, raw)
