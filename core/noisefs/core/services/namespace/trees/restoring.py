"""Deleted objects and older versions brought back, to where they were or elsewhere: everything of it in one commit.

What comes back gets other names for the same bytes. What goes for it (delete markers, or all versions of a key whose
newest bytes are elsewhere now) goes in the same commit; a version that may not go stays with all that is newer, and is
told: its bytes are in both places then, and in none in neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.buckets.notification import COPY
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.objects.conditions import check_write
from noisefs.core.domain.records import Bucket, Version
from noisefs.core.domain.requests import Cause, Doomed, Principal, WriteCondition
from noisefs.core.errors import NoisefsError
from noisefs.core.ports.index import Writing
from noisefs.core.services.namespace.objects import layouts, publishing
from noisefs.core.services.namespace.objects.raising import Ready, check_class
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.rows.versions import Mint
from noisefs.core.services.namespace.versions import lookup


class Placed(NamedTuple):
    """A version that gets another name."""

    key: str
    version_id: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """The request; see :meth:`.service.Trees.restore`."""

    bucket: str
    placed: Sequence[Placed]
    target_bucket: str
    removed: Sequence[Doomed]
    overwrite: bool
    now_us: int
    mint: Mint
    ready: Ready
    who: Principal

    def run(self, tx: Writing) -> dict[str, NoisefsError]:
        """Do it. Returns what stayed, by key."""
        source = reach_bucket(tx, self.who, self.bucket)
        if self.placed:
            same = self.bucket == self.target_bucket
            self._place(tx, source, source if same else reach_bucket(tx, self.who, self.target_bucket))
        return self._remove(tx, source)

    def _place(self, tx: Writing, source: Bucket, target: Bucket) -> None:
        found: list[tuple[str, bytes, Version]] = []
        for one in self.placed:
            raw_source, raw_target = naming.key_bytes(one.key), naming.key_bytes(one.target)
            version = lookup.find(tx, source, self.bucket, one.key, raw_source, one.version_id).version
            found.append((one.target, u64(target.bucket_id) + raw_target, version))
        extents = (extent for *_, version in found for extent in layouts.extents_of(tx, version))
        check_class(tx, extents, source, target, self.ready)
        condition = WriteCondition() if self.overwrite else WriteCondition(if_none_match=("*",))
        tally = Tally()
        for key, row_key, version in found:
            old = publishing.present(tx, row_key)
            check_write(condition, old, self.target_bucket, key)
            new = publishing.with_attributes(version, None, target, self.now_us)
            new = publishing.owned(new, target, self.who.user_id)
            layouts.share(tx, new)
            publishing.replace(tx, target, row_key, old, new, self.now_us, self.mint, tally, Cause(self.who, COPY))
        tally.apply(tx, target)

    def _remove(self, tx: Writing, bucket: Bucket) -> dict[str, NoisefsError]:
        stayed: dict[str, NoisefsError] = {}
        tally = Tally()
        for one in self.removed:
            if one.key in stayed or one.version_id is None:
                continue
            row_key = u64(bucket.bucket_id) + naming.key_bytes(one.key)
            found = versions.find(tx, row_key, one.version_id)
            if found is None:
                continue  # it went meanwhile
            try:
                publishing.remove_version(tx, bucket, row_key, found, self.now_us, tally, Cause(self.who), bypass=False)
            except NoisefsError as exc:  # raised before anything is written
                stayed[one.key] = exc
        tally.apply(tx, bucket)
        return stayed
