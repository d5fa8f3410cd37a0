"""Every error that NoiseFS raises on purpose, by meaning.

Callers catch the seven families; leaves carry fields, so that an adapter can build its protocol's
own answer. ``retryable`` says whether the same request may succeed later without being changed.
Protocol adapters hold one table from these classes to their codes, and a test that every class is in it.
"""

from typing import ClassVar


class NoisefsError(Exception):
    """Root of all errors raised on purpose. The message says what failed, which value, what was allowed."""

    retryable: ClassVar[bool] = False


# ---------------------------------------------------------------- families


class NotFound(NoisefsError):
    """The thing asked for does not exist (or the caller may not know that it does)."""


class Conflict(NoisefsError):
    """The request is fine, the present state forbids it."""


class InvalidRequest(NoisefsError):
    """The request is wrong in itself: it will never succeed unchanged."""


class AccessDenied(NoisefsError):
    """The caller is not who it says, or may not do this."""


class IntegrityError(NoisefsError):
    """Stored bytes are not what was written. Nothing wrong is ever served."""


class Unavailable(NoisefsError):
    """The service cannot answer now."""

    retryable = True


class CapacityExceeded(NoisefsError):
    """A limit of space, count or backlog is reached."""


# ---------------------------------------------------------------- not found


class BucketNotFound(NotFound):
    """No bucket of this name."""

    def __init__(self, bucket: str) -> None:
        super().__init__(f"bucket {bucket!r} does not exist")
        self.bucket = bucket


class ObjectNotFound(NotFound):
    """No current object under this key."""

    def __init__(self, bucket: str, key: str) -> None:
        super().__init__(f"object {key!r} does not exist in bucket {bucket!r}")
        self.bucket = bucket
        self.key = key


class ObjectDeleted(ObjectNotFound):
    """The newest version of the object is a delete marker."""

    def __init__(self, bucket: str, key: str, version_id: str) -> None:
        super().__init__(bucket, key)
        self.version_id = version_id


class VersionNotFound(NotFound):
    """The object has no such version."""

    def __init__(self, bucket: str, key: str, version_id: str) -> None:
        super().__init__(f"object {key!r} in bucket {bucket!r} has no version {version_id!r}")
        self.bucket = bucket
        self.key = key
        self.version_id = version_id


class UploadNotFound(NotFound):
    """No such multipart upload: never begun, completed, aborted or expired."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"upload {upload_id!r} does not exist: it was completed, aborted, expired or never begun")
        self.upload_id = upload_id


class UserNotFound(NotFound):
    """No user of this name or id."""

    def __init__(self, user: str) -> None:
        super().__init__(f"user {user!r} does not exist")
        self.user = user


class AccessKeyNotFound(NotFound):
    """No such access key."""

    def __init__(self, access_key_id: str) -> None:
        super().__init__(f"access key {access_key_id!r} does not exist")
        self.access_key_id = access_key_id


class NamedKeyNotFound(NotFound):
    """There is no key of this name to seal objects with."""


class UserPolicyNotFound(NotFound):
    """The user has no policy of this name."""

    def __init__(self, user: str, policy: str) -> None:
        super().__init__(f"user {user!r} has no policy {policy!r}")
        self.user = user
        self.policy = policy


class PackNotFound(NotFound):
    """The pack store holds no such pack."""

    def __init__(self, pack_id: bytes) -> None:
        super().__init__(f"pack {pack_id.hex()} is not in the store")
        self.pack_id = pack_id


class SnapshotNotFound(NotFound):
    """No such snapshot."""

    def __init__(self, snapshot: str) -> None:
        super().__init__(f"snapshot {snapshot!r} does not exist")
        self.snapshot = snapshot


class FileNotInStore(NotFound):
    """A snapshot's or log's file is not in its folder."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no file {name!r}")
        self.name = name


class StoreNotFound(NotFound):
    """The data folder holds no store."""


class FileMissing(NotFound):
    """A file of the data folder is not there."""

    def __init__(self, path: str) -> None:
        super().__init__(f"file {path!r} does not exist")
        self.path = path


# ---------------------------------------------------------------- conflict


class BucketExists(Conflict):
    """The bucket name is taken. ``owned`` tells whether the caller owns it."""

    def __init__(self, bucket: str, *, owned: bool) -> None:
        super().__init__(f"bucket {bucket!r} exists already")
        self.bucket = bucket
        self.owned = owned


class BucketNotEmpty(Conflict):
    """The bucket still holds objects. Open uploads do not keep it: they are aborted with it."""

    def __init__(self, bucket: str) -> None:
        super().__init__(f"bucket {bucket!r} is not empty")
        self.bucket = bucket


