"""Which requests may take the short way: a plain one for an object, whose sender is known at once."""

from collections.abc import Set

from aiohttp.http import RawRequestMessage

from noisefs.adapters.inbound.s3 import encryption
from noisefs.adapters.inbound.s3.auth.gatekeeper import Gatekeeper, Session
from noisefs.adapters.inbound.s3.call import headers_of
from noisefs.adapters.inbound.s3.headers import check_built
from noisefs.adapters.inbound.s3.target import Target, target_of


def plain_request(
    message: RawRequestMessage, unusual: Set[str], gatekeeper: Gatekeeper, domain: str | None
) -> tuple[Session, Target, dict[str, str]] | None:
    """Who asks, for which object, with which headers; ``None``: it takes the long way.

    Args:
        message: The request's head.
        unusual: Headers, in lower case, with which a request takes the long way.
        gatekeeper: Knows the sender.
        domain: Of virtual-host requests.

    Raises:
        NoisefsError: It is refused; the long way finds the same and tells it.
    """
    headers = headers_of(message.headers)
    if not unusual.isdisjoint(headers) or not encryption.is_usual(headers):
        return None
    target = target_of(message.path, headers.get("host", ""), domain)
    if not target.key or (target.params and target.params.keys() != {"x-id"}):
        return None
    session = gatekeeper.recognise(message, target, headers)
    check_built(headers)
    return session, target, headers
