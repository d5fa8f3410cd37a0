"""Notification rules of buckets: put, read back, and refused where no target of the configuration is named."""

from collections.abc import Sequence

import msgspec

from noisefs.core.domain.buckets.notification import KIND, Kept, Rule, arn_of, check_rules, decode_kept, encode_kept
from noisefs.core.domain.records import encode
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import EntityTooLarge, IndexDamaged, InvalidArgument
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Index, Table, Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.buckets import notifying
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.rights.access import reach_bucket


class Notifications:
    """Operations on rules. Task-safe. ``targets``: names of the targets there are; nobody can name another."""

    def __init__(
        self, *, index: Index, commits: CommitQueue, clock: Clock, limits: NamespaceLimits, targets: Sequence[str]
    ) -> None:
        self._index = index
        self._commits = commits
        self._clock = clock
        self._limits = limits
        self._targets = tuple(targets)

    @property
    def allowed(self) -> str:
        """Which ARNs a rule may name."""
        known = ", ".join(arn_of(target) for target in self._targets)
        return f"one of {known}" if known else "none: the server's configuration has no events.webhooks"

    async def get(self, who: Principal, name: str) -> bytes:
        """The document as it was put; empty: none was. Raises as ``Buckets.get``."""
        raw = self._index.read(lambda tx: reach_bucket(tx, who, name)).config.get(KIND)
        return b"" if raw is None else _kept(raw).content

    async def put(self, who: Principal, name: str, rules: Sequence[Rule], content: bytes) -> None:
        """Tell of the bucket's changes as these rules say, from the next commit on; without rules, not at all.

        Targets that no rule named before get a test event.

        Raises:
            InvalidArgument: A rule is wrong, two overlap, or there is no such target.
            EntityTooLarge: They take too many bytes.
            BucketNotFound, AccessDenied: As ``Buckets.get``.
        """
        check_rules(rules)
        self._check_targets(rules)
        value = encode_kept(Kept(name, tuple(rules), content))
        if len(value) > self._limits.max_config_bytes:
            raise EntityTooLarge(len(value), self._limits.max_config_bytes)

        def change(tx: Writing) -> None:
            bucket = reach_bucket(tx, who, name)
            old = bucket.config.get(KIND)
            if old == (value if rules else None):
                return
            config = {kind: kept for kind, kept in bucket.config.items() if kind != KIND}
            if rules:
                config[KIND] = value
            tx.put(Table.BUCKETS, name.encode(), encode(msgspec.structs.replace(bucket, config=config)))
            known = set() if old is None else {rule.target for rule in _kept(old).rules}
            now_us = self._clock.now_us()
            for target in dict.fromkeys(rule.target for rule in rules):
                if target not in known:
                    notifying.tell_tested(tx, bucket, name, target, now_us, who)

        await self._commits.run(change)

    def _check_targets(self, rules: Sequence[Rule]) -> None:
        for rule in rules:
            if rule.target not in self._targets:
                raise InvalidArgument("ARN", arn_of(rule.target), self.allowed)


def _kept(raw: bytes) -> Kept:
    try:
        return decode_kept(raw)
    except msgspec.MsgspecError as exc:
        raise IndexDamaged(f"a bucket's notification rules cannot be decoded: {exc}") from exc
