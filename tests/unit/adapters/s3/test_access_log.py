"""The lines of access logs."""

import pytest

from noisefs.adapters.inbound.s3.access_log.lines import Line, operation_of, quoted, request_line_of
from noisefs.adapters.inbound.s3.target import target_of
from noisefs.core.domain.buckets.access_log import EVENT_TIME, SIMPLE, Rule, day_of, object_name
from noisefs.core.domain.ids import UserId
from noisefs.core.domain.rights.identity import canonical_id
from noisefs.core.services.namespace.background.access_logs import Logged

OWNER = UserId("a" * 32)
DAY_S = 1_549_411_200  # 2019-02-06
AT_US = (DAY_S + 38) * 1_000_000 + 999
LINE = Line(
    logged=Logged("source", OWNER, Rule("target")),
    at_us=AT_US,
    client="192.0.2.3",
    requester="arn:aws:iam::1:user/alice",
    request_id="3E57427F3EXAMPLE",
    operation="REST.GET.OBJECT",
    key="a b",
    request_line="GET /source/a%20b HTTP/1.1",
    status=200,
    error="",
    sent_bytes=113,
    object_bytes=2662992,
    total_ms=70,
    turn_around_ms=10,
    referer="",
    agent="S3Console/0.4",
    version_id="",
    host_id="host",
    signature="SigV4",
    cipher="TLS_AES_128_GCM_SHA256",
    auth="AuthHeader",
    host="example.com",
    tls="TLSv1.3",
    by_list=True,
)


def test_a_line_has_26_fields_in_awss_order() -> None:
    assert LINE.text() == (
        f"{canonical_id(OWNER)} source [06/Feb/2019:00:00:38 +0000] 192.0.2.3 arn:aws:iam::1:user/alice "
        'REQ REST.GET.OBJECT a%2520b "GET /source/a%20b HTTP/1.1" 200 - 113 2662992 70 10 "-" "S3Console/0.4" - host '
        "SigV4 TLS_AES_128_GCM_SHA256 AuthHeader example.com TLSv1.3 - Yes\n"
    ).replace("REQ", "3E57427F3EXAMPLE")


def test_what_does_not_apply_is_a_dash() -> None:
    line = LINE._replace(
        client="", requester="", key="", sent_bytes=0, object_bytes=None, turn_around_ms=None, agent="", host_id=""
    )._replace(signature="", cipher="", auth="", host="", tls="", by_list=False, error="NoSuchKey")
    rest = line.text().partition("+0000] ")[2]
    assert rest == (
        '- - 3E57427F3EXAMPLE REST.GET.OBJECT - "GET /source/a%20b HTTP/1.1" 200 NoSuchKey - - 70 - "-" "-" - '
        "- - - - - - - -\n"
    )


def test_no_text_of_a_client_ends_quotes_or_a_line() -> None:
    assert quoted('a"b\\c\r\nü') == '"a%22b%5Cc%0D%0A%C3%BC"'
    assert LINE._replace(host="a b\nc").text().count("\n") == 1


def test_signatures_are_not_told() -> None:
    path = "/b/k?X-Amz-Signature=secret&x=Signature&Signature=secret&X-Amz-Security-Token=secret"
    shown = request_line_of("GET", path, "1.1")
    assert "secret" not in shown
    assert "x=Signature" in shown


@pytest.mark.parametrize(
    ("method", "path", "sub", "name"),
    [
        ("GET", "/b", "", "REST.GET.BUCKET"),
        ("GET", "/b", "publicAccessBlock", "REST.GET.PUBLIC_ACCESS_BLOCK"),
        ("PUT", "/b", "policy", "REST.PUT.BUCKETPOLICY"),
        ("POST", "/b", "", "REST.POST.OBJECT"),
        ("PUT", "/b/k", "uploadId", "REST.PUT.PART"),
        ("DELETE", "/b/k", "uploadId", "REST.DELETE.UPLOAD"),
        ("GET", "/b/k", "tagging", "REST.GET.OBJECT_TAGGING"),
        ("OPTIONS", "/b/k", "", "REST.OPTIONS.PREFLIGHT"),
    ],
)
def test_operations_are_named_by_method_and_sub_resource(method: str, path: str, sub: str, name: str) -> None:
    assert operation_of(method, target_of(path, "", None), sub, copies=False) == name


def test_copies_have_names_of_their_own() -> None:
    target = target_of("/b/k", "", None)
    assert operation_of("PUT", target, "", copies=True) == "REST.COPY.OBJECT"
    assert operation_of("PUT", target, "uploadId", copies=True) == "REST.COPY.PART"


def test_lines_of_one_day_share_an_object_only_where_its_name_tells_the_day() -> None:
    by_event = Rule("target", "p/", EVENT_TIME)
    assert day_of(by_event, AT_US) == DAY_S
    assert day_of(Rule("target", "p/", SIMPLE), AT_US) == 0
    later_us = AT_US + 5 * 86_400 * 1_000_000
    assert object_name(by_event, "1", "r", "source", DAY_S, later_us, "U") == (
        "p/1/r/source/2019/02/06/2019-02-06-00-00-00-U"
    )
    assert object_name(Rule("target", "p/"), "1", "r", "source", 0, AT_US, "U") == "p/2019-02-06-00-00-38-U"
