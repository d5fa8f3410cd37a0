"""One request on its way through WsgiDAV: what was found out on the loop before, and how its thread calls services."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from wsgidav.dav_error import DAVError, DAVErrorCondition

from noisefs.adapters.inbound.webdav.places.nodes import Node
from noisefs.adapters.inbound.webdav.places.place import Place, place_of
from noisefs.adapters.inbound.webdav.places.view import WHOLE, View
from noisefs.adapters.inbound.webdav.refusal import NO_CONFLICT, Refused, refusal_of
from noisefs.adapters.inbound.webdav.settings import WebdavSettings
from noisefs.core.domain.requests import Principal
from noisefs.core.errors import NoisefsError, ResourceLocked
from noisefs.core.ports.clock import Clock
from noisefs.core.ports.index import Writing
from noisefs.core.services.namespace.buckets.service import Buckets
from noisefs.core.services.namespace.objects.service import Objects
from noisefs.core.services.namespace.trees.locks import Locks
from noisefs.core.services.namespace.trees.properties import Properties
from noisefs.core.services.namespace.trees.service import Trees

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """What requests act on."""

    buckets: Buckets
    objects: Objects
    trees: Trees
    properties: Properties
    locks: Locks
    clock: Clock
    settings: WebdavSettings


@dataclass(slots=True)
class Errand:
    """Belongs to one request. The loop fills it, then exactly one thread works with it.

    Attributes:
        loop: Where the services run.
        services: The services.
        who: Who asks.
        place: The Request-URI.
        view: What paths mean to whoever asks.
        target: The ``Destination`` of a COPY or MOVE.
        overwrite: Whether a COPY or MOVE may replace something.
        modified_us: The time that a COPY or MOVE of a file gives it.
        found: What is at the places that matter, by path; ``None`` for nothing.
        first: What the request's change begins with in its commit.
        ghost: Treat the Request-URI as there even if nothing is: a lock may be on it that is to go.
        created: Set by the work: the answer is 201, not 204.
    """

    loop: asyncio.AbstractEventLoop
    services: Services
    who: Principal
    place: Place
    target: Place | None = None
    overwrite: bool = True
    modified_us: int | None = None
    found: dict[str, Node | None] = field(default_factory=dict)
    first: Callable[[Writing], None] = lambda _tx: None
    ghost: bool = False
    created: bool = False
    view: View = WHOLE

    def run(self, work: Coroutine[Any, Any, T]) -> T:  # Any: a coroutine's other two types are never used
        """Run a service's coroutine on the loop and wait for it, from the errand's thread. Cost: two thread switches.

        Raises:
            Whatever it raises.
        """
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def call(self, work: Coroutine[Any, Any, T]) -> T:  # Any: as above
        """The same for WsgiDAV.

        Raises:
            DAVError: The status of what the service raised.
        """
        try:
            return self.run(work)
        except NoisefsError as exc:
            raise dav_error(exc) from exc


def wsgi_path(place: Place) -> str:
    """A place's path as WsgiDAV gets to see it: percent-encoded, without a last slash.

    WsgiDAV decodes a Destination before it looks for a query and parameters in it, so a ``?`` or ``;`` in a name would
    be lost; control characters it cannot put into XML. In encoded paths there are none of these, and it never decodes
    them: that is :func:`place_of_wsgi`'s business.
    """
    return quote(place.path, safe="/")


def place_of_wsgi(path: str) -> Place:
    """The place of a path that WsgiDAV has, which it may have given a last slash."""
    return place_of(path.rstrip("/") or "/")


def dav_error(error: NoisefsError) -> DAVError:
    """WsgiDAV's form of a service's error."""
    refused = refusal_of(error)
    condition = None
    if isinstance(error, ResourceLocked):
        condition = DAVErrorCondition(f"{{DAV:}}{NO_CONFLICT}")
        condition.add_href(quote(error.path))
    return DAVError(
        refused.status, refused.text, err_condition=condition, add_headers=list(refused.headers.items()) or None
    )


def refused_of(error: DAVError) -> Refused:
    """A refusal by WsgiDAV, or by us through it, as our own."""
    condition, hrefs = "", ()
    if error.err_condition is not None:
        condition = error.err_condition.condition_code.removeprefix("{DAV:}")
        hrefs = tuple(error.err_condition.hrefs)
    return Refused(
        error.value,
        error.context_info or "the request was refused",
        condition=condition,
        hrefs=hrefs,
        headers=dict(error.add_headers or ()),
    )
