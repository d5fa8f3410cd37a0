"""Errors as S3 tells them: a code, a status and XML.

One table from every class of :mod:`noisefs.core.errors` to S3's code; a test walks the classes. Codes and statuses:
Amazon S3 API Reference, *Error responses*.

S3 has no code for a full disk: 507 says it, and no SDK repeats such a request.
"""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

from noisefs.adapters.inbound.s3.xml.text import XML_DECLARATION, xml_text
from noisefs.core import errors as core

RETRY_AFTER_S: Final = 2
"""What a client is told to wait before it repeats a request that may succeed later."""

CODES: Final[Mapping[str, tuple[int, str]]] = {
    "AccessControlListNotSupported": (400, "The bucket does not allow ACLs"),
    "AccessDenied": (403, "Access Denied"),
    "AccessForbidden": (403, "CORSResponse: CORS is not enabled for this bucket."),
    "AuthorizationHeaderMalformed": (400, "The authorization header you provided is invalid."),
    "AuthorizationQueryParametersError": (400, "The authorization query parameters that you provided are not valid."),
    "BadRequest": (400, "Bad Request"),
    "BadDigest": (400, "The Content-MD5 or checksum value that you specified did not match what we received."),
    "BucketAlreadyExists": (409, "The requested bucket name is not available. Select a different name and try again."),
    "BucketAlreadyOwnedByYou": (409, "Your previous request to create the named bucket succeeded and you own it."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty."),
    "ConditionalRequestConflict": (
        409,
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    ),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size."),
    "IdempotencyParameterMismatch": (
        400,
        "Parameters on this idempotent request are inconsistent with parameters used in previous request(s).",
    ),
    "IllegalLocationConstraintException": (400, "The location constraint is incompatible with this endpoint's region."),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header."),
    "InsufficientStorage": (507, "The storage is full."),
    "InternalError": (500, "We encountered an internal error. The server's log says more."),
    "ExpiredToken": (400, "The provided token has expired."),
    "InvalidAccessKeyId": (403, "The AWS Access Key Id you provided does not exist in our records."),
    "IllegalVersioningConfigurationException": (400, "The Versioning element must be specified"),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketAclWithObjectOwnership": (
        400,
        "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
    ),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidBucketState": (409, "The request is not valid for the current state of the bucket."),
    "InvalidDigest": (400, "The Content-MD5 or checksum value that you specified is not valid."),
    "KMS.NotFoundException": (400, "Invalid keyId"),
    "InvalidEncryptionAlgorithmError": (400, "The encryption request that you specified is not valid."),
    "InvalidLocationConstraint": (400, "The specified location constraint is not valid."),
    "InvalidPart": (
        400,
        (
            "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
            "specified entity tag may not match the part's entity tag."
        ),
    ),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
    ),
    "InvalidPolicyDocument": (400, "The content of the form does not meet the conditions of the policy document."),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRedirectLocation": (
        400,
        "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
    ),
    "InvalidRequest": (400, "The request is not valid."),
    "InvalidRetentionPeriod": (400, "Default retention period must be a positive integer value."),
    "InvalidStorageClass": (400, "The storage class that you specified is not valid."),
    "InvalidTag": (400, "The tag provided was not a valid tag."),
    "InvalidTargetBucketForLogging": (400, "The target bucket for logging cannot be given logs."),
    "InvalidToken": (400, "The provided token is malformed or otherwise not valid."),
    "InvalidURI": (400, "Couldn't parse the specified URI."),
    "KeyTooLongError": (400, "Your key is too long."),
    "MalformedACLError": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MalformedPolicy": (400, "The policy is not valid."),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedTrailerError": (
        400,
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    ),
    "MalformedXML": (
        400,
        "The XML that you provided was not well formed or did not validate against our published schema.",
    ),
    "MaxPostPreDataLengthExceededError": (400, "Your POST request fields preceding the upload file were too large."),
    "MaxMessageLengthExceeded": (400, "Your request was too large."),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "MissingSecurityHeader": (400, "Your request is missing a required header."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchBucketPolicy": (404, "The bucket policy does not exist"),
    "NoSuchConfiguration": (404, "The specified configuration does not exist."),
    "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist"),
    "NoSuchObjectLockConfiguration": (404, "The specified object does not have a ObjectLock configuration"),
    "NoSuchPublicAccessBlockConfiguration": (404, "The public access block configuration was not found"),
    "NoSuchTagSet": (404, "The TagSet does not exist"),
    "NoSuchUpload": (
        404,
        (
            "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload "
            "might have been aborted or completed."
        ),
    ),
    "NoSuchVersion": (404, "The specified version does not exist."),
    "NoSuchWebsiteConfiguration": (404, "The specified bucket does not have a website configuration"),
    "NotImplemented": (501, "A header or parameter you provided implies functionality that is not implemented."),
    "NotModified": (304, "Not Modified"),
    "ObjectLockConfigurationNotFoundError": (404, "Object Lock configuration does not exist for this bucket"),
    "OperationAborted": (409, "A conflicting operation is in progress against this resource. Try again."),
    "OwnershipControlsNotFoundError": (404, "The bucket ownership controls were not found"),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
    "QuotaExceeded": (403, "The quota is used up."),
    "ReplicationConfigurationNotFoundError": (404, "The replication configuration was not found"),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the current time is too large."),
    "RequestTimeout": (
        400,
        "Your socket connection to the server was not read from or written to within the timeout period.",
    ),
    "ServerSideEncryptionConfigurationNotFoundError": (404, "The server side encryption configuration was not found"),
    "ServiceUnavailable": (503, "The service cannot answer now. Try again."),
    "SignatureDoesNotMatch": (
        403,
        (
            "The request signature we calculated does not match the signature you provided. Check your key and signing "
            "method."
        ),
    ),
    "SlowDown": (503, "Please reduce your request rate."),
    "UnexpectedContent": (400, "This request contains unsupported content."),
    "UnresolvableGrantByEmailAddress": (400, "The email address you provided does not match any account on record."),
    "TooManyBuckets": (400, "You have attempted to create more buckets than allowed."),
    "XAmzContentSHA256Mismatch": (400, "The provided 'x-amz-content-sha256' header does not match what was computed."),
}
"""Every code this server answers, with its status and S3's own words."""


