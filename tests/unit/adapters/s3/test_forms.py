"""Forms taken apart, whatever pieces they come in."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisefs.adapters.inbound.s3.failure import S3Error
from noisefs.adapters.inbound.s3.forms.reader import FormReader, boundary_of

_BYTES = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--B", b"\r\n--", b"\r\n--B"[:-1], b"x", b"\0\xff"])).map(
    b"".join
)
_TEXTS = st.text(st.sampled_from("ab\r\n-é"), max_size=20)


async def pieces_of(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    """The body in pieces of these sizes, again and again."""
    at = number = 0
    while at < len(body):
        size = cuts[number % len(cuts)]
        yield body[at : at + size]
        at += size
        number += 1


def form(fields: dict[str, str], file: bytes, behind: bytes = b"") -> bytes:
    """A form as browsers write it."""
    parts = [
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = b'--B\r\ncontent-type: a/b\r\nContent-Disposition: form-data; name="file"; filename="x\\"y.txt"\r\n\r\n'
    return b"".join(parts) + head + file + b"\r\n--B" + behind + b"--\r\n"


async def read(body: bytes, cuts: list[int]) -> tuple[dict[str, str], str, bytes]:
    """Everything of a form."""
    reader = FormReader(pieces_of(body, cuts), b"B")
    fields = await reader.fields()
    return fields, reader.filename, b"".join([piece async for piece in reader.file()])


@given(
    st.dictionaries(st.sampled_from(["key", "policy", "x-amz-meta-a"]), _TEXTS),
    _BYTES,
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
def test_fields_and_file_come_out_as_they_went_in(fields: dict[str, str], file: bytes, cuts: list[int]) -> None:
    if b"\r\n--B" in b"\r\n" + file or any("\r\n--B" in value for value in fields.values()):
        return
    body = form(fields, file, b'\r\nContent-Disposition: form-data; name="later"\r\n\r\nv\r\n--B')
    assert asyncio.run(read(body, cuts)) == (fields, 'x"y.txt', file)


@given(st.integers(0, 400), st.integers(1, 30))
def test_a_form_that_is_cut_off_is_never_taken_for_a_whole_one(end: int, size: int) -> None:
    body = form({"key": "k"}, b"file" * 20)
    cut = body[: min(end, body.index(b"\r\n--B--"))]
    with pytest.raises(S3Error):
        asyncio.run(read(cut, [size]))


@pytest.mark.parametrize("text", ['multipart/form-data; boundary="B"', "Multipart/Form-Data;charset=x; BOUNDARY=B"])
def test_the_boundary_is_found(text: str) -> None:
    assert boundary_of(text) == b"B"


@pytest.mark.parametrize("text", ["", "multipart/form-data", "application/x-www-form-urlencoded; boundary=B"])
def test_without_one_it_is_no_form(text: str) -> None:
    with pytest.raises(S3Error):
        boundary_of(text)
