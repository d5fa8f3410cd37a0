"""What a bucket says about rights: its policy, list, ownership rule and public access block.

Each is checked and put in one commit, together with what it must agree with, so that no two of them ever contradict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from noisefs.core.domain.ids import UserId
from noisefs.core.domain.records import Bucket, decode, encode
from noisefs.core.domain.requests import Need, Principal
from noisefs.core.domain.rights import acl as lists
from noisefs.core.domain.rights import ownership, public_access
from noisefs.core.domain.rights.acl import Acl, AclWish, acl_of_bucket, encode_acl, is_public, private
from noisefs.core.domain.rights.belonging import check_block
from noisefs.core.domain.rights.ownership import Ownership, declared_of, ownership_of
from noisefs.core.domain.rights.policy import BUCKET_POLICY_BYTES
from noisefs.core.domain.rights.public_access import PublicAccessBlock, block_of, encode_block
from noisefs.core.errors import AccessDenied, AclInTheWay, BucketNotFound, InvalidPolicy
from noisefs.core.ports.index import Index, Reading, Table, Writing
from noisefs.core.ports.workers import Lane, Workers
from noisefs.core.services.commits import CommitQueue
from noisefs.core.services.namespace.rights.access import is_plain, reach_bucket
from noisefs.core.services.namespace.rights.evaluating import POLICY, SEALED, allows, compiled
from noisefs.core.services.namespace.rights.named import check_principals
from noisefs.core.services.namespace.rights.wishes import check_unchanged, checked_wish, names_of


@dataclass(frozen=True, slots=True)
class BucketAcl:
    """A bucket's owner and list, and names of the users in it."""

    owner: UserId
    acl: Acl
    names: dict[str, str]