class S3Error(core.NoisefsError):
    """The answer to a request is this code. ``fields`` become elements of the answer."""

    def __init__(
        self, code: str, message: str = "", /, *, headers: Mapping[str, str] | None = None, **fields: str
    ) -> None:
        status, words = CODES[code]
        super().__init__(message or words)
        self.code = code
        self.status = status
        self.headers = dict(headers or {})
        self.fields = fields

    def xml(self, resource: str, request_id: str, host_id: str) -> bytes:
        """The body of the answer."""
        extra = "".join(f"<{name}>{xml_text(value)}</{name}>" for name, value in self.fields.items())
        return (
            f"{XML_DECLARATION}<Error><Code>{self.code}</Code><Message>{xml_text(str(self))}</Message>{extra}"
            f"<Resource>{xml_text(resource)}</Resource><RequestId>{xml_text(request_id)}</RequestId>"
            f"<HostId>{host_id}</HostId></Error>"
        ).encode("utf-8", "replace")


def not_implemented(what: str) -> S3Error:
    """501 for what is not built. ``what``: a header, parameter or operation."""
    return S3Error("NotImplemented", f"{what} is not implemented by this server.")


def invalid_argument(name: str, value: str, message: str) -> S3Error:
    """400 for a parameter or header."""
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=value[:200])


