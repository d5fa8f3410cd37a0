"""What somebody may do in a bucket: its policy, theirs, lists and ownership, looked at in the transaction that does it.

So nothing can change between the decision and the deed: a tag that a policy asks for, or an object's own list, is that
of the very version that is read or replaced.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from noisefs.core.domain.buckets import naming
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.records import Bucket
from noisefs.core.domain.requests import Asking, Need, Principal
from noisefs.core.domain.rights import acl, ownership
from noisefs.core.domain.rights.actions import BY_BUCKET_ACL, BY_OBJECT_ACL, OBJECT_ACTIONS, POLICY_ACTIONS
from noisefs.core.domain.rights.conditions import Lookup
from noisefs.core.domain.rights.evaluation import Sources, by_policies
from noisefs.core.domain.rights.keys import EXISTING_TAG
from noisefs.core.domain.rights.ownership import Ownership, ownership_of
from noisefs.core.domain.rights.policy import ARN, Policy, Request, Verdict, parse_policy
from noisefs.core.domain.rights.principals import Caller
from noisefs.core.domain.rights.public_access import block_of, is_public_policy
from noisefs.core.errors import AccessDenied
from noisefs.core.ports.index import Reading
from noisefs.core.services.namespace.rows import versions
from noisefs.core.services.namespace.rows.versions import Found

POLICY: Final = "policy"
"""Where a bucket's configurations hold its policy, as it was put."""
SEALED: Final = "policySealed"
"""There: the policy binds the bucket's owner too; who put it said so (``x-amz-confirm-remove-self-bucket-access``)."""
OWNERSHIP: Final = ownership.KIND

_COMPILED_MOST: Final = 256
"""Bucket policies that are kept compiled."""
_LIST: Final = "s3:ListBucket"
_READS: Final = frozenset(action for action in OBJECT_ACTIONS if action.startswith("s3:Get"))
"""Actions that find nothing where there is no object: whether somebody is told so is for ``s3:ListBucket`` to say."""


class Compiled(NamedTuple):
    """A bucket's policy, and whether it is public."""

    policy: Policy
    public: bool


@lru_cache(maxsize=_COMPILED_MOST)
def compiled(raw: bytes, bucket: str) -> Compiled:
    """A bucket's policy as it was put."""
    policy = parse_policy(raw, bucket=bucket)
    return Compiled(policy, is_public_policy(policy))


def caller_of(who: Principal) -> Caller:
    """Who asks, as policies see them."""
    role = who.role
    if role is None:
        return Caller(who.user_id, who.name, who.account, who.admin)
    return Caller(who.user_id, "", who.account, admin=False, role=role.role, session=role.session)


def permit(tx: Reading, bucket: Bucket, who: Principal, name: str) -> None:
    """Let pass whoever may do all that it asks for in this bucket.

    Raises:
        AccessDenied: It may not, or it does not say what for.
    """
    asking = who.asking
    if asking is None:
        raise AccessDenied(f"bucket {name!r} belongs to another user, or has rules that have to be looked at")
    if bucket.bucket_id in asking.cleared:
        return
    needs = [need for need in asking.needs if need.bucket == name]
    if not needs or not all(allows(tx, bucket, who, need, asking) for need in needs):
        raise AccessDenied(f"no policy, list or ownership lets {who.name or 'somebody'!r} do this in {name!r}")


def permit_service(who: Principal, action: str, bucket: str = "") -> None:
    """Let pass whoever may do something that is about no bucket there is. Any user may, whom no policy stops; a role
    only what its policies let it.

    Raises:
        AccessDenied: A policy forbids it, or nobody knows who asks.
    """
    if who.trusted:
        return
    if not who.user_id:
        raise AccessDenied(f"{action} is not for those who do not say who they are")
    if not who.policies and not who.session and who.role is None:
        return
    if who.asking is None:
        raise AccessDenied(f"user {who.name!r} has policies that have to be looked at")
    request = Request(caller_of(who), action, ARN + (bucket or "*"), who.asking.lookup)
    verdict = by_policies(request, Sources(who.policies, who.session))
    if verdict is Verdict.DENY or (who.role is not None and verdict is not Verdict.ALLOW):
        raise AccessDenied(f"a policy forbids {action} to {who.name!r}")


def allows(tx: Reading, bucket: Bucket, who: Principal, need: Need, asking: Asking) -> bool:
    """Whether somebody may do one thing. Cost: some 10 to 30 us."""
    if _allows(tx, bucket, who, need, asking):
        return True
    return need.either and _allows(tx, bucket, who, need._replace(key=f"{need.key}/"), asking)


