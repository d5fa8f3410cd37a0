"""Pages for people about what went wrong, as S3's web site endpoint has them. All texts are escaped here."""

from collections.abc import Iterable, Mapping
from html import escape
from http import HTTPStatus

from noisefs.adapters.inbound.s3.failure import S3Error

TYPE = "text/html; charset=utf-8"


def refusal(error: S3Error, ids: Mapping[str, str], second: S3Error | None = None) -> bytes:
    """A page about an error. ``second``: about the page that the site has for such errors, which failed too."""
    title = f"{error.status} {_phrase(error.status)}"
    also = ""
    if second is not None:
        also = f"<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n{_items(_of(second))}"
    told = [*_of(error), ("RequestId", ids["x-amz-request-id"]), ("HostId", ids["x-amz-id-2"])]
    return (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n{_items(told)}{also}<hr/>\n"
        "</body>\n</html>\n"
    ).encode("utf-8", "replace")


def line(text: str) -> str:
    """A text as a header can carry it."""
    return "".join([character if " " <= character <= "~" else "?" for character in text])


def _of(error: S3Error) -> list[tuple[str, str]]:
    return [("Code", error.code), ("Message", str(error)), *error.fields.items()]


def _items(told: Iterable[tuple[str, str]]) -> str:
    lines = "".join([f"<li>{escape(name)}: {escape(value)}</li>\n" for name, value in told])
    return f"<ul>\n{lines}</ul>\n"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
