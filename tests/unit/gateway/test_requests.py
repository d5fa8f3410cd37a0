"""Request ids, the client's real address, and the line of each request."""

import io
import json
import time
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from noisefs.gateway.logs import request_id
from noisefs.gateway.requests import Proxies, RequestLog, front


def proxied(peer: str, trusted: str, **headers: str) -> str:
    """The client that is seen."""
    request = make_mocked_request("GET", "/", headers=[(k.replace("_", "-"), v) for k, v in headers.items()])
    return Proxies([ip_network(trusted)]).client_of(request.clone(remote=peer))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
    ],
)
def test_the_client_is_the_last_address_nobody_trusted_vouches_for(peer: str, forwarded: str, client: str) -> None:
    """A client's own header never makes it somebody else."""
    assert proxied(peer, "10.0.0.0/8", X_Forwarded_For=forwarded) == client


def test_several_headers_count_as_one_list() -> None:
    """RFC 9110 section 5.3."""
    request = make_mocked_request(
        "GET", "/", headers=[("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.9")]
    )
    assert Proxies([ip_network("10.0.0.0/8")]).client_of(request.clone(remote="10.0.0.1")) == "203.0.113.9"


def test_the_scheme_is_believed_from_trusted_proxies_only() -> None:
    """Else whoever asks could claim to be encrypted."""
    request = make_mocked_request("GET", "/", headers=[("X-Forwarded-Proto", "https")])
    proxies = Proxies([ip_network("10.0.0.0/8")])
    assert proxies.scheme_of(request.clone(remote="10.0.0.1")) == "https"
    assert proxies.scheme_of(request.clone(remote="203.0.113.7")) == "http"


def test_mapped_addresses_are_the_addresses_they_map() -> None:
    """A listener on ``::`` sees IPv4 clients as mapped ones."""
    assert proxied("::ffff:10.0.0.1", "10.0.0.0/8", X_Forwarded_For="203.0.113.9") == "203.0.113.9"


async def test_every_request_gets_an_id_and_a_line_without_its_query() -> None:
    """A presigned query in a log would open the object to whoever reads it."""
    stream = io.StringIO()
    log = RequestLog(stream)
    seen: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.extend((request["request_id"], request_id.get(), request["client"], request["scheme"]))
        return web.Response(status=207, body=b"12345")

    request = make_mocked_request("PUT", '/a%20"b"?X-Amz-Signature=5ec2e7', headers={"Content-Length": "7"})
    request = request.clone(remote="192.0.2.1")
    await front("s3", handle, Proxies([]), log)(request)
    log.close()
    line = json.loads(stream.getvalue())
    assert line["request_id"] == seen[0] == seen[1]
    assert seen[2:] == ["192.0.2.1", "http"]
    assert "5ec2e7" not in stream.getvalue()
    assert (line["path"], line["status"], line["sent"], line["received"]) == ('/a%20"b"', 207, 5, 7)
    assert line["client"] == "192.0.2.1"


async def test_a_client_that_went_away_has_a_line_too() -> None:
    """Status 499, as elsewhere."""
    stream = io.StringIO()
    log = RequestLog(stream)

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await front("webdav", handle, Proxies([]), log)(make_mocked_request("GET", "/"))
    log.close()
    assert json.loads(stream.getvalue())["status"] == 499


async def test_a_reader_that_does_not_read_costs_lines_not_requests() -> None:
    """What cannot be written is counted and told later."""

    class Closed(io.StringIO):
        broken = True

        def write(self, text: str) -> int:
            if self.broken:
                raise BrokenPipeError
            return super().write(text)

    stream = Closed()
    log = RequestLog(stream)

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    serve = front("s3", handle, Proxies([]), log)
    await serve(make_mocked_request("GET", "/"))
    log.flush()
    limit = time.monotonic() + 10
    while log.dropped == 0:
        assert time.monotonic() < limit
    stream.broken = False
    await serve(make_mocked_request("GET", "/"))
    log.close()
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["request", "requests.not_logged"]
    assert events[1]["count"] == 1
