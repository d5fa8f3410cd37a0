"""Events that wait in the index, and what the receivers of events get.

The rows lie in ``META``, so that a store without events is what it always was: under ``events/queue/`` a row for each
target, under ``events/waiting/`` its events by number. Format rule as in :mod:`..records`: fields are only appended.

Source of the message's shape: S3 user guide, *Event message structure* (2.1 and, for later kinds of events, 2.3).
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote_plus

from noisefs.core.domain.buckets.notification import TEST
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.keyspace import u64
from noisefs.core.domain.records import Record
from noisefs.core.domain.rights.identity import canonical_id

QUEUE_PREFIX: Final = b"events/queue/"
WAITING_PREFIX: Final = b"events/waiting/"

_LATER: Final = ("s3:ObjectTagging", "s3:ObjectAcl", "s3:LifecycleExpiration")
_NOBODY: Final = "Anonymous"


class EventQueue(Record, frozen=True, array_like=True):
    """The queue of a target: events from ``first`` up to (not with) ``following`` wait; ``most`` at a time."""

    first: int
    following: int
    most: int
    dropped: int = 0
    """Events that went since the queue is there because it was full."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self.following - self.first


class WaitingEvent(Record, frozen=True, array_like=True):
    """An event that a target has still to be told. ``size`` and ``etag``: of what was made."""

    event: str
    at_us: int
    bucket: str
    owner: UserId
    key: str
    rule_id: str
    sequence: int
    """The commit that it happened in; with its number in the queue it is the sequencer."""
    size: int = -1
    etag: str = ""
    version_id: str = ""
    requester: str = ""
    source_ip: str = ""
    request_id: str = ""


def queue_key(target: str) -> bytes:
    """Row of a target's queue."""
    return QUEUE_PREFIX + target.encode()


def waiting_key(target: str, number: int) -> bytes:
    """Row of an event of a target."""
    return WAITING_PREFIX + target.encode() + b"\0" + u64(number)


Json = dict[str, Any]  # Any: a document


def message_of(events: Sequence[tuple[int, WaitingEvent]], region: str) -> bytes:
    """The body that tells of these events (number and row), in order. A test event goes by itself."""
    if events[0][1].event == TEST:
        return json.dumps(_test(events[0][1])).encode()
    return json.dumps({"Records": [record_of(number, event, region) for number, event in events]}).encode()


def _test(event: WaitingEvent) -> Json:
    return {
        "Service": "Amazon S3",
        "Event": TEST,
        "Time": _time(event.at_us),
        "Bucket": event.bucket,
        "RequestId": event.request_id,
        "HostId": "noisefs",
    }


def record_of(number: int, event: WaitingEvent, region: str) -> Json:
    """One event as AWS tells it. The key is encoded as in a form, slashes apart."""
    what: Json = {"key": quote_plus(event.key, safe="/")}
    if event.size >= 0:
        what |= {"size": event.size, "eTag": event.etag}
    if event.version_id:
        what["versionId"] = event.version_id
    # Numbers of equal length, so that their texts sort as they do: the commit's, which is never used again, then ours.
    what["sequencer"] = f"{event.sequence:016X}{number:016X}"
    return {
        "eventVersion": "2.3" if event.event.startswith(_LATER) else "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": _time(event.at_us),
        "eventName": event.event.removeprefix("s3:"),
        "userIdentity": {"principalId": event.requester or _NOBODY},
        "requestParameters": {"sourceIPAddress": event.source_ip},
        "responseElements": {"x-amz-request-id": event.request_id, "x-amz-id-2": "noisefs"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": event.rule_id,
            "bucket": {
                "name": event.bucket,
                "ownerIdentity": {"principalId": canonical_id(event.owner)},
                "arn": f"arn:aws:s3:::{event.bucket}",
            },
            "object": what,
        },
    }


def _time(at_us: int) -> str:
    moment = datetime.fromtimestamp(at_us / 1e6, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