class NamedKeyExists(Conflict):
    """A key of this name exists."""


class BucketStateConflict(Conflict):
    """The bucket's versioning or object lock forbids the change."""


class UserExists(Conflict):
    """The user name is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"user {name!r} exists already")
        self.name = name


class AccessKeyExists(Conflict):
    """The access key id is taken by another pair."""

    def __init__(self, access_key_id: str) -> None:
        super().__init__(f"access key {access_key_id!r} exists already with another secret or user")
        self.access_key_id = access_key_id


class PreconditionFailed(Conflict):
    """A condition of the request does not hold. ``condition`` is its header name, e.g. ``If-Match``."""

    def __init__(self, condition: str) -> None:
        super().__init__(f"the condition {condition} does not hold")
        self.condition = condition


class NotModified(Conflict):
    """A read condition says that the caller has the current bytes (HTTP 304)."""

    def __init__(self, etag: str, modified_us: int) -> None:
        super().__init__("the object was not modified")
        self.etag = etag
        self.modified_us = modified_us


class ResourceLocked(Conflict):
    """A WebDAV lock forbids the change."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} is locked")
        self.path = path


class FileExists(Conflict):
    """A file that was to be made is there already."""

    def __init__(self, path: str) -> None:
        super().__init__(f"file {path!r} exists already")
        self.path = path


class StoreBusy(Conflict):
    """Another process holds the store's lock."""


class ForeignDirectory(Conflict):
    """The folder is not empty and is not a store of ours."""


class NewerFormat(Conflict):
    """Written by a newer version of this program than the running one."""


class Overtaken(Conflict):
    """Somebody else's change came first: look again before you decide to repeat it."""


class CommitConflict(Conflict):
    """A compare-and-set lost: the row changed underneath. The caller looks again."""

    retryable = True


# ---------------------------------------------------------------- invalid request


class InvalidArgument(InvalidRequest):
    """A field has a value that is not allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} is {value!r}: {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


class InvalidBucketName(InvalidArgument):
    """The bucket name breaks S3's naming rules."""


class InvalidKey(InvalidArgument):
    """The object key is empty, has NUL or is not valid UTF-8."""


class KeyTooLong(InvalidArgument):
    """The object key has more than 1024 bytes of UTF-8."""


class ConfigError(InvalidArgument):
    """A configuration field is unknown or bad."""


class InvalidPolicy(InvalidArgument):
    """A policy, or an access control list, says something that cannot be honoured exactly."""


class AclNotSupported(InvalidRequest):
    """The bucket takes no access control lists: its objects are its owner's."""

    def __init__(self) -> None:
        super().__init__("The bucket does not allow ACLs")


class AclInTheWay(InvalidRequest):
    """The bucket has an access control list that its ownership rule would set aside, or is given both."""

    def __init__(self) -> None:
        super().__init__("Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")


class CustomerKeyNeeded(InvalidRequest):
    """The object is sealed with a key that has to come with the request."""


class CustomerKeyUnwanted(InvalidRequest):
    """A key came with the request, and the object is not sealed with one."""


class DeleteMarkerNamed(InvalidRequest):
    """The version that is asked for is a delete marker, which has no bytes."""

    def __init__(self, bucket: str, key: str, version_id: str, modified_us: int) -> None:
        super().__init__(f"version {version_id!r} of object {key!r} in bucket {bucket!r} is a delete marker")
        self.bucket = bucket
        self.key = key
        self.version_id = version_id
        self.modified_us = modified_us


class TokenReused(InvalidRequest):
    """The token that makes a request idempotent was used for another one."""


class LockNotConfigured(InvalidRequest):
    """The bucket has no object lock, so its versions cannot be locked."""

    def __init__(self) -> None:
        super().__init__("Bucket is missing Object Lock Configuration")


class RangeNotSatisfiable(InvalidRequest):
    """The byte range lies outside the object."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the range lies outside the object of {size_bytes} bytes")
        self.size_bytes = size_bytes


class EntityTooLarge(InvalidRequest):
    """The body is larger than the limit."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"the body has {size_bytes} bytes: at most {limit_bytes} are allowed")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class PartTooSmall(InvalidRequest):
    """A part other than the last is smaller than the minimum."""

    def __init__(self, part_number: int, size_bytes: int, minimum_bytes: int) -> None:
        super().__init__(f"part {part_number} has {size_bytes} bytes: at least {minimum_bytes} are needed")
        self.part_number = part_number
        self.size_bytes = size_bytes
        self.minimum_bytes = minimum_bytes


class InvalidPart(InvalidRequest):
    """A part of a Complete request does not exist or has another ETag or checksum."""

    def __init__(self, part_number: int) -> None:
        super().__init__(f"part {part_number} was not uploaded or its ETag or checksum differs")
        self.part_number = part_number