def _allows(tx: Reading, bucket: Bucket, who: Principal, need: Need, asking: Asking) -> bool:
    found = _row(tx, bucket, need) if _needs_row(bucket, who, need) else None
    lookup = asking.lookup if found is None else _with_tags(asking.lookup, found)
    mine = who.admin or who.owns(bucket.owner)
    verdict = _verdict(bucket, who, need, lookup, mine=mine)
    if verdict is Verdict.DENY:
        return False
    if need.action in _READS and found is None and need.key and _is_missing(tx, bucket, need):
        prefixed = asking._replace(lookup=_with_prefix(asking.lookup, need.key))
        return allows(tx, bucket, who, Need(_LIST, need.bucket), prefixed)
    if verdict is Verdict.ALLOW or need.optional or who.admin:
        return True
    return _by_lists(bucket, who, need, found, mine=mine)


def went_by_lists(bucket: Bucket, who: Principal, name: str) -> bool:
    """Whether somebody who was let do something in this bucket was let by a list: no policy and no ownership of the
    bucket lets them.
    """
    if ownership_of(bucket) is Ownership.ENFORCED or who.asking is None or who.admin or who.owns(bucket.owner):
        return False
    needs = [need for need in who.asking.needs if need.bucket == name and not need.optional]
    lookup = who.asking.lookup
    return any(_verdict(bucket, who, need, lookup, mine=False) is Verdict.SILENT for need in needs)


def _verdict(bucket: Bucket, who: Principal, need: Need, lookup: Lookup, *, mine: bool) -> Verdict:
    resource = f"{ARN}{need.bucket}/{need.key}" if need.key else ARN + need.bucket
    request = Request(caller_of(who), need.action, resource, lookup)
    kept = bucket.config.get(POLICY)
    if kept is None or (mine and need.action in POLICY_ACTIONS and (who.admin or SEALED not in bucket.config)):
        return by_policies(request, Sources(who.policies, who.session))
    known = compiled(kept, need.bucket)
    grants = mine or not (known.public and block_of(bucket).restrict)
    return by_policies(request, Sources(who.policies, who.session, known.policy, grants))


def _by_lists(bucket: Bucket, who: Principal, need: Need, found: Found | None, *, mine: bool) -> bool:
    """What lists and ownership say where no policy says anything."""
    if ownership_of(bucket) is Ownership.ENFORCED:
        return mine
    ignore_public = block_of(bucket).ignore_acls
    permission = BY_OBJECT_ACL.get(need.action)
    if permission is not None and need.key:
        if found is None:
            return mine
        version = found.version
        if who.owns(version.owner):
            return True
        grants = acl.private(version.owner) if version.acl is None else version.acl
        return acl.permits(grants, caller_of(who), permission, ignore_public=ignore_public)
    if mine:
        return True
    permission = BY_BUCKET_ACL.get(need.action)
    return permission is not None and acl.permits(
        acl.acl_of_bucket(bucket), caller_of(who), permission, ignore_public=ignore_public
    )


def _needs_row(bucket: Bucket, who: Principal, need: Need) -> bool:
    """Whether the object's own row has a say."""
    if not need.key:
        return False
    if need.action in BY_OBJECT_ACL and ownership_of(bucket) is not Ownership.ENFORCED:
        return True
    if need.action in _READS:
        return True
    kept = bucket.config.get(POLICY)
    policies = (*who.policies, *who.session, *((compiled(kept, need.bucket).policy,) if kept is not None else ()))
    return any(key.startswith(EXISTING_TAG) for policy in policies for key in policy.keys)


def _row(tx: Reading, bucket: Bucket, need: Need) -> Found | None:
    row_key = u64(bucket.bucket_id) + naming.key_bytes(need.key)
    if need.version_id is None:
        return versions.current(tx, row_key)
    return versions.find(tx, row_key, need.version_id)


def _is_missing(tx: Reading, bucket: Bucket, need: Need) -> bool:
    return _row(tx, bucket, need) is None


def _with_tags(lookup: Lookup, found: Found) -> Lookup:
    def value(key: str) -> tuple[str, ...] | None:
        if key.startswith(EXISTING_TAG):
            tag = found.version.tags.get(key[len(EXISTING_TAG) :])
            return None if tag is None else (tag,)
        return lookup(key)  # type: ignore[return-value]

    return value


def _with_prefix(lookup: Lookup, prefix: str) -> Lookup:
    return lambda key: (prefix,) if key == "s3:prefix" else lookup(key)
