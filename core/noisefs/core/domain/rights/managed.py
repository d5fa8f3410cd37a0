"""Policies that exist without being put, under the names that AWS gave them: to be attached to users and roles."""

import json
from typing import Final

_BEGIN: Final = "arn:aws:iam::aws:policy/"


def _document(*actions: str) -> bytes:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()


MANAGED: Final = {
    f"{_BEGIN}AdministratorAccess": _document("*"),
    f"{_BEGIN}AmazonS3FullAccess": _document("s3:*"),
    f"{_BEGIN}AmazonS3ReadOnlyAccess": _document("s3:Get*", "s3:List*"),
    f"{_BEGIN}IAMFullAccess": _document("iam:*"),
    f"{_BEGIN}IAMReadOnlyAccess": _document("iam:Get*", "iam:List*"),
}
"""Documents by ARN."""


def name_of(arn: str) -> str:
    """The last part of an ARN."""
    return arn.rpartition("/")[2]