class InvalidPartOrder(InvalidRequest):
    """The part numbers of a Complete request do not ascend."""


class DigestMismatch(InvalidRequest):
    """The bytes received do not have the digest the client declared."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(f"the {algorithm} of the bytes received is not the one declared")
        self.algorithm = algorithm


class IncompleteBody(InvalidRequest):
    """The body ended before, or went on after, its declared length."""


# ---------------------------------------------------------------- access


class AuthenticationFailed(AccessDenied):
    """Unknown or disabled user or key, or a wrong password."""


class WrongCustomerKey(AccessDenied):
    """The key that came with the request is not the one that the object was stored with."""


class ObjectLocked(AccessDenied):
    """A retention or a legal hold keeps the version as it is."""


class WrongRootKey(AccessDenied):
    """The root key does not open this store's keyring."""


# ---------------------------------------------------------------- integrity


class SegmentDamaged(IntegrityError):
    """A segment's tag does not verify."""

    def __init__(self, body_id: bytes, segment: int) -> None:
        super().__init__(f"segment {segment} of body {body_id.hex()} is damaged: its tag does not verify")
        self.body_id = body_id
        self.segment = segment


class PackDamaged(IntegrityError):
    """A pack's file is short, or its manifest does not open."""

    def __init__(self, pack_id: bytes, reason: str) -> None:
        super().__init__(f"pack {pack_id.hex()} is damaged: {reason}")
        self.pack_id = pack_id
        self.reason = reason


class HeadDamaged(IntegrityError):
    """The store's head is no head, is damaged, or was tampered with."""


class IndexDamaged(IntegrityError):
    """The index fails its integrity check, or a row in it cannot be decoded."""


class SnapshotDamaged(IntegrityError):
    """A snapshot is cut off, changed, or its key is gone."""

    def __init__(self, snapshot: str, reason: str) -> None:
        super().__init__(f"snapshot {snapshot!r} cannot be used: {reason}")
        self.snapshot = snapshot
        self.reason = reason


class RootDamaged(IntegrityError):
    """A root on a node is not this store's, or was changed."""


class RandomizerReuse(IntegrityError):
    """Two operands of one tuple are the same block and would cancel out."""


# ---------------------------------------------------------------- unavailable


class BlockUnavailable(Unavailable):
    """A block that the index names cannot be had now."""

    def __init__(self, pack_id: bytes, position: int) -> None:
        super().__init__(f"block {position} of pack {pack_id.hex()} cannot be read")
        self.pack_id = pack_id
        self.position = position


class NodeUnavailable(Unavailable):
    """A node of the network gives no answer, a broken one, or none in time."""

    def __init__(self, node: str, doing: str, cause: object) -> None:
        super().__init__(f"node {node}: {doing}: {cause}")
        self.node = node


class NodeRefused(NodeUnavailable):
    """A node does not let us in, or does not know how to do what is asked."""


class LinksMissing(NodeUnavailable):
    """A node does not have every block that a root links."""


class NodeFull(NodeUnavailable):
    """A node has no space left, or too little."""


class StoreSuperseded(Unavailable):
    """Another gateway goes on with this store: here nothing is written any more."""


class PackPoisoned(Unavailable):
    """An fsync of this pack failed: nothing more is written to it, and its waiters fail."""

    def __init__(self, pack_id: bytes) -> None:
        super().__init__(f"writing to pack {pack_id.hex()} failed; the bytes were not kept")
        self.pack_id = pack_id


class StorageFailed(Unavailable):
    """The disk answered with an error. The message names the operation and the cause."""


class IndexClosed(Unavailable):
    """The index stopped writes after a failed fsync: restart the server."""


class Draining(Unavailable):
    """The server is shutting down."""


class OutcomeUnknown(Unavailable):
    """The write may or may not be visible: the last step failed after the commit."""


class RequestTimeout(Unavailable):
    """The client sent nothing for too long."""


# ---------------------------------------------------------------- capacity


class DiskFull(CapacityExceeded):
    """No space is left beyond the reserve."""


class ReadOnlyStore(CapacityExceeded):
    """The data folder cannot be written."""


class SlowDown(CapacityExceeded):
    """A bounded backlog is full: try again shortly."""

    retryable = True


class QuotaExceeded(CapacityExceeded):
    """A bucket or its owner would hold more than allowed."""

    def __init__(self, whose: str, limit: str) -> None:
        super().__init__(f"the quota of {limit} of the {whose} is used up")
        self.whose = whose


class TooMany(CapacityExceeded):
    """A count limit is reached (buckets, locks, properties)."""
