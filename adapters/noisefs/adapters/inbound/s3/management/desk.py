"""Where forms are taken: read, verified, answered."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.auth.gatekeeper import Gatekeeper, Session
from noisefs.adapters.inbound.s3.body.incoming import Incoming
from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.management.forms import (
    FORM,
    FORM_BYTES_MOST,
    IAM,
    STS,
    Form,
    answer_of,
    fields_of,
    refusal_of,
)
from noisefs.adapters.inbound.s3.management.iam import Iam
from noisefs.adapters.inbound.s3.management.roles import RoleActions
from noisefs.adapters.inbound.s3.management.sts import Sts
from noisefs.adapters.inbound.s3.management.summary import Summary
from noisefs.adapters.inbound.s3.target import Target
from noisefs.core.domain.rights.conditions import Lookup
from noisefs.core.errors import EntityTooLarge, NoisefsError

log = logging.getLogger(__name__)

UNKNOWN: Final = "UnknownAction"
_NOT_BUILT: Final = 501
_TYPE: Final = "text/xml"


class Desk:
    """Answers forms. Task-safe."""

    def __init__(self, *, gatekeeper: Gatekeeper, iam: Iam, roles: RoleActions, summary: Summary, sts: Sts) -> None:
        self._gatekeeper = gatekeeper
        self._sts = sts.actions
        self._all = iam.actions | roles.actions | summary.actions | sts.actions

    @staticmethod
    def takes(method: str, target: Target, headers: Mapping[str, str]) -> bool:
        """Whether a request is a form for this desk."""
        return (
            method == "POST"
            and not target.bucket
            and headers.get("content-type", "").partition(";")[0].strip().lower() == FORM
        )

    async def answer(
        self,
        target: Target,
        headers: Mapping[str, str],
        incoming: Incoming,
        ids: Mapping[str, str],
        client: str,
        lookup: Callable[[Session], Lookup],
    ) -> tuple[str, Answer]:
        """The action that is asked for, and its answer. ``lookup``: gives the condition keys of a session.

        Raises:
            NoisefsError: The body did not come, or is too large.
        """
        body = await _whole(incoming)
        request_id = ids["x-amz-request-id"]
        action, namespace = UNKNOWN, IAM
        try:
            fields = fields_of(body)
            namespace = STS if fields.get("Action") in self._sts else IAM
            session = self._gatekeeper.admit_posted(target, headers, client, body)
            found = self._all.get(fields.get("Action", ""))
            if found is None:
                raise S3Error("NotImplemented", f"The action {fields.get('Action', '')[:60]!r} is not implemented.")
            action = fields["Action"]
            if session.credential is None:
                raise S3Error("AccessDenied")
            result = await found(Form(fields, session.credential, lookup(session)))
            status, told = 200, answer_of(namespace, action, result, request_id)
        except NoisefsError as exc:
            status, told = refusal_of(namespace, exc, request_id)
            if status >= 500 and status != _NOT_BUILT:
                log.warning("s3.failed", extra={"operation": action, "error": type(exc).__name__})
        return action, answers.whole(ids, status, {"Content-Type": _TYPE}, told)


async def _whole(incoming: Incoming) -> bytes:
    if incoming.remaining_bytes > FORM_BYTES_MOST:
        raise EntityTooLarge(incoming.declared_bytes or 0, FORM_BYTES_MOST)
    return b"".join([piece async for piece in incoming.pieces()])
