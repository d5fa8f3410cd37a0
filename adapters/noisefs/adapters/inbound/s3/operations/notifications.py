"""Which events of a bucket are told to whom."""

from typing import Final

from lxml import etree

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.kept import content_of
from noisefs.adapters.inbound.s3.xml.notifications import rules_of
from noisefs.core.domain.buckets.notification import Rule
from noisefs.core.services.namespace.buckets.notifications import Notifications

_ROOT: Final = "NotificationConfiguration"


class NotificationOperations:
    """Answers requests on the configuration. Task-safe."""

    def __init__(self, *, notifications: Notifications, bodies: XmlBodies) -> None:
        self._notifications = notifications
        self._bodies = bodies

    async def put(self, call: Call) -> Answer:
        """Tell of the bucket's changes from now on; an empty configuration: no more."""
        rules, content = await self._bodies.read(call, _ROOT, self._read)
        await self._notifications.put(call.who, call.bucket, rules, content)
        return answers.empty(call)

    async def get(self, call: Call) -> Answer:
        """The configuration as it was put."""
        content = await self._notifications.get(call.who, call.bucket)
        return answers.xml(call, _ROOT, content.decode())

    def _read(self, root: etree._Element) -> tuple[list[Rule], bytes]:
        rules = rules_of(root, self._notifications.allowed)  # it adds ids to the document
        return rules, content_of(root).encode()
