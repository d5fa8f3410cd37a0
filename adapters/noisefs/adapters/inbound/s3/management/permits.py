"""Who may call IAM: administrators, and others where a policy of theirs lets them."""

from collections.abc import Collection

from noisefs.adapters.inbound.s3.management.forms import Form
from noisefs.core.domain.rights.caller_keys import arn_of
from noisefs.core.domain.rights.evaluation import Sources, by_policies
from noisefs.core.domain.rights.policy import Request, Verdict
from noisefs.core.errors import AccessDenied
from noisefs.core.services.namespace.rights.evaluating import caller_of


def permit(form: Form, action: str, resources: Collection[str] = ("*",)) -> None:
    """Refuse whoever may not do this to what has these ARNs, under any of which a policy may name it.

    Raises:
        AccessDenied: It may not.
    """
    who = form.by.principal
    caller, sources = caller_of(who), Sources(who.policies, who.session)
    verdicts = {by_policies(Request(caller, action, resource, form.lookup), sources) for resource in resources}
    if Verdict.DENY in verdicts or (Verdict.ALLOW not in verdicts and not who.admin):
        raise AccessDenied(f"User: {arn_of(who)} is not authorized to perform: {action}")