class BucketRights:
    """Operations on buckets' rights. Task-safe. Raise ``BucketNotFound`` and ``AccessDenied`` as ``Buckets.get``."""

    def __init__(self, *, index: Index, commits: CommitQueue, workers: Workers) -> None:
        self._workers = workers
        self._index = index
        self._commits = commits

    def check(self, who: Principal, name: str) -> None:
        """Refuse whoever may not do what it asks for. Cost: one get, and what :func:`.access.reach_bucket` says."""
        self._index.read(lambda tx: reach_bucket(tx, who, name))

    # ------------------------------------------------------------------ policy

    async def policy(self, who: Principal, name: str) -> bytes | None:
        """The policy exactly as it was put."""
        return self._index.read(lambda tx: reach_bucket(tx, who, name).config.get(POLICY))

    async def put_policy(self, who: Principal, name: str, raw: bytes, *, sealed: bool = False) -> None:
        """Set the policy. ``sealed``: it may take from the owner the right to change it.

        Raises:
            InvalidPolicy: It says something that cannot be honoured exactly.
            AccessDenied: It is public, and the bucket's public access block refuses that.
        """
        self.check(who, name)
        if len(raw) > BUCKET_POLICY_BYTES:
            raise InvalidPolicy("policy", f"{len(raw)} bytes", f"at most {BUCKET_POLICY_BYTES} bytes")
        known = await self._workers.run(Lane.CPU, compiled, raw, name)

        def change(tx: Writing, bucket: Bucket) -> dict[str, bytes | None]:
            check_principals(tx, who.account, known.policy)
            if block_of(bucket).block_policy and known.public:
                raise AccessDenied("the bucket's public access block refuses public policies")
            return {POLICY: raw, SEALED: b"1" if sealed else None}

        await self._change(who, name, change)

    async def delete_policy(self, who: Principal, name: str) -> None:
        """Remove the policy, if there is one."""
        await self._change(who, name, lambda _tx, _bucket: {POLICY: None, SEALED: None})

    async def is_public(self, who: Principal, name: str) -> bool:
        """Whether the policy or the list lets everybody do something."""

        def look(tx: Reading) -> bool:
            bucket = reach_bucket(tx, who, name)
            block, raw = block_of(bucket), bucket.config.get(POLICY)
            if raw is not None and not block.restrict and compiled(raw, name).public:
                return True
            enforced = ownership_of(bucket) is Ownership.ENFORCED
            return not enforced and not block.ignore_acls and is_public(acl_of_bucket(bucket))

        return self._index.read(look)

    # ------------------------------------------------------------------ list

    async def acl(self, who: Principal, name: str) -> BucketAcl:
        """The list in force."""

        def look(tx: Reading) -> BucketAcl:
            bucket = reach_bucket(tx, who, name)
            enforced = ownership_of(bucket) is Ownership.ENFORCED
            acl = private(bucket.owner) if enforced else acl_of_bucket(bucket)
            return BucketAcl(bucket.owner, acl, names_of(tx, (bucket.owner, *(grantee for grantee, _ in acl))))

        return self._index.read(look)

    async def put_acl(self, who: Principal, name: str, wish: AclWish, owner: UserId | None = None) -> None:
        """Replace the list. ``owner``: as the request names it.

        Raises:
            AclNotSupported: Lists do not count in this bucket.
            InvalidArgument: A grantee does not exist.
            AccessDenied: Another owner is named, or the list is public and the bucket refuses that.
        """

        def change(tx: Writing, bucket: Bucket) -> dict[str, bytes | None]:
            if owner is not None and owner != bucket.owner:
                raise AccessDenied("an access control list does not change whose the bucket is")
            if ownership_of(bucket) is Ownership.ENFORCED:
                check_unchanged(bucket, wish)
                return {}
            acl = checked_wish(tx, wish).resolved(bucket.owner, bucket.owner)
            check_block(bucket, acl)
            return {lists.KIND: None if acl is None else encode_acl(acl)}

        await self._change(who, name, change)

    # ------------------------------------------------------------------ ownership, public access

    async def ownership(self, who: Principal, name: str) -> Ownership | None:
        """The rule that was declared; ``None``: it was removed."""
        return self._index.read(lambda tx: declared_of(reach_bucket(tx, who, name)))

    async def put_ownership(self, who: Principal, name: str, wanted: Ownership | None) -> None:
        """Declare the rule; ``None``: remove it, which is as good as ``ObjectWriter``.

        Raises:
            AclInTheWay: The bucket's list grants something to others, and no list would count any more.
        """

        def change(_tx: Writing, bucket: Bucket) -> dict[str, bytes | None]:
            if wanted is Ownership.ENFORCED and acl_of_bucket(bucket) != private(bucket.owner):
                raise AclInTheWay
            return {ownership.KIND: wanted.value.encode() if wanted is not None else b""}

        await self._change(who, name, change)

    async def block(self, who: Principal, name: str) -> PublicAccessBlock | None:
        """The public access block; ``None``: none was put."""

        def look(tx: Reading) -> PublicAccessBlock | None:
            bucket = reach_bucket(tx, who, name)
            return block_of(bucket) if public_access.KIND in bucket.config else None

        return self._index.read(look)

    async def put_block(self, who: Principal, name: str, block: PublicAccessBlock | None) -> None:
        """Set (``None``: remove) the public access block."""
        value = None if block is None else encode_block(block)
        await self._change(who, name, lambda _tx, _bucket: {public_access.KIND: value})

    async def initial(self, rule: Ownership | None, wish: AclWish, owner: UserId) -> dict[str, bytes]:
        """Configurations of a bucket that is about to be made. ``rule``: none is declared where it is ``None``.

        Raises:
            AclInTheWay: A list that says something, where lists will not count.
            InvalidArgument: A grantee does not exist.
        """
        config: dict[str, bytes] = {}
        if rule is not None:
            config[ownership.KIND] = rule.value.encode()
        if rule in (None, Ownership.ENFORCED):
            if not wish.is_harmless:
                raise AclInTheWay
            return config
        acl = self._index.read(lambda tx: checked_wish(tx, wish)).resolved(owner, owner)
        if acl is not None:
            config[lists.KIND] = encode_acl(acl)
        return config

    async def has_acl(self, who: Principal, name: str, config: dict[str, bytes]) -> bool:
        """Whether a bucket has the list that ``config`` would give it: making it again changes nothing then."""
        bucket = self._index.read(lambda tx: reach_bucket(tx, replace(who, trusted=True), name))
        return bucket.config.get(lists.KIND) == config.get(lists.KIND)

    async def sift(
        self, who: Principal, name: str, needs: Sequence[tuple[Need, ...]]
    ) -> tuple[Principal, Sequence[bool]]:
        """For each of many things, whether ``who`` may do all of it; and ``who`` with leave for this bucket, to do
        those with. Cost: some 30 us each in a bucket with rules, else nothing.
        """
        asking = who.asking
        if asking is None:
            return who, [True] * len(needs)

        def look(tx: Reading) -> tuple[int, list[bool]]:
            raw = tx.get(Table.BUCKETS, name.encode("utf-8", "replace"))
            if raw is None:
                raise BucketNotFound(name)
            bucket = decode(Bucket, raw)
            if is_plain(bucket, who):
                return bucket.bucket_id, [True] * len(needs)
            return bucket.bucket_id, [all(allows(tx, bucket, who, need, asking) for need in some) for some in needs]

        bucket_id, allowed = await self._workers.run(Lane.DISK, self._index.read, look)
        return who.who_asks(asking._replace(cleared=frozenset({bucket_id}))), allowed

    async def _change(
        self, who: Principal, name: str, change: Callable[[Writing, Bucket], dict[str, bytes | None]]
    ) -> None:
        def commit(tx: Writing) -> None:
            bucket = reach_bucket(tx, who, name)
            config: dict[str, bytes | None] = {**bucket.config, **change(tx, bucket)}
            kept = {kind: value for kind, value in config.items() if value is not None}
            if kept != bucket.config:
                tx.put(Table.BUCKETS, name.encode(), encode(msgspec.structs.replace(bucket, config=kept)))

        await self._commits.run(commit)
