"""Multipart uploads and copies, by boto3, with small parts allowed."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from noisefs.core.domain.objects.digests import Digests
from noisefs.core.services.namespace.limits import NamespaceLimits
from tests.support.s3_raw import Wire, head_of, request
from tests.support.s3_server import S3Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A server that takes parts of one byte."""
    with serve(limits=NamespaceLimits(min_part_bytes=1)) as running:
        yield running


def code(refused: "pytest.ExceptionInfo[ClientError]") -> tuple[int, str]:
    """Status and error code."""
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def upload(s3: Any, bucket: str, parts: dict[int, bytes], key: str = "k", **given: Any) -> tuple[str, list[Any]]:
    """Create an upload and send parts; its id, and the parts as a Complete names them."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **given)["UploadId"]
    named = []
    for number, body in parts.items():
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body)
        checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        named.append({"PartNumber": number, "ETag": answer["ETag"], **checksums})
    return upload_id, named


def complete(s3: Any, bucket: str, upload_id: str, named: list[Any], **given: Any) -> Any:
    """Complete it."""
    return s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": named}, **given
    )


def test_parts_become_one_object(server: S3Server, s3: Any, bucket: str) -> None:
    bodies = {2: b"a" * 100_000, 5: b"d", 9: b"bc" * 300_000, 10_000: b""}
    upload_id, named = upload(s3, bucket, bodies, Metadata={"m": "1"}, ContentType="text/x")
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [
        (number, len(body)) for number, body in bodies.items()
    ]
    assert listed["Initiator"] == listed["Owner"]
    with pytest.raises(ClientError) as refused:
        s3.head_object(Bucket=bucket, Key="k")
    assert code(refused)[0] == 404
    answer = complete(s3, bucket, upload_id, named)
    digest = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies.values())).hexdigest()
    assert answer["ETag"] == f'"{digest}-4"'
    assert answer["Location"] == f"{server.endpoint}/{bucket}/k"
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"".join(bodies.values())
    assert (got["Metadata"], got["ContentType"], got["ETag"]) == ({"m": "1"}, "text/x", answer["ETag"])
    assert complete(s3, bucket, upload_id, named)["ETag"] == answer["ETag"]
    with pytest.raises(ClientError) as refused:
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    assert code(refused) == (404, "NoSuchUpload")


def test_a_part_can_be_read_alone(s3: Any, bucket: str) -> None:
    upload_id, named = upload(s3, bucket, {1: b"one", 2: b"three"})
    etag = complete(s3, bucket, upload_id, named)["ETag"]
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert (got["Body"].read(), got["ContentRange"], got["PartsCount"], got["ETag"]) == (
        b"three",
        "bytes 3-7/8",
        2,
        etag,
    )
    head = s3.head_object(Bucket=bucket, Key="k", PartNumber=1)
    assert (head["ContentLength"], head["PartsCount"]) == (3, 2)
    assert "PartsCount" not in s3.head_object(Bucket=bucket, Key="k")
    for given, error in (
        ({"PartNumber": 3}, (400, "InvalidPart")),
        ({"PartNumber": 10_001}, (400, "InvalidArgument")),
        ({"PartNumber": 1, "Range": "bytes=0-1"}, (400, "InvalidRequest")),
    ):
        with pytest.raises(ClientError) as refused:
            s3.get_object(Bucket=bucket, Key="k", **given)
        assert code(refused) == error
    s3.put_object(Bucket=bucket, Key="plain", Body=b"whole")
    assert s3.get_object(Bucket=bucket, Key="plain", PartNumber=1)["Body"].read() == b"whole"


@pytest.mark.parametrize("number", [0, 10_001])
def test_a_part_number_must_be_from_1_to_10000(s3: Any, bucket: str, number: int) -> None:
    upload_id, _ = upload(s3, bucket, {})
    with pytest.raises(ClientError) as refused:
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, Body=b"x")
    assert code(refused) == (400, "InvalidArgument")


def test_what_does_not_fit_the_upload_is_refused_and_leaves_it_open(s3: Any, bucket: str) -> None:
    upload_id, named = upload(s3, bucket, {1: b"one", 2: b"two"})
    wrong = [{**named[0], "ETag": named[1]["ETag"]}, named[1]]
    for parts, error in (
        (wrong, "InvalidPart"),
        ([*named, {"PartNumber": 3, "ETag": "x"}], "InvalidPart"),
        (list(reversed(named)), "InvalidPartOrder"),
    ):
        with pytest.raises(ClientError) as refused:
            complete(s3, bucket, upload_id, parts)
        assert code(refused) == (400, error)
    with pytest.raises(ClientError) as refused:
        complete(s3, bucket, upload_id, named, MpuObjectSize=7)
    assert code(refused) == (400, "InvalidArgument")
    complete(s3, bucket, upload_id, named, MpuObjectSize=6)


def test_small_parts_are_refused_by_default() -> None:
    with serve() as server:
        client = server.client()
        upload_id, named = upload(client, "bucket", {1: b"small", 2: b"last"})
        with pytest.raises(ClientError) as refused:
            complete(client, "bucket", upload_id, named)
        assert code(refused) == (400, "EntityTooSmall")


def test_a_part_that_is_sent_again_replaces_the_first(s3: Any, bucket: str) -> None:
    upload_id, first = upload(s3, bucket, {1: b"first"})
    again = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"second")
    named = [*first, {"PartNumber": 1, "ETag": again["ETag"]}]
    complete(s3, bucket, upload_id, named)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"second"


def test_an_aborted_upload_is_gone(s3: Any, bucket: str) -> None:
    upload_id, named = upload(s3, bucket, {1: b"x"})
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
    gone = {"Bucket": bucket, "Key": "k", "UploadId": upload_id}
    for call, given in (
        (s3.abort_multipart_upload, gone),
        (s3.upload_part, {**gone, "PartNumber": 1, "Body": b"x"}),
        (s3.complete_multipart_upload, {**gone, "MultipartUpload": {"Parts": named}}),
        (s3.list_parts, {**gone, "UploadId": "garbage"}),
    ):
        with pytest.raises(ClientError) as refused:
            call(**given)
        assert code(refused) == (404, "NoSuchUpload")


def test_conditions_hold_in_the_commit_of_a_complete(s3: Any, bucket: str) -> None:
    upload_id, named = upload(s3, bucket, {1: b"x"})
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"there")["ETag"]
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"other"'}):
        with pytest.raises(ClientError) as refused:
            complete(s3, bucket, upload_id, named, **condition)
        assert code(refused) == (412, "PreconditionFailed")
    complete(s3, bucket, upload_id, named, IfMatch=etag)


def test_parts_come_in_pages(s3: Any, bucket: str) -> None:
    upload_id, _ = upload(s3, bucket, dict.fromkeys((1, 2, 3, 7, 9), b"x"))
    found, marker = [], 0
    while True:
        page = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id, MaxParts=2, PartNumberMarker=marker)
        found += [part["PartNumber"] for part in page["Parts"]]
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    assert found == [1, 2, 3, 7, 9]


def test_uploads_come_in_pages_by_key_then_age(s3: Any, bucket: str) -> None:
    ids = [
        (key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"])
        for key in ("a", "b/1", "b/2", "c", "c", "d e+")
    ]
    found: list[tuple[str, str]] = []
    markers: dict[str, str] = {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **markers)
        found += [(entry["Key"], entry["UploadId"]) for entry in page.get("Uploads", [])]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert [key for key, _ in found] == [key for key, _ in ids]
    assert set(found) == set(ids)
    grouped = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", Prefix="")
    assert [entry["Prefix"] for entry in grouped["CommonPrefixes"]] == ["b/"]
    assert [entry["Key"] for entry in grouped["Uploads"]] == ["a", "c", "c", "d e+"]
    under = s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")
    assert [entry["Key"] for entry in under["Uploads"]] == ["b/1", "b/2"]


def digest(algorithm: str, body: bytes) -> str:
    """A checksum as S3 writes it."""
    digests = Digests({algorithm})
    digests.update(body)
    return base64.b64encode(digests.results()[algorithm]).decode()


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("CRC32", "COMPOSITE"),
        ("CRC32", "FULL_OBJECT"),
        ("CRC32C", "FULL_OBJECT"),
        ("CRC64NVME", "FULL_OBJECT"),
        ("SHA1", "COMPOSITE"),
        ("SHA256", "COMPOSITE"),
    ],
)
def test_the_checksum_of_an_upload_is_made_of_its_parts(
    server: S3Server, bucket: str, algorithm: str, kind: str
) -> None:
    bodies = [b"first part", b"second"]
    if kind == "FULL_OBJECT":
        whole = digest(algorithm, b"".join(bodies))
    else:
        raws = b"".join(base64.b64decode(digest(algorithm, body)) for body in bodies)
        whole = f"{digest(algorithm, raws)}-2"
    header = f"x-amz-checksum-{algorithm.lower()}"
    given = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind}
    begun = request(server, "POST", f"/{bucket}/k?uploads=", headers=given)
    assert (begun.headers["x-amz-checksum-algorithm"], begun.headers["x-amz-checksum-type"]) == (algorithm, kind)
    upload_id = begun.text("UploadId")
    texts = ""
    for number, body in enumerate(bodies, 1):
        target = f"/{bucket}/k?partNumber={number}&uploadId={upload_id}"
        wrong = request(server, "PUT", target, b"other", {header: digest(algorithm, body)})
        assert (wrong.status, wrong.code) == (400, "BadDigest")
        part = request(server, "PUT", target, body, {header: digest(algorithm, body)})
        assert part.headers[header] == digest(algorithm, body)
        texts += (
            f"<Part><PartNumber>{number}</PartNumber><ETag>{part.headers['etag']}</ETag>"
            f"<Checksum{algorithm}>{part.headers[header]}</Checksum{algorithm}></Part>"
        )
    body = f"<CompleteMultipartUpload>{texts}</CompleteMultipartUpload>".encode()
    target = f"/{bucket}/k?uploadId={upload_id}"
    wrong = request(server, "POST", target, body, {header: digest(algorithm, b"wrong")})
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    other = "COMPOSITE" if kind == "FULL_OBJECT" else "FULL_OBJECT"
    wrong = request(server, "POST", target, body, {"x-amz-checksum-type": other})
    assert (wrong.status, wrong.code) == (400, "InvalidRequest")
    done = request(server, "POST", target, body, {header: whole, "x-amz-checksum-type": kind})
    assert (done.text(f"Checksum{algorithm}"), done.text("ChecksumType")) == (whole, kind)
    mode = {"x-amz-checksum-mode": "ENABLED"}
    assert request(server, "HEAD", f"/{bucket}/k", headers=mode).headers[header] == whole
    part_read = request(server, "GET", f"/{bucket}/k?partNumber=2", headers=mode)
    assert (part_read.body, part_read.headers[header]) == (b"second", digest(algorithm, b"second"))
    attributes = request(
        server, "GET", f"/{bucket}/k?attributes", headers={"x-amz-object-attributes": "ObjectParts,Checksum"}
    )
    assert attributes.text("ObjectParts/PartsCount") == "2"
    assert attributes.text(f"ObjectParts/Part/Checksum{algorithm}") == digest(algorithm, bodies[0])
    assert attributes.text("Checksum/ChecksumType") == kind


@pytest.mark.parametrize(
    "given",
    [
        {"x-amz-checksum-algorithm": "CRC16"},
        {"x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT"},
        {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "PARTIAL"},
    ],
)
def test_checksums_that_cannot_be_are_refused(server: S3Server, bucket: str, given: dict[str, str]) -> None:
    reply = request(server, "POST", f"/{bucket}/k?uploads=", headers=given)
    assert (reply.status, reply.code) == (400, "InvalidRequest")


def test_a_part_with_another_algorithm_is_refused(s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32")["UploadId"]
    with pytest.raises(ClientError) as refused:
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256")
    assert code(refused) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<Part/>",
        "<Part><PartNumber>x</PartNumber><ETag>e</ETag></Part>",
        "<Part><PartNumber>1</PartNumber></Part>",
        "<Part><PartNumber>1</PartNumber><ETag>e</ETag><ETag>e</ETag></Part>",
        "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>e</ETag></Part>" for n in range(1, 10_002)),
    ],
    ids=["no parts", "empty", "no number", "no etag", "twice", "10001"],
)
def test_a_complete_that_is_malformed_is_refused(server: S3Server, s3: Any, bucket: str, inner: str) -> None:
    upload_id, _ = upload(s3, bucket, {1: b"x"})
    body = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()
    reply = request(server, "POST", f"/{bucket}/k?uploadId={upload_id}", body)
    assert (reply.status, reply.code) == (400, "MalformedXML")


def test_ten_thousand_parts_of_one_byte_become_an_object(server: S3Server, bucket: str) -> None:
    """The Complete with all checksums, written as widely as SDKs do, fits the limit."""
    digests = Digests({"SHA256"})
    digests.update(b"x")
    checksum = base64.b64encode(digests.results()["SHA256"]).decode()
    begun = request(server, "POST", f"/{bucket}/k?uploads=", headers={"x-amz-checksum-algorithm": "SHA256"})
    upload_id = begun.text("UploadId")
    etag = hashlib.md5(b"x").hexdigest()
    sign = server.signer().sign
    with Wire(server) as wire:
        for number in range(1, 10_001):
            query = f"partNumber={number}&uploadId={upload_id}"
            headers = sign(
                "PUT", f"/{bucket}/k", query, headers={"content-length": "1"}, payload_sha256="UNSIGNED-PAYLOAD"
            )
            wire.send(head_of("PUT", f"/{bucket}/k?{query}", headers), b"x")
            assert wire.receive().status == 200
    texts = "".join(
        f"  <Part>\n    <PartNumber>{number}</PartNumber>\n    <ETag>&quot;{etag}&quot;</ETag>\n"
        f"    <ChecksumSHA256>{checksum}</ChecksumSHA256>\n  </Part>\n"
        for number in range(1, 10_001)
    )
    body = f"<CompleteMultipartUpload>\n{texts}</CompleteMultipartUpload>".encode()
    done = request(server, "POST", f"/{bucket}/k?uploadId={upload_id}", body)
    assert done.status == 200, done.body
    assert request(server, "GET", f"/{bucket}/k", headers={"range": "bytes=9998-"}).body == b"xx"
    assert request(server, "GET", f"/{bucket}/k").body == b"x" * 10_000


def test_a_copy_has_the_sources_bytes_and_what_the_directive_says(s3: Any, bucket: str) -> None:
    source = "söurce/a b+%?#"
    etag = s3.put_object(Bucket=bucket, Key=source, Body=b"x", Metadata={"m": "1"}, ContentType="text/x")["ETag"]
    answer = s3.copy_object(Bucket=bucket, Key="kept", CopySource={"Bucket": bucket, "Key": source})
    assert answer["CopyObjectResult"]["ETag"] == etag
    kept = s3.get_object(Bucket=bucket, Key="kept")
    assert (kept["Metadata"], kept["ContentType"], kept["Body"].read()) == ({"m": "1"}, "text/x", b"x")
    s3.copy_object(
        Bucket=bucket,
        Key="replaced",
        CopySource={"Bucket": bucket, "Key": source, "VersionId": "null"},
        MetadataDirective="REPLACE",
        Metadata={"n": "2"},
    )
    replaced = s3.head_object(Bucket=bucket, Key="replaced")
    assert (replaced["Metadata"], replaced["ContentType"]) == ({"n": "2"}, "binary/octet-stream")


def test_a_copy_onto_itself_must_change_something(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"m": "1"})
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k")
    assert code(refused) == (400, "InvalidRequest")
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", MetadataDirective="REPLACE", Metadata={"n": "2"})
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"n": "2"}
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", StorageClass="STANDARD")


def test_a_copy_may_ask_for_another_checksum(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 300_000, Metadata={"m": "1"}, ChecksumAlgorithm="CRC32")
    answer = s3.copy_object(Bucket=bucket, Key="l", CopySource=f"{bucket}/k", ChecksumAlgorithm="SHA256")
    expected = base64.b64encode(hashlib.sha256(b"x" * 300_000).digest()).decode()
    assert answer["CopyObjectResult"]["ChecksumSHA256"] == expected
    head = s3.head_object(Bucket=bucket, Key="l", ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["Metadata"]) == (expected, {"m": "1"})
    with pytest.raises(ClientError) as refused:
        s3.copy_object(
            Bucket=bucket, Key="l", CopySource=f"{bucket}/k", ChecksumAlgorithm="SHA1", CopySourceIfMatch='"other"'
        )
    assert code(refused) == (412, "PreconditionFailed")


def test_conditions_on_the_source_and_on_the_target_hold(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    for condition in (
        {"CopySourceIfMatch": '"other"'},
        {"CopySourceIfNoneMatch": etag},
        {"CopySourceIfModifiedSince": "2099-01-01"},
        {"CopySourceIfUnmodifiedSince": "2000-01-01"},
        {"IfNoneMatch": "*"},
        {"IfMatch": '"other"'},
    ):
        target = "k" if condition.keys() & {"IfNoneMatch", "IfMatch"} else "l"
        with pytest.raises(ClientError) as refused:
            s3.copy_object(
                Bucket=bucket, Key=target, CopySource=f"{bucket}/k", MetadataDirective="REPLACE", **condition
            )
        assert code(refused) == (412, "PreconditionFailed")
    s3.copy_object(Bucket=bucket, Key="l", CopySource=f"{bucket}/k", CopySourceIfMatch=etag)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("nokey", (400, "InvalidArgument")),
        ("/", (400, "InvalidArgument")),
        ("nowhere/k", (404, "NoSuchBucket")),
        ("{bucket}/missing", (404, "NoSuchKey")),
        ("{bucket}/missing?versionId=v7", (404, "NoSuchVersion")),
        ("arn:aws:s3:us-east-1:1:accesspoint/x/object/k", (400, "InvalidArgument")),
    ],
)
def test_a_source_that_is_not_there_is_told(s3: Any, bucket: str, source: str, error: tuple[int, str]) -> None:
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="l", CopySource=source.format(bucket=bucket))
    assert code(refused) == error


def test_parts_are_copied_whole_and_by_range(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    named = []
    for number, given in ((1, {}), (2, {"CopySourceRange": "bytes=3-5"})):
        answer = s3.upload_part_copy(
            Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, CopySource=f"{bucket}/source", **given
        )["CopyPartResult"]
        named.append({"PartNumber": number, "ETag": answer["ETag"]})
    assert named[1]["ETag"] == f'"{hashlib.md5(b"345").hexdigest()}"'
    for wanted, error in (("bytes=8-20", (416, "InvalidRange")), ("bytes=5-", (400, "InvalidArgument"))):
        with pytest.raises(ClientError) as refused:
            s3.upload_part_copy(
                Bucket=bucket,
                Key="k",
                UploadId=upload_id,
                PartNumber=3,
                CopySource=f"{bucket}/source",
                CopySourceRange=wanted,
            )
        assert code(refused) == error
    complete(s3, bucket, upload_id, named)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"0123456789345"
