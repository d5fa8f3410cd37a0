"""What was asked for has no meaning here, or is not allowed."""

from noisefs.core.errors.families import AccessDenied, InvalidRequest

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


class LogTargetUnfit(InvalidRequest):
    """Access logs cannot be put into this bucket: the message says why."""


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