TABLE: Final[Mapping[type[core.NoisefsError], str]] = {
    core.NoisefsError: "InternalError",
    # not found
    core.NotFound: "NoSuchKey",
    core.BucketNotFound: "NoSuchBucket",
    core.ObjectNotFound: "NoSuchKey",
    core.ObjectDeleted: "NoSuchKey",
    core.VersionNotFound: "NoSuchVersion",
    core.UploadNotFound: "NoSuchUpload",
    core.UserNotFound: "InvalidAccessKeyId",
    core.AccessKeyNotFound: "InvalidAccessKeyId",
    core.UserPolicyNotFound: "InternalError",  # only the IAM surface names policies of users
    core.RoleNotFound: "InternalError",  # as above, roles
    core.RolePolicyNotFound: "InternalError",
    core.PackNotFound: "InternalError",  # the name exists, its bytes do not: 404 would make a sync delete its copy
    core.SnapshotNotFound: "InternalError",
    core.StoreNotFound: "InternalError",
    core.FileMissing: "InternalError",
    core.FileNotInStore: "InternalError",
    # conflict
    core.Conflict: "OperationAborted",
    core.BucketExists: "BucketAlreadyExists",
    core.BucketNotEmpty: "BucketNotEmpty",
    core.BucketStateConflict: "InvalidBucketState",
    core.UserExists: "InternalError",
    core.RoleExists: "InternalError",
    core.AccessKeyExists: "InternalError",
    core.PreconditionFailed: "PreconditionFailed",
    core.NotModified: "NotModified",
    core.ResourceLocked: "OperationAborted",
    core.FileExists: "InternalError",
    core.StoreBusy: "ServiceUnavailable",
    core.ForeignDirectory: "InternalError",
    core.NewerFormat: "InternalError",
    core.Overtaken: "ConditionalRequestConflict",
    core.CommitConflict: "OperationAborted",
    # invalid request
    core.InvalidRequest: "InvalidRequest",
    core.InvalidArgument: "InvalidArgument",
    core.InvalidBucketName: "InvalidBucketName",
    core.InvalidKey: "InvalidArgument",
    core.KeyTooLong: "KeyTooLongError",
    core.ConfigError: "InternalError",
    core.RangeNotSatisfiable: "InvalidRange",
    core.InvalidPolicy: "MalformedPolicy",
    core.AclNotSupported: "AccessControlListNotSupported",
    core.AclInTheWay: "InvalidBucketAclWithObjectOwnership",
    core.LogTargetUnfit: "InvalidTargetBucketForLogging",
    core.DeleteMarkerNamed: "MethodNotAllowed",
    core.CustomerKeyNeeded: "InvalidRequest",
    core.NamedKeyNotFound: "KMS.NotFoundException",
    core.NamedKeyExists: "InvalidRequest",
    core.CustomerKeyUnwanted: "InvalidRequest",
    core.LockNotConfigured: "InvalidRequest",
    core.TokenReused: "IdempotencyParameterMismatch",
    core.EntityTooLarge: "EntityTooLarge",
    core.PartTooSmall: "EntityTooSmall",
    core.InvalidPart: "InvalidPart",
    core.InvalidPartOrder: "InvalidPartOrder",
    core.DigestMismatch: "BadDigest",
    core.IncompleteBody: "IncompleteBody",
    # access
    core.AccessDenied: "AccessDenied",
    core.AuthenticationFailed: "InvalidAccessKeyId",
    core.ObjectLocked: "AccessDenied",
    core.WrongCustomerKey: "InvalidRequest",
    core.WrongRootKey: "InternalError",
    # integrity
    core.IntegrityError: "InternalError",
    core.SegmentDamaged: "InternalError",
    core.PackDamaged: "InternalError",
    core.HeadDamaged: "InternalError",
    core.IndexDamaged: "InternalError",
    core.SnapshotDamaged: "InternalError",
    core.RootDamaged: "InternalError",
    core.RandomizerReuse: "InternalError",
    # unavailable
    core.Unavailable: "ServiceUnavailable",
    core.BlockUnavailable: "ServiceUnavailable",
    core.NodeUnavailable: "ServiceUnavailable",
    core.NodeRefused: "ServiceUnavailable",
    core.LinksMissing: "ServiceUnavailable",
    core.NodeFull: "ServiceUnavailable",
    core.EventRefused: "ServiceUnavailable",
    core.EventRejected: "ServiceUnavailable",
    core.StoreSuperseded: "ServiceUnavailable",
    core.PackPoisoned: "ServiceUnavailable",
    core.StorageFailed: "ServiceUnavailable",
    core.IndexClosed: "ServiceUnavailable",
    core.Draining: "ServiceUnavailable",
    core.OutcomeUnknown: "ServiceUnavailable",
    core.RequestTimeout: "RequestTimeout",
    # capacity
    core.CapacityExceeded: "InsufficientStorage",
    core.DiskFull: "InsufficientStorage",
    core.ReadOnlyStore: "InsufficientStorage",
    core.QuotaExceeded: "QuotaExceeded",
    core.SlowDown: "SlowDown",
    core.TooMany: "InvalidRequest",
}
"""A class that is not in it counts as its nearest ancestor."""

