"""What was named is not there, or is there already, or its state forbids it."""

from noisefs.core.errors.families import Conflict, NotFound

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


class RoleNotFound(NotFound):
    """No role of this name."""

    def __init__(self, role: str) -> None:
        super().__init__(f"The role with name {role} cannot be found.")
        self.role = role


class RolePolicyNotFound(NotFound):
    """The role has no policy of this name."""

    def __init__(self, role: str, policy: str) -> None:
        super().__init__(f"role {role!r} has no policy {policy!r}")
        self.role = role
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


class RoleExists(Conflict):
    """The role name is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Role with name {name} already exists.")
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
