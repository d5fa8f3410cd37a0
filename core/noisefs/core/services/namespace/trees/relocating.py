"""One MOVE or COPY: everything of it happens in the function that one commit runs.

The source's rows are taken first, then what the target shows is removed, then the rows are written under their new
keys. So a target above its source works too, and nothing is read that this function wrote, but where a bucket has
versions: there the source gets delete markers, what is replaced stays as an older version, and the references are
shared with what stays.
"""

from dataclasses import dataclass

import msgspec

from noisefs.core.domain import keyspace
from noisefs.core.domain.buckets.naming import KEY_BYTES_MAX
from noisefs.core.domain.buckets.notification import COPY, KIND
from noisefs.core.domain.records import Bucket, Listed, Version, decode, encode
from noisefs.core.domain.requests import Cause, Principal
from noisefs.core.errors import KeyTooLong, ObjectNotFound, PreconditionFailed
from noisefs.core.ports.index import Table, Writing
from noisefs.core.services.namespace.buckets import notifying
from noisefs.core.services.namespace.objects import layouts, publishing
from noisefs.core.services.namespace.objects.raising import Ready, check_class
from noisefs.core.services.namespace.rows.trees import exists_below, keep_collection, remove_tree, rows_below
from noisefs.core.services.namespace.rows.usage import Tally
from noisefs.core.services.namespace.rows.versions import Mint
from noisefs.core.services.namespace.trees import properties

