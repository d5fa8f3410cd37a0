"""Web sites of buckets, as browsers see them: without credentials, over plain HTTP."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.s3_server import SITES, S3Server

OPEN = "s3:GetObject"


@dataclass(frozen=True)
class Page:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def location(self) -> str:
        """Where it sends the browser."""
        return self.headers["location"]


@dataclass(frozen=True)
class Browser:
    """Asks for pages of one bucket."""

    server: S3Server
    bucket: str

    def ask(
        self, path: str, *, method: str = "GET", host: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Page:
        """One request."""
        wire = http.client.HTTPConnection("127.0.0.1", self.server.website_port, timeout=10)
        try:
            wire.putrequest(method, path, skip_host=True)
            for name, value in {"Host": host or f"{self.bucket}.{SITES}", **(headers or {})}.items():
                wire.putheader(name, value)
            wire.endheaders()
            answer = wire.getresponse()
            return Page(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            wire.close()


def open_to_all(s3: Any, bucket: str, *actions: str, resource: str = "*") -> None:
    """Let everybody do something."""
    statement = {"Effect": "Allow", "Principal": "*", "Action": list(actions)}
    statement["Resource"] = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/{resource}"]
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


@pytest.fixture
def browser(server: S3Server, s3: Any, bucket: str) -> Browser:
    """A browser on a site that everybody may read, with an index and an error page."""
    pages = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=pages)
    open_to_all(s3, bucket, OPEN)
    for key, text in (("index.html", "home"), ("docs/index.html", "docs"), ("a.txt", "0123456789")):
        s3.put_object(Bucket=bucket, Key=key, Body=text.encode(), ContentType="text/html", Metadata={"m": "1"})
    return Browser(server, bucket)


def ruled(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:
    """Give the site rules."""
    configuration = {"IndexDocument": {"Suffix": "index.html"}, "RoutingRules": list(rules)}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=configuration)


# ------------------------------------------------------------------ pages


def test_folders_answer_with_their_index(browser: Browser) -> None:
    assert [browser.ask(path).body for path in ("/", "/docs/", "/a.txt", "/?versionId=x")] == [
        b"home",
        b"docs",
        b"0123456789",
        b"home",
    ]
    page = browser.ask("/")
    assert (page.status, page.headers["content-type"], page.headers["x-amz-meta-m"]) == (200, "text/html", "1")


def test_a_folder_without_its_slash_is_sent_to_it(browser: Browser) -> None:
    page = browser.ask("/docs")
    assert (page.status, page.location) == (302, "/docs/")


def test_a_folder_never_sends_to_another_host(browser: Browser, s3: Any) -> None:
    s3.put_object(Bucket=browser.bucket, Key="/evil.example/x/index.html", Body=b"x")
    page = browser.ask("//evil.example/x")
    assert (page.status, page.location) == (302, "/%2Fevil.example/x/")
    assert browser.ask(page.location).body == b"x"


def test_head_conditions_and_ranges(browser: Browser) -> None:
    head = browser.ask("/a.txt", method="HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, "10", b"")
    part = browser.ask("/a.txt", headers={"Range": "bytes=2-4"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    same = browser.ask("/a.txt", headers={"If-None-Match": head.headers["etag"]})
    assert (same.status, same.body) == (304, b"")
    assert browser.ask("/a.txt", headers={"Range": "bytes=20-"}).status == 416


def test_a_large_page_streams(browser: Browser, s3: Any) -> None:
    s3.put_object(Bucket=browser.bucket, Key="big", Body=b"ab" * 1_000_000)
    assert browser.ask("/big").body == b"ab" * 1_000_000


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_nothing_is_written(browser: Browser, method: str) -> None:
    page = browser.ask("/a.txt", method=method, headers={"Content-Length": "0"})
    assert (page.status, page.headers["x-amz-error-code"]) == (405, "MethodNotAllowed")
    assert browser.ask("/a.txt").status == 200


# ------------------------------------------------------------------ hosts


def test_hosts_name_buckets(browser: Browser, server: S3Server, s3: Any) -> None:
    port = server.website_port
    for host in ("127.0.0.1", f"127.0.0.1:{port}", f"localhost:{port}", "[::1]", f"[::1]:{port}"):
        assert browser.ask(f"/{browser.bucket}/a.txt", host=host).status == 200
        assert browser.ask(f"/{browser.bucket}", host=host).location == f"/{browser.bucket}/"
        assert browser.ask(f"/{browser.bucket}/docs", host=host).location == f"/{browser.bucket}/docs/"
    assert browser.ask("/", host=f"{browser.bucket.upper()}.{SITES.upper()}.:80").body == b"home"
    there = f"/{browser.bucket}"
    assert browser.ask(f"{there}?a=1&b=%C3%A9", host="127.0.0.1").location == f"{there}/?a=1&b=%C3%A9"
    assert browser.ask(f"{there}/docs?a", host="127.0.0.1").location == f"{there}/docs/?a"
    s3.create_bucket(Bucket="www.own.example")
    s3.put_object(Bucket="www.own.example", Key="i", Body=b"own")
    s3.put_bucket_website(Bucket="www.own.example", WebsiteConfiguration={"IndexDocument": {"Suffix": "i"}})
    open_to_all(s3, "www.own.example", OPEN)
    assert browser.ask("/", host="www.own.example").body == b"own"


@pytest.mark.parametrize("host", ["nothing", f"nothing.{SITES}", "127.0.0.1", "", f"<b>.{SITES}"])
def test_where_there_is_no_site_a_page_says_so(browser: Browser, host: str) -> None:
    page = browser.ask("/", host=host or " ")
    assert (page.status, page.headers["x-amz-error-code"]) == (404, "NoSuchWebsiteConfiguration")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<b>" not in page.body


def test_a_bucket_without_a_site_has_none(browser: Browser, s3: Any) -> None:
    s3.delete_bucket_website(Bucket=browser.bucket)
    assert browser.ask("/a.txt").status == 404


# ------------------------------------------------------------------ errors and rights


def test_an_error_page_of_the_site_has_the_status_of_the_error(browser: Browser, s3: Any) -> None:
    missing = browser.ask("/<none>")
    assert (missing.status, missing.headers["x-amz-error-code"]) == (403, "AccessDenied")
    assert b"<h1>403 Forbidden</h1>" in missing.body
    assert b"An Error Occurred While Attempting to Retrieve a Custom Error Document" in missing.body
    s3.put_object(Bucket=browser.bucket, Key="error.html", Body=b"sorry", ContentType="text/html")
    open_to_all(s3, browser.bucket, OPEN, "s3:ListBucket")
    missing = browser.ask("/<none>", headers={"Range": "bytes=0-1"})
    assert (missing.status, missing.body, missing.headers["x-amz-error-code"]) == (404, b"sorry", "NoSuchKey")
    assert browser.ask("/none", method="HEAD").headers["content-length"] == "5"


def test_a_page_about_a_key_escapes_it(browser: Browser, s3: Any) -> None:
    open_to_all(s3, browser.bucket, OPEN, "s3:ListBucket")
    body = browser.ask("/%3Cscript%3E").body
    assert b"<script>" not in body
    assert b"<li>Key: &lt;script&gt;</li>" in body


def test_only_what_is_open_to_everybody_is_shown(browser: Browser, s3: Any) -> None:
    open_to_all(s3, browser.bucket, OPEN, resource="docs/*")
    s3.put_object(Bucket=browser.bucket, Key="error.html", Body=b"secret")
    assert browser.ask("/docs/").body == b"docs"
    for path in ("/", "/a.txt", "/error.html", "/none"):
        page = browser.ask(path)
        assert page.status == 403
        assert b"secret" not in page.body
    s3.delete_bucket_policy(Bucket=browser.bucket)
    assert browser.ask("/docs/").status == 403
    assert browser.ask("/docs").status == 403


def test_credentials_open_nothing(browser: Browser, server: S3Server, s3: Any) -> None:
    s3.delete_bucket_policy(Bucket=browser.bucket)
    signed = server.signer().sign("GET", "/a.txt", "", headers={}, payload_sha256="UNSIGNED-PAYLOAD")
    signed = {name: value for name, value in signed.items() if name.lower() != "host"}
    assert browser.ask("/a.txt", headers=signed).status == 403


def test_policies_may_ask_where_a_request_comes_from(browser: Browser, s3: Any) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": OPEN,
        "Resource": f"arn:aws:s3:::{browser.bucket}/*",
        "Condition": {"StringLike": {"aws:Referer": "http://friend.example/*"}},
    }
    s3.put_bucket_policy(Bucket=browser.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert browser.ask("/a.txt").status == 403
    assert browser.ask("/a.txt", headers={"Referer": "http://friend.example/x"}).status == 200


@pytest.mark.parametrize("path", ["/%ff", "/%00", "/" + "x" * 1025, "/%0d%0aSet-Cookie:x"])
def test_odd_paths_are_refused_in_a_page(browser: Browser, path: str) -> None:
    page = browser.ask(path)
    assert page.status in (400, 403, 404)
    assert "set-cookie" not in page.headers


# ------------------------------------------------------------------ redirection


def test_all_requests_go_elsewhere(browser: Browser, s3: Any) -> None:
    elsewhere = {"RedirectAllRequestsTo": {"HostName": "new.example", "Protocol": "https"}}
    s3.put_bucket_website(Bucket=browser.bucket, WebsiteConfiguration=elsewhere)
    page = browser.ask("/docs/a%20b")
    assert (page.status, page.location) == (301, "https://new.example/docs/a%20b")
    s3.put_bucket_website(
        Bucket=browser.bucket, WebsiteConfiguration={"RedirectAllRequestsTo": {"HostName": "new.example"}}
    )
    assert browser.ask("/").location == "http://new.example/"


def test_an_object_sends_to_where_it_has_moved(browser: Browser, s3: Any) -> None:
    for key, location in (("m", "/a.txt"), ("docs/index.html", "https://x.example/y?z=1#w")):
        s3.put_object(Bucket=browser.bucket, Key=key, Body=b"x", WebsiteRedirectLocation=location)
    page = browser.ask("/m")
    assert (page.status, page.location, page.body) == (301, "/a.txt", b"")
    assert browser.ask("/m", method="HEAD").status == 301
    assert browser.ask("/docs/").location == "https://x.example/y?z=1#w"
    local = browser.ask(f"/{browser.bucket}/m", host="localhost")
    assert local.location == f"/{browser.bucket}/a.txt"


def test_rules_come_before_any_look(browser: Browser, s3: Any) -> None:
    ruled(
        s3,
        browser.bucket,
        {"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": "documents/"}},
        {"Condition": {"KeyPrefixEquals": "a"}, "Redirect": {"ReplaceKeyWith": "b?c=d", "HttpRedirectCode": "302"}},
        {"Condition": {"KeyPrefixEquals": "h"}, "Redirect": {"HostName": "h.example"}},
        {"Condition": {"KeyPrefixEquals": "s"}, "Redirect": {"Protocol": "https"}},
    )
    told = [browser.ask(path) for path in ("/docs/x%20y", "/a.txt", "/hh", "/s")]
    assert [(page.status, page.location) for page in told] == [
        (301, "/documents/x%20y"),
        (302, "/b?c=d"),
        (301, "http://h.example/hh"),
        (301, f"https://{browser.bucket}.{SITES}/s"),
    ]
    assert browser.ask("/").body == b"home"


def test_rules_about_errors_come_after_it(browser: Browser, s3: Any) -> None:
    ruled(
        s3,
        browser.bucket,
        {
            "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "x/"},
            "Redirect": {"ReplaceKeyPrefixWith": "y/"},
        },
        {"Condition": {"HttpErrorCodeReturnedEquals": "404"}, "Redirect": {"ReplaceKeyPrefixWith": "make?path="}},
    )
    assert browser.ask("/x/1").status == 403
    open_to_all(s3, browser.bucket, OPEN, "s3:ListBucket")
    assert browser.ask("/x/1").location == "/y/1"
    assert browser.ask("/n").location == "/make?path=n"
    assert browser.ask("/a.txt").status == 200


# ------------------------------------------------------------------ scripts


def test_scripts_of_other_origins_are_told_what_the_rules_say(browser: Browser, s3: Any) -> None:
    rules = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["http://o.example"]}]}
    s3.put_bucket_cors(Bucket=browser.bucket, CORSConfiguration=rules)
    asked = {"Origin": "http://o.example", "Access-Control-Request-Method": "GET"}
    assert browser.ask("/a.txt", headers=asked).headers["access-control-allow-origin"] == "http://o.example"
    assert browser.ask("/a.txt", method="OPTIONS", headers=asked).status == 200
    assert browser.ask("/a.txt", method="OPTIONS", headers={**asked, "Origin": "http://p.example"}).status == 403
