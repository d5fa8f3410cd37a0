"""A form that a management client posts, and the answers it understands.

Source: IAM API Reference and STS API Reference, *Making query requests*, *Common errors*.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from noisefs.adapters.inbound.s3.failure import S3Error, failure_of
from noisefs.adapters.inbound.s3.xml.text import xml_text
from noisefs.core import errors as core
from noisefs.core.domain.rights.conditions import Lookup
from noisefs.core.services.accounts import Credential

FORM: Final = "application/x-www-form-urlencoded"
FORM_BYTES_MOST: Final = 64 << 10
_MEMBERS_MOST: Final = 200
IAM: Final = "https://iam.amazonaws.com/doc/2010-05-08/"
STS: Final = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass(frozen=True, slots=True)
class Form:
    """A verified form. ``by``: the key that signed it, with its user; ``lookup``: values of condition keys."""

    fields: Mapping[str, str]
    by: Credential
    lookup: Lookup

    def get(self, name: str, default: str = "") -> str:
        """A field."""
        return self.fields.get(name, default)

    def need(self, name: str) -> str:
        """A field that must be there.

        Raises:
            InvalidArgument: It is not.
        """
        value = self.fields.get(name)
        if not value:
            raise core.InvalidArgument(name, value, "it is needed")
        return value

    def number(self, name: str, default: int) -> int:
        """A field that counts.

        Raises:
            InvalidArgument: It is no number.
        """
        text = self.fields.get(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise core.InvalidArgument(name, text[:100], "a number")
        return int(text)

    def document(self, name: str) -> bytes:
        """A field that must be there and is a policy. Raises ``InvalidArgument``."""
        return self.need(name).encode("utf-8", "replace")

    def members(self, name: str) -> dict[str, str]:
        """A list of pairs (``Tags.member.1.Key`` and ``.Value``), in the order of their numbers; also a list of names,
        each with an empty value (``TagKeys.member.1``).

        Raises:
            InvalidArgument: A key comes twice, or an entry has none.
        """
        found: dict[str, str] = {}
        for number in range(1, _MEMBERS_MOST + 1):
            begin = f"{name}.member.{number}"
            key = self.fields.get(begin, self.fields.get(f"{begin}.Key"))
            if key is None:
                if f"{begin}.Value" in self.fields:
                    raise core.InvalidArgument(f"{begin}.Key", None, "it is needed")
                break
            if key in found:
                raise core.InvalidArgument(name, key[:128], "each key once")
            found[key] = self.fields.get(f"{begin}.Value", "")
        return found

    def only(self, *names: str) -> None:
        """Refuse fields that nobody would honour. A name that ends with ``.member.`` stands for a list.

        Raises:
            InvalidArgument: Which.
        """
        lists = tuple(name for name in names if name.endswith("."))
        for name in self.fields.keys() - {"Action", "Version", *names}:
            if lists and name.startswith(lists):
                continue
            raise core.InvalidArgument(name, self.fields[name][:100], "this server does not know the parameter")


def fields_of(body: bytes) -> dict[str, str]:
    """Fields of a posted form; the first of equal names counts.

    Raises:
        S3Error: ``MalformedXML`` has no counterpart for forms: ``InvalidRequest``; it is no form.
    """
    found: dict[str, str] = {}
    try:
        for name, value in parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000, errors="strict"):
            found.setdefault(name, value)
    except ValueError as exc:
        raise S3Error("InvalidRequest", "The body is no form.") from exc
    return found


def answer_of(namespace: str, action: str, result: str | None, request_id: str) -> bytes:
    """The answer to an action. ``result``: escaped XML; ``None``: the action answers nothing."""
    inner = "" if result is None else f"<{action}Result>{result}</{action}Result>"
    return (
        f'<{action}Response xmlns="{namespace}">{inner}<ResponseMetadata><RequestId>{xml_text(request_id)}</RequestId>'
        f"</ResponseMetadata></{action}Response>"
    ).encode("utf-8", "replace")


_CODES: Final[Mapping[type[core.NoisefsError], tuple[int, str]]] = {
    core.UserNotFound: (404, "NoSuchEntity"),
    core.AccessKeyNotFound: (404, "NoSuchEntity"),
    core.UserPolicyNotFound: (404, "NoSuchEntity"),
    core.RoleNotFound: (404, "NoSuchEntity"),
    core.RolePolicyNotFound: (404, "NoSuchEntity"),
    core.RoleExists: (409, "EntityAlreadyExists"),
    core.UserExists: (409, "EntityAlreadyExists"),
    core.AccessKeyExists: (409, "EntityAlreadyExists"),
    core.InvalidPolicy: (400, "MalformedPolicyDocument"),
    core.InvalidArgument: (400, "ValidationError"),
    core.TooMany: (409, "LimitExceeded"),
    core.AccessDenied: (403, "AccessDenied"),
}
_OF_S3: Final = {"InvalidAccessKeyId": "InvalidClientTokenId", "InvalidToken": "InvalidClientTokenId"}


def refusal_of(namespace: str, error: core.NoisefsError, request_id: str) -> tuple[int, bytes]:
    """Status and body that tell about an error."""
    status, code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), (0, ""))
    if type(error) is core.Conflict:
        status, code = 409, "DeleteConflict"
    message = str(error)
    if not code:
        told = failure_of(error)
        status, code, message = told.status, _OF_S3.get(told.code, told.code), str(told)
    kind = "Sender" if status < 500 else "Receiver"
    body = (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{kind}</Type><Code>{code}</Code>'
        f"<Message>{xml_text(message)}</Message></Error><RequestId>{xml_text(request_id)}</RequestId></ErrorResponse>"
    )
    return status, body.encode("utf-8", "replace")
