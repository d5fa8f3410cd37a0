"""Reads of objects: their rows, their parts, and their bytes."""

from collections.abc import Sequence

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.records import PartInfo, Version
from noisefs.core.domain.requests import ANY, Principal, ReadCondition
from noisefs.core.domain.sealing.inner import OuterKey
from noisefs.core.ports.index import Index, Reading
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.bodies.twice import InnerSealer
from noisefs.core.services.namespace.limits import NamespaceLimits
from noisefs.core.services.namespace.objects import layouts
from noisefs.core.services.namespace.objects.opening import Opener, OpenObject, Wanted
from noisefs.core.services.namespace.objects.pages import Pages
from noisefs.core.services.namespace.versions import lookup


class Reads(Pages):
    """Looks at objects and opens them. Task-safe. Every method raises as those of :class:`.pages.Pages`."""

    def __init__(
        self, *, index: Index, workers: Workers, limits: NamespaceLimits, opener: Opener, sealer: InnerSealer
    ) -> None:
        super().__init__(index=index, workers=workers, limits=limits)
        self._opener = opener
        self._sealer = sealer

    async def head(
        self,
        who: Principal,
        bucket: str,
        key: str,
        *,
        condition: ReadCondition = ANY,
        version_id: str | None = None,
    ) -> Version:
        """The current version's row (``version_id``: that version's), parts and layout resolved on demand by
        :meth:`parts`. Where the bucket has or had versions, the null version has the id ``null``.

        Raises:
            ObjectNotFound, VersionNotFound, NotModified, PreconditionFailed.
            ObjectDeleted: The newest version is a delete marker.
            DeleteMarkerNamed: ``version_id`` is that of a delete marker.
        """
        raw_key = naming.key_bytes(key)
        return self._index.read(lambda tx: lookup.look(tx, who, bucket, key, raw_key, condition, version_id)).version

    async def parts(self, who: Principal, bucket: str, key: str) -> tuple[Version, Sequence[tuple[int, int, int]]]:
        """The version and its part table as (number, offset, length); empty for an object not uploaded in parts."""
        version, table = await self.part_table(who, bucket, key)
        return version, [(part.number, part.offset, part.length) for part in table]

    async def part_table(
        self, who: Principal, bucket: str, key: str, *, condition: ReadCondition = ANY, version_id: str | None = None
    ) -> tuple[Version, Sequence[PartInfo]]:
        """The version and its whole part table, MD5s and checksums included. Raises like :meth:`head`."""
        raw_key = naming.key_bytes(key)

        def look(tx: Reading) -> tuple[Version, Sequence[PartInfo]]:
            version = lookup.look(tx, who, bucket, key, raw_key, condition, version_id).version
            return version, layouts.parts_of(tx, version)

        return await self._workers.run(Lane.DISK, self._index.read, look)

    async def open(
        self,
        who: Principal,
        bucket: str,
        key: str,
        *,
        condition: ReadCondition = ANY,
        version_id: str | None = None,
        wanted: Wanted | None = None,
        customer_key: bytes | None = None,
    ) -> OpenObject:
        """Open the current version for reading. Raises like :meth:`head`, and what ``wanted`` raises.

        One index transaction, unless many extents have to be opened (:mod:`.opening`). ``wanted`` is asked inside it;
        of an object of many parts only those are opened that hold the wanted bytes, and only these can be read.

        Raises:
            CustomerKeyNeeded, CustomerKeyUnwanted, WrongCustomerKey: ``customer_key`` is missing, too much or wrong.
        """
        raw_key = naming.key_bytes(key)
        return await self._opener.open(
            lambda tx: lookup.look(tx, who, bucket, key, raw_key, condition, version_id), wanted, customer_key
        )

    def check_key(self, version: Version, customer_key: bytes | None) -> None:
        """Refuse a customer's key that is missing, too much or wrong for what is told about a version.

        Raises:
            CustomerKeyNeeded, CustomerKeyUnwanted, WrongCustomerKey.
        """
        self._sealer.data_key(version.inner, customer_key)

    def named_key(self, name: str) -> OuterKey:
        """The key of this name, for a write. Raises ``NamedKeyNotFound``."""
        return self._sealer.named_key(name)