_OWN_WORDS: Final = frozenset(
    {
        "InvalidArgument",
        "InvalidBucketName",
        "InvalidBucketState",
        "InvalidTargetBucketForLogging",
        "MalformedPolicy",
        "InvalidRequest",
        "BadDigest",
        "EntityTooSmall",
        "IncompleteBody",
        "InsufficientStorage",
        "QuotaExceeded",
    }
)
"""Codes whose message says what core says; for the others S3's words, or (broken storage) nothing about packs."""


def failure_of(error: core.NoisefsError) -> S3Error:
    """The S3 error that tells a client about an error of the services."""
    if isinstance(error, S3Error):
        return error
    code = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    fields: dict[str, str] = {}
    headers: dict[str, str] = {}
    message = str(error) if code in _OWN_WORDS else ""
    match error:
        case core.BucketExists():
            code = "BucketAlreadyOwnedByYou" if error.owned else code
            fields["BucketName"] = error.bucket
        case core.BucketNotFound() | core.BucketNotEmpty():
            fields["BucketName"] = error.bucket
        case core.ObjectDeleted():
            fields["Key"] = error.key
            headers |= {"x-amz-delete-marker": "true", "x-amz-version-id": error.version_id}
        case core.DeleteMarkerNamed():
            headers |= {
                "Allow": "DELETE",
                "Last-Modified": formatdate(error.modified_us // 1_000_000, usegmt=True),
                "x-amz-delete-marker": "true",
                "x-amz-version-id": error.version_id,
            }
        case core.ObjectLocked():
            message = "Access Denied because object protected by object lock."
        case core.ObjectNotFound():
            fields["Key"] = error.key
            headers["x-amz-delete-marker"] = "false"
        case core.VersionNotFound():
            fields |= {"Key": error.key, "VersionId": error.version_id}
        case core.UploadNotFound():
            fields["UploadId"] = error.upload_id
        case core.PreconditionFailed():
            fields["Condition"] = error.condition
        case core.NotModified():
            headers["ETag"] = f'"{error.etag}"'
        case core.RangeNotSatisfiable():
            fields["ActualObjectSize"] = str(error.size_bytes)
            headers["Content-Range"] = f"bytes */{error.size_bytes}"
        case core.EntityTooLarge():
            fields |= {"ProposedSize": str(error.size_bytes), "MaxSizeAllowed": str(error.limit_bytes)}
        case core.PartTooSmall():
            fields |= {
                "ProposedSize": str(error.size_bytes),
                "MinSizeAllowed": str(error.minimum_bytes),
                "PartNumber": str(error.part_number),
            }
        case core.InvalidPart():
            fields["PartNumber"] = str(error.part_number)
        case core.InvalidBucketName():
            fields["BucketName"] = str(error.value)[:200]
        case core.KeyTooLong():
            fields["MaxSizeAllowed"] = "1024"
        case core.InvalidArgument():
            fields |= {"ArgumentName": error.field, "ArgumentValue": str(error.value)[:200]}
        case core.OutcomeUnknown():
            message = "The outcome of the request is unknown: look before you repeat it."
        case core.Draining():
            message = "The server is shutting down."
        case _:
            pass
    if error.retryable and CODES[code][0] == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return S3Error(code, message, headers=headers, **fields)
