"""Collections as WebDAV sees them: whole key prefixes, changed in one index transaction without moving data.

Where both ``a`` and ``a/x`` exist, WebDAV shows the collection only; what is done to the collection leaves the hidden
object ``a`` alone, unless an object is put there.
"""

from collections.abc import Callable, Sequence
from typing import Final

from noisefs.core.domain import keyspace
from noisefs.core.domain.buckets import naming
from noisefs.core.domain.records import Bucket, Version, decode
from noisefs.core.domain.requests import Cause, Doomed, Need, Principal
from noisefs.core.errors import InvalidArgument, NoisefsError
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.entropy import Entropy
from noisefs.core.ports.index import Reading, Table, Writing
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.objects import publishing
from noisefs.core.services.namespace.objects.raising import Ready, run_raising
from noisefs.core.services.namespace.rights.access import reach_bucket
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.rows.trees import exists_below, keep_collection, remove_tree
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.trees.relocating import Place, Relocation
from noisefs.core.services.namespace.trees.restoring import Placed, Restoration
from noisefs.core.services.namespace.trees.rights import permit_below, permit_keys, permit_relocation

First = Callable[[Writing], None]
"""Runs at the beginning of a commit: looks, refuses by raising, writes what goes with it."""


def _nothing(_tx: Writing) -> None:
    pass


_DELETE: Final = "s3:DeleteObject"


