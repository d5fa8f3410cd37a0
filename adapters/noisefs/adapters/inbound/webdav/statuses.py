"""From errors to DAV statuses: one table with every class of :mod:`noisefs.core.errors` in it.

500 is not in it: a client can do nothing with it, and some (Finder) retry it for ever. What is broken in here is 503,
with a ``Retry-After`` only where the same request may succeed later.
"""

from collections.abc import Mapping
from typing import Final

from noisefs.core import errors
from noisefs.core.errors import NoisefsError

RETRY_AFTER_S: Final = 5
"""What a client is told to wait before it repeats a retryable request."""

STATUS: Final[Mapping[type[NoisefsError], int]] = {
    errors.NoisefsError: 503,
    # not found
    errors.NotFound: 404,
    errors.BucketNotFound: 404,
    errors.ObjectDeleted: 404,
    errors.UserPolicyNotFound: 404,
    errors.RoleNotFound: 404,
    errors.RolePolicyNotFound: 404,
    errors.NamedKeyNotFound: 503,
    errors.ObjectNotFound: 404,
    errors.VersionNotFound: 404,
    errors.UploadNotFound: 404,
    errors.UserNotFound: 404,
    errors.AccessKeyNotFound: 404,
    errors.SnapshotNotFound: 404,
    errors.PackNotFound: 503,  # the name exists, its bytes do not: 404 would make a sync client delete its copy
    errors.StoreNotFound: 503,
    errors.FileMissing: 503,
    errors.FileNotInStore: 503,
    # conflict
    errors.Conflict: 409,
    errors.BucketExists: 405,  # MKCOL on a mapped URL, RFC 4918 section 9.3.1
    errors.BucketNotEmpty: 409,
    errors.BucketStateConflict: 409,
    errors.NamedKeyExists: 409,
    errors.UserExists: 409,
    errors.RoleExists: 409,
    errors.AccessKeyExists: 409,
    errors.PreconditionFailed: 412,
    errors.NotModified: 304,
    errors.ResourceLocked: 423,
    errors.FileExists: 503,
    errors.StoreBusy: 503,
    errors.ForeignDirectory: 503,
    errors.NewerFormat: 503,
    errors.Overtaken: 412,
    errors.CommitConflict: 503,
    # invalid request
    errors.InvalidRequest: 400,
    errors.InvalidArgument: 400,
    errors.InvalidBucketName: 403,  # MKCOL in the root: the client may not make a collection of this name here
    errors.InvalidKey: 400,
    errors.KeyTooLong: 414,
    errors.InvalidPolicy: 400,
    errors.AclNotSupported: 400,
    errors.AclInTheWay: 400,
    errors.LogTargetUnfit: 400,
    errors.DeleteMarkerNamed: 405,
    errors.CustomerKeyNeeded: 403,  # WebDAV has no way to bring one
    errors.CustomerKeyUnwanted: 400,
    errors.LockNotConfigured: 400,
    errors.TokenReused: 400,
    errors.ConfigError: 503,
    errors.RangeNotSatisfiable: 416,
    errors.EntityTooLarge: 413,
    errors.PartTooSmall: 400,
    errors.InvalidPart: 400,
    errors.InvalidPartOrder: 400,
    errors.DigestMismatch: 400,
    errors.IncompleteBody: 400,
    # access
    errors.AccessDenied: 403,
    errors.ObjectLocked: 403,
    errors.WrongCustomerKey: 403,
    errors.AuthenticationFailed: 401,
    errors.WrongRootKey: 503,
    # integrity
    errors.IntegrityError: 503,
    errors.SegmentDamaged: 503,
    errors.PackDamaged: 503,
    errors.HeadDamaged: 503,
    errors.IndexDamaged: 503,
    errors.SnapshotDamaged: 503,
    errors.RootDamaged: 503,
    errors.RandomizerReuse: 503,
    # unavailable
    errors.Unavailable: 503,
    errors.BlockUnavailable: 503,
    errors.NodeUnavailable: 503,
    errors.NodeRefused: 503,
    errors.LinksMissing: 503,
    errors.NodeFull: 503,
    errors.EventRefused: 503,
    errors.EventRejected: 503,
    errors.StoreSuperseded: 503,
    errors.PackPoisoned: 503,
    errors.StorageFailed: 503,
    errors.IndexClosed: 503,
    errors.Draining: 503,
    errors.OutcomeUnknown: 503,
    errors.RequestTimeout: 408,
    # capacity
    errors.CapacityExceeded: 507,
    errors.DiskFull: 507,
    errors.ReadOnlyStore: 507,
    errors.QuotaExceeded: 507,
    errors.SlowDown: 503,
    errors.TooMany: 507,
}

_INTERNAL: Final = (errors.IntegrityError, errors.Unavailable, errors.PackNotFound)
"""Their messages name packs and bodies, which are no client's business."""


def status_of(error: NoisefsError) -> int:
    """The status that answers ``error``; a class that is not in the table counts as its nearest ancestor there."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def text_of(error: NoisefsError) -> str:
    """What the client is told in words."""
    if isinstance(error, _INTERNAL) and not isinstance(error, errors.RequestTimeout | errors.Draining):
        return "the stored bytes cannot be had; the server's log says why"
    return str(error) or type(error).__doc__ or ""


def headers_of(error: NoisefsError) -> dict[str, str]:
    """Headers that go with the status."""
    if isinstance(error, errors.RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.size_bytes}"}
    if error.retryable and status_of(error) == 503:
        return {"Retry-After": str(RETRY_AFTER_S)}
    return {}