_Rows = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something lies: the bucket's name and row, the key or prefix, and its bytes."""

    bucket: str
    row: Bucket
    key: str
    raw_key: bytes

    @property
    def is_tree(self) -> bool:
        """Whether it is a collection."""
        return self.raw_key.endswith(b"/")

    @property
    def bare_key(self) -> bytes:
        """Without the ``/`` at a collection's end."""
        return self.raw_key[:-1] if self.is_tree else self.raw_key

    @property
    def row_key(self) -> bytes:
        """Its row key in ``OBJECTS``; of a collection, what all its members' begin with."""
        return keyspace.u64(self.row.bucket_id) + self.raw_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """The request; see :meth:`.service.Trees.move`."""

    source: Place
    target: Place
    overwrite: bool
    keep_source: bool
    recursive: bool
    now_us: int
    mint: Mint
    ready: Ready
    who: Principal
    modified_us: int | None = None

    def run(self, tx: Writing) -> bool:
        """Do it. Returns whether something was replaced."""
        objects, noted = self._take(tx)
        self._check_lengths(objects)
        extents = (extent for _, raw in objects for extent in layouts.extents_of(tx, decode(Version, raw)))
        check_class(tx, extents, self.source.row, self.target.row, self.ready)
        tree_shown, object_shown = self._shown(tx)
        replaces = tree_shown or object_shown is not None
        if replaces and not self.overwrite:
            raise PreconditionFailed("Overwrite")
        if self.keep_source or self.source.row.versioning:
            for _, raw in objects:
                layouts.share(tx, decode(Version, raw))
        if not self.keep_source:
            self._detach(tx, objects, noted)
        self._clear(tx, objects, object_shown, tree_shown=tree_shown)
        self._place(tx, objects, noted)
        if not self.keep_source and not self._lands_above():
            keep_collection(tx, self.source.row, self.source.raw_key, self.now_us, self.mint, self.who)
        return replaces

    def _lands_above(self) -> bool:
        """Whether an object takes the place of a collection that held the source: a marker there would hide it."""
        source, target = self.source, self.target
        same_bucket = source.row.bucket_id == target.row.bucket_id
        return same_bucket and not target.is_tree and source.raw_key.startswith(target.raw_key + b"/")

    def _take(self, tx: Writing) -> tuple[_Rows, _Rows]:
        """Rows of the objects and of the properties that go, by what stands behind the source's row key."""
        source = self.source
        row_key = source.row_key
        cut = len(row_key)
        noted: _Rows = []
        if source.is_tree and self.recursive:
            objects = [(key[cut:], raw) for key, raw in rows_below(tx, row_key)]
            if source.row.properties:
                noted = [(key[cut:], value) for key, value in properties.below(tx, row_key)]
        else:
            raw = tx.get(Table.OBJECTS, row_key)
            if raw is None and source.is_tree and exists_below(tx, row_key):
                raw = encode(publishing.marker_of(source.row, self.now_us))
            objects = [] if raw is None else [(b"", raw)]
            if source.row.properties:
                noted = [(b"\0" + name, value) for name, value in properties.of_resource(tx, row_key)]
        if not objects:
            raise ObjectNotFound(source.bucket, source.key)
        return objects, noted

    def _check_lengths(self, objects: _Rows) -> None:
        longest = len(self.target.raw_key) + max(len(rest) for rest, _ in objects)
        if longest > KEY_BYTES_MAX:
            raise KeyTooLong("key", f"{self.target.key[:64]}...", f"at most {KEY_BYTES_MAX} bytes, one has {longest}")

    def _detach(self, tx: Writing, objects: _Rows, noted: _Rows) -> None:
        """Remove the source's rows. The references they hold go along to the target, unless the bucket has versions."""
        row, row_key, cause = self.source.row, self.source.row_key, Cause(self.who)
        for rest, _ in noted:
            tx.delete(Table.PROPERTIES, row_key + rest)
        if not row.versioning:
            tx.put_all(Table.OBJECTS, dict.fromkeys([row_key + rest for rest, _ in objects]))
            if KIND in row.config:
                for rest, _ in objects:
                    notifying.tell_removed(tx, row, row_key + rest, "", self.now_us, cause)
            return
        bare = msgspec.structs.replace(row, properties=False)
        tally = Tally()
        for rest, raw in objects:
            publishing.remove(tx, bare, row_key + rest, decode(Version, raw), self.now_us, self.mint, tally, cause)
        tally.apply(tx, row)

    def _clear(self, tx: Writing, objects: _Rows, object_shown: Version | None, *, tree_shown: bool) -> None:
        """Remove what the target shows; where it has versions, not what is about to get a new one."""
        row = self.target.row
        placed = {self.target.row_key + rest for rest, _ in objects} if row.versioning else ()
        if tree_shown:
            remove_tree(tx, row, self.target.bare_key + b"/", self.now_us, self.mint, self.who, placed)
        if object_shown is None:
            return
        row_key = keyspace.u64(row.bucket_id) + self.target.bare_key
        if row_key in placed:
            if row.properties:
                properties.forget(tx, row_key)
            return
        tally = Tally()
        publishing.remove(tx, row, row_key, object_shown, self.now_us, self.mint, tally, Cause(self.who))
        tally.apply(tx, row)

    def _shown(self, tx: Writing) -> tuple[bool, Version | None]:
        """What has to go from the target: the collection of that name, and the object of that name unless the
        collection hides it and stays in its place.
        """
        target = self.target
        row_key = keyspace.u64(target.row.bucket_id) + target.bare_key
        tree = exists_below(tx, row_key + b"/")
        hidden = tree and target.is_tree
        return tree, None if hidden else publishing.present(tx, row_key)

    def _place(self, tx: Writing, objects: _Rows, noted: _Rows) -> None:
        """Write the rows under their new keys, and keep the counters right."""
        source, target = self.source, self.target
        row_key = target.row_key
        tally, cause = Tally(), Cause(self.who, COPY)
        moved = not self.keep_source and not source.row.versioning
        if moved and source.row.bucket_id != target.row.bucket_id:
            Tally(-sum(decode(Listed, raw).size for _, raw in objects), -len(objects)).apply(tx, source.row)
        if moved and not target.row.versioning:
            tx.put_all(Table.OBJECTS, {row_key + rest: raw for rest, raw in self._relabelled(objects)})
            if KIND in target.row.config:
                for rest, raw in objects:
                    notifying.tell_made(tx, target.row, row_key + rest, decode(Version, raw), self.now_us, cause)
            if source.row.bucket_id != target.row.bucket_id:
                tally.add(sum(decode(Listed, raw).size for _, raw in objects), len(objects))
        else:
            for rest, raw in objects:
                new = self._copied(decode(Version, raw))
                old = publishing.present(tx, row_key + rest) if target.row.versioning else None
                publishing.replace(tx, target.row, row_key + rest, old, new, self.now_us, self.mint, tally, cause)
        for rest, value in noted:
            tx.put(Table.PROPERTIES, row_key + rest, value)
        if noted:
            properties.mark(tx, target.bucket, target.row)
        tally.apply(tx, target.row)

    def _copied(self, version: Version) -> Version:
        """A version at the target; one that is moved keeps its times."""
        if self.keep_source:
            return self._dated(publishing.with_attributes(version, None, self.target.row, self.now_us))
        return self._dated(publishing.new_version(version, self.target.row))

    def _relabelled(self, objects: _Rows) -> _Rows:
        """The rows of objects that are moved between buckets without versions: mostly the same bytes."""
        owner = self.target.row.owner
        if self.source.row.owner != owner:
            replace = msgspec.structs.replace
            return [(rest, encode(self._dated(replace(decode(Version, raw), owner=owner)))) for rest, raw in objects]
        if self.modified_us is None or self.source.is_tree:
            return objects
        return [(rest, encode(self._dated(decode(Version, raw)))) for rest, raw in objects]

    def _dated(self, version: Version) -> Version:
        """The version of a file with the time that the request gives it."""
        if self.modified_us is None or self.source.is_tree:
            return version
        return msgspec.structs.replace(version, modified_us=self.modified_us)