class Trees:
    """Operations on all keys below a prefix that ends in ``/``. Task-safe. Each runs ``first`` in its commit.

    An empty collection is a marker: an empty object whose key ends in ``/``. ``delete`` and ``move`` leave a marker in
    the parent when they take its last member. Every operation is one commit, however many members there are: it costs
    some 50 us a member (a move within one bucket less), and other writers wait for it. In a bucket with versions what
    is removed or moved away gets a delete marker, and what is replaced stays as an older version.
    """

    def __init__(self, *, commits: CommitQueue, clock: Clock, entropy: Entropy) -> None:
        self._commits = commits
        self._clock = clock
        self._mint = versions.minter(entropy)

    @staticmethod
    def has_members(tx: Reading, bucket: Bucket, prefix: str) -> bool:
        """Whether anything is below ``prefix``, inside a commit. Cost: one seek."""
        return exists_below(tx, keyspace.u64(bucket.bucket_id) + prefix.encode("utf-8", "replace"))

    @staticmethod
    def look(tx: Reading, bucket: str, key: str) -> tuple[Bucket, Version | None] | None:
        """What is at a place, inside a commit: the bucket's row, and the version of a file, ``None`` for a collection;
        ``None`` for all: nothing is. Nobody's rights are asked for. Cost: the bucket's row, a seek and a get.
        """
        raw = tx.get(Table.BUCKETS, bucket.encode("utf-8", "replace"))
        if raw is None:
            return None
        row = decode(Bucket, raw)
        if not key or Trees.has_members(tx, row, f"{key}/"):
            return row, None
        found = versions.current(tx, keyspace.u64(row.bucket_id) + key.encode("utf-8", "replace"))
        return None if found is None else (row, versions.shown(row, found.version))

    async def make(self, who: Principal, bucket: str, prefix: str, *, first: First = _nothing) -> None:
        """Create an empty collection (its marker). Where there is one already, nothing happens.

        Raises:
            InvalidArgument, InvalidKey, KeyTooLong: ``prefix`` is not a legal key that ends in ``/``.
            BucketNotFound, AccessDenied.
        """
        raw_prefix = _collection(prefix)

        def mark(tx: Writing) -> None:
            first(tx)
            row = reach_bucket(tx, who, bucket)
            row_key = keyspace.u64(row.bucket_id) + raw_prefix
            if not exists_below(tx, row_key):
                now_us = self._clock.now_us()
                tally = Tally()
                marker = publishing.marker_of(row, now_us)
                publishing.replace(tx, row, row_key, None, marker, now_us, self._mint, tally, Cause(who))
                tally.apply(tx, row)

        await self._commits.run(mark)

    async def delete(self, who: Principal, bucket: str, prefix: str, *, first: First = _nothing) -> int:
        """Remove everything below ``prefix`` (also dead properties) in one commit; returns how many objects.

        The empty prefix is the whole bucket; its own dead properties stay.
        """
        raw_prefix = naming.tree_prefix(prefix)

        def remove(tx: Writing) -> int:
            first(tx)
            row = reach_bucket(tx, who, bucket)
            permit_below(tx, row, who, bucket, raw_prefix, (_DELETE,))
            now_us = self._clock.now_us()
            removed = remove_tree(tx, row, raw_prefix, now_us, self._mint, who)
            if removed:
                keep_collection(tx, row, raw_prefix, now_us, self._mint, who)
            return removed

        return await self._commits.run(remove)

    async def delete_object(self, who: Principal, bucket: str, key: str, *, first: First = _nothing) -> bool:
        """Remove one object and its dead properties; leaves a marker where it was its collection's last member."""
        raw_key = naming.key_bytes(key)

        def remove(tx: Writing) -> bool:
            first(tx)
            row = reach_bucket(tx, who, bucket)
            permit_keys(tx, row, who, bucket, (Need(_DELETE, bucket, key),))
            row_key = keyspace.u64(row.bucket_id) + raw_key
            old = publishing.present(tx, row_key)
            if old is None:
                return False
            now_us = self._clock.now_us()
            tally = Tally()
            publishing.remove(tx, row, row_key, old, now_us, self._mint, tally, Cause(who))
            tally.apply(tx, row)
            keep_collection(tx, row, raw_key, now_us, self._mint, who)
            return True

        return await self._commits.run(remove)

    async def move(
        self,
        who: Principal,
        bucket: str,
        source: str,
        target_bucket: str,
        target: str,
        *,
        overwrite: bool,
        modified_us: int | None = None,
        first: First = _nothing,
    ) -> bool:
        """Rename an object or (``source`` and ``target`` end in ``/``) a tree, in one commit, dead properties included.

        Returns whether something was replaced: whatever WebDAV shows at the target, an object or a whole collection.
        Times stay; ``modified_us``: the time that a single object gets.

        Raises:
            ObjectNotFound: Nothing is there.
            PreconditionFailed: The target exists and ``overwrite`` is false.
            InvalidArgument: The target is the source or lies inside it.
            KeyTooLong: A resulting key would be too long.
        """
        return await self._relocate(
            who,
            bucket,
            source,
            target_bucket,
            target,
            overwrite=overwrite,
            keep_source=False,
            recursive=True,
            modified_us=modified_us,
            first=first,
        )

    async def copy(
        self,
        who: Principal,
        bucket: str,
        source: str,
        target_bucket: str,
        target: str,
        *,
        overwrite: bool,
        recursive: bool = True,
        modified_us: int | None = None,
        first: First = _nothing,
    ) -> bool:
        """Copy an object or a tree (``recursive`` false: only the collection and its properties). Like :meth:`move`;
        the copies have the time of the commit.
        """
        return await self._relocate(
            who,
            bucket,
            source,
            target_bucket,
            target,
            overwrite=overwrite,
            keep_source=True,
            recursive=recursive,
            modified_us=modified_us,
            first=first,
        )

    async def _relocate(
        self,
        who: Principal,
        bucket: str,
        source: str,
        target_bucket: str,
        target: str,
        *,
        overwrite: bool,
        keep_source: bool,
        recursive: bool,
        modified_us: int | None,
        first: First,
    ) -> bool:
        tree = source.endswith("/")
        if tree != target.endswith("/"):
            raise InvalidArgument("target", target, "a '/' at its end exactly when the source has one")
        raw_source, raw_target = naming.key_bytes(source), naming.key_bytes(target)
        if bucket == target_bucket and (raw_target.startswith(raw_source) if tree else raw_target == raw_source):
            raise InvalidArgument("target", target, "outside of the source")

        def relocate(tx: Writing, ready: Ready) -> bool:
            first(tx)
            from_row = reach_bucket(tx, who, bucket)
            to_row: Bucket = from_row if bucket == target_bucket else reach_bucket(tx, who, target_bucket)
            permit_relocation(
                tx,
                who,
                (from_row, bucket, raw_source),
                (to_row, target_bucket, raw_target),
                keep_source=keep_source,
            )
            return Relocation(
                source=Place(bucket, from_row, source, raw_source),
                target=Place(target_bucket, to_row, target, raw_target),
                overwrite=overwrite,
                keep_source=keep_source,
                recursive=recursive,
                now_us=self._clock.now_us(),
                mint=self._mint,
                ready=ready,
                who=who,
                modified_us=modified_us,
            ).run(tx)

        return await run_raising(self._commits, relocate)

    async def restore(
        self,
        who: Principal,
        bucket: str,
        placed: Sequence[Placed],
        target_bucket: str,
        removed: Sequence[Doomed],
        *,
        overwrite: bool = False,
        first: First = _nothing,
    ) -> dict[str, NoisefsError]:
        """Give versions other names, and remove versions for good, in one commit (:mod:`.restoring`).

        ``removed``: in this order; of a key of which one has to stay, those behind it stay too. Returns what stayed, by
        key, and why. Rights are what ``who`` asks for.

        Raises:
            PreconditionFailed: A target exists and ``overwrite`` is false.
            VersionNotFound, DeleteMarkerNamed: Something cannot be placed.
            InvalidKey, KeyTooLong, BucketNotFound, AccessDenied, QuotaExceeded, NodeUnavailable.
        """

        def restore(tx: Writing, ready: Ready) -> dict[str, NoisefsError]:
            first(tx)
            return Restoration(
                bucket=bucket,
                placed=placed,
                target_bucket=target_bucket,
                removed=removed,
                overwrite=overwrite,
                now_us=self._clock.now_us(),
                mint=self._mint,
                ready=ready,
                who=who,
            ).run(tx)

        return await run_raising(self._commits, restore)


def _collection(prefix: str) -> bytes:
    raw = naming.tree_prefix(prefix)
    if not raw:
        raise InvalidArgument("prefix", prefix, "a collection inside the bucket")
    return raw
