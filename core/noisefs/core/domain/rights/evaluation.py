"""The decision about one request, from everything that has a say.

Order (IAM user guide, *Policy evaluation logic*; S3 user guide, *How Amazon S3 authorizes a request*):

1. A ``Deny`` of the user's, the session's or the bucket's policy that covers the request wins.
2. A session's policy must allow it, whatever else does; but for an ``Allow`` of the bucket's policy that names this
   very session of a role.
3. An ``Allow`` of the user's policies, or of the bucket's, is enough: a store is one account.
4. Else an access control list, where lists count, may permit it.
5. Else it is allowed to the owner: of the bucket, or of the object where that is another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from noisefs.core.domain.rights.policy import Policy, Request, Verdict


@dataclass(frozen=True, slots=True)
class Sources:
    """The policies that have a say.

    Attributes:
        identity: The user's.
        session: Those of temporary credentials, each of which must allow.
        resource: The bucket's.
        resource_grants: Whether an ``Allow`` of it counts; a public access block may forbid that.
    """

    identity: Sequence[Policy] = ()
    session: Sequence[Policy] = ()
    resource: Policy | None = None
    resource_grants: bool = True


def by_policies(request: Request, sources: Sources) -> Verdict:
    """What the policies say together: ``SILENT`` leaves it to lists and owners."""
    resource = Verdict.SILENT if sources.resource is None else sources.resource.verdict(request)
    if resource is Verdict.DENY:
        return resource
    allowed = resource is Verdict.ALLOW and sources.resource_grants
    for policy in sources.identity:
        verdict = policy.verdict(request)
        if verdict is Verdict.DENY:
            return verdict
        allowed = allowed or verdict is Verdict.ALLOW
    for policy in sources.session:
        verdict = policy.verdict(request)
        if verdict is Verdict.DENY or (verdict is Verdict.SILENT and not _is_named(request, sources)):
            return Verdict.DENY
    return Verdict.ALLOW if allowed else Verdict.SILENT


def _is_named(request: Request, sources: Sources) -> bool:
    """Whether the bucket's policy allows it to this very session of a role."""
    if not request.caller.role or sources.resource is None or not sources.resource_grants:
        return False
    exact = replace(request, caller=replace(request.caller, exact=True))
    return sources.resource.verdict(exact) is Verdict.ALLOW
