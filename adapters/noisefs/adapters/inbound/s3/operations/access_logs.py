"""Where the access log of a bucket goes."""

from typing import Final

from noisefs.adapters.inbound.s3 import answers
from noisefs.adapters.inbound.s3.answers import Answer
from noisefs.adapters.inbound.s3.call import Call
from noisefs.adapters.inbound.s3.operations.xml_body import XmlBodies
from noisefs.adapters.inbound.s3.xml.access_logs import rule_of, status_content
from noisefs.core.services.namespace.background.access_logs import AccessLogs

_ROOT: Final = "BucketLoggingStatus"


class AccessLogOperations:
    """Answers requests on the configuration. Task-safe."""

    def __init__(self, *, logs: AccessLogs, bodies: XmlBodies, region: str) -> None:
        self._logs = logs
        self._bodies = bodies
        self._region = region

    async def put(self, call: Call) -> Answer:
        """Log the bucket's requests from the next one on, or no more."""
        rule = await self._bodies.read(call, _ROOT, rule_of)
        await self._logs.put(call.who, call.bucket, rule, self._region)
        return answers.empty(call)

    async def get(self, call: Call) -> Answer:
        """The configuration as it was put."""
        found = await self._logs.get(call.who, call.bucket)
        rule, names = (None, {}) if found is None else found
        return answers.xml(call, _ROOT, status_content(rule, names))
