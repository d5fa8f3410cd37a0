"""Libraries of other people and of other years, each in an environment of its own, against the installed program."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clients import run
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer

PROGRAMS = Path(__file__).parent / "clients"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of S3 of a store for all of them: each has a bucket of its own."""
    with RunningServer(tmp_path_factory.mktemp("sdks") / "data") as running:
        yield running.s3


@pytest.mark.needs("python-minio")
def test_minio_py_does_all_it_can(endpoint: str) -> None:
    said = run("python-minio", PROGRAMS / "minio_sdk.py", endpoint.removeprefix("http://"), ACCESS_KEY, SECRET_KEY)
    assert said.split()[-1] == "end"


@pytest.mark.needs("awsjs")
def test_aws_sdk_for_javascript(endpoint: str) -> None:
    assert run("awsjs", PROGRAMS / "aws_sdk.mjs", endpoint, ACCESS_KEY, SECRET_KEY).startswith("3.")


@pytest.mark.needs("awsgo")
def test_aws_sdk_for_go(endpoint: str) -> None:
    assert run("awsgo", endpoint, ACCESS_KEY, SECRET_KEY) == "end\n"


@pytest.mark.needs("python-boto3old")
def test_boto3_of_before_the_checksum_change(endpoint: str) -> None:
    assert run("python-boto3old", PROGRAMS / "old_boto3.py", endpoint, ACCESS_KEY, SECRET_KEY).startswith("1.35.")


@pytest.mark.needs("python-lake")
def test_query_engines_and_tables_of_many_writers(endpoint: str, tmp_path: Path) -> None:
    """pyarrow and DuckDB read ranges of Parquet files; several writers commit to one Delta and one Iceberg table.

    Each in a process of its own: two of them in one do not always get on.
    """
    host = endpoint.removeprefix("http://")
    for library in ("pyarrow", "duckdb", "deltalake", "pyiceberg"):
        said = run("python-lake", PROGRAMS / "lake.py", library, host, ACCESS_KEY, SECRET_KEY, tmp_path)
        assert said.startswith(library)
