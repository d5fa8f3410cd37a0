"""What query engines and table formats do: ranges of Parquet files, and commits of several writers at once."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pyiceberg
from pyarrow import fs
from pyiceberg.catalog.sql import SqlCatalog

BUCKET = "lake"
FILE = f"{BUCKET}/table.parquet"
ROWS = 60_000
GROUP_ROWS = 2_000
COLUMNS = 12

WRITERS = 4
COMMITS_EACH = 3


def make_table() -> pa.Table:
    """Numbers whose sums are known."""
    columns = {f"c{number}": [number * row for row in range(ROWS)] for number in range(COLUMNS)}
    return pa.table({**columns, "text": [f"row {row}" for row in range(ROWS)]})


def read_and_write_by_pyarrow(host: str, access_key: str, secret_key: str, folder: Path) -> str:
    """A file written in parts; single columns of single row groups, a filter, and all of it read ahead in ranges."""
    table = make_table()
    s3 = fs.S3FileSystem(
        access_key=access_key,
        secret_key=secret_key,
        endpoint_override=host,
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
    )
    s3.create_dir(BUCKET)
    pq.write_table(table, FILE, filesystem=s3, row_group_size=GROUP_ROWS)
    with s3.open_input_file(FILE) as remote:
        (folder / "local.parquet").write_bytes(remote.read())
    assert pq.read_table(folder / "local.parquet").equals(table)
    with s3.open_input_file(FILE) as remote:
        file = pq.ParquetFile(remote)
        assert file.num_row_groups == ROWS // GROUP_ROWS
        for group in range(0, file.num_row_groups, 7):
            part = file.read_row_group(group, columns=["c3", "text"])
            assert part.equals(table.slice(group * GROUP_ROWS, GROUP_ROWS).select(["c3", "text"]))
    assert pq.read_table(FILE, filesystem=s3, pre_buffer=True).equals(table)
    found = pq.read_table(FILE, filesystem=s3, filters=[("c1", "=", 31_337)])
    assert found["text"].to_pylist() == ["row 31337"]

    s3.copy_file(FILE, f"{BUCKET}/moved/one.parquet")
    assert pq.read_table(f"{BUCKET}/moved", filesystem=s3).equals(table)
    s3.delete_dir(f"{BUCKET}/moved")
    assert s3.get_file_info(f"{BUCKET}/moved/one.parquet").type == fs.FileType.NotFound
    return f"pyarrow {pa.__version__}"


def query_by_duckdb(host: str, access_key: str, secret_key: str, folder: Path) -> str:
    """Sums over columns of that file, partitions written in parts and found again by a pattern."""
    extension = resources.files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}"
    with duckdb.connect() as base:
        base.execute(f"LOAD '{extension / 'httpfs.duckdb_extension'}'")
        base.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{access_key}', SECRET '{secret_key}', ENDPOINT '{host}', "
            "URL_STYLE 'path', USE_SSL false, REGION 'us-east-1')"
        )
        total = ROWS * (ROWS - 1) // 2
        assert base.sql(f"SELECT sum(c1), sum(c5) FROM 's3://{FILE}'").fetchone() == (total, 5 * total)
        assert base.sql(f"SELECT text FROM 's3://{FILE}' WHERE c2 = 4242").fetchall() == [("row 2121",)]
        target = f"s3://{BUCKET}/by duck"
        base.execute(
            f"COPY (SELECT *, c1 % 3 AS third FROM 's3://{FILE}') TO '{target}' (FORMAT parquet, PARTITION_BY (third))"
        )
        thirds = base.sql(f"SELECT third, count(*) FROM '{target}/*/*.parquet' GROUP BY third ORDER BY third")
        assert thirds.fetchall() == [(0, ROWS // 3), (1, ROWS // 3), (2, ROWS // 3)]
        base.execute(f"COPY (SELECT text FROM 's3://{FILE}' ORDER BY c1) TO 's3://{BUCKET}/text.csv' (HEADER false)")
        lines = base.sql(f"SELECT count(*), max(column0) FROM read_csv('s3://{BUCKET}/text.csv', header=false)")
        assert lines.fetchone() == (ROWS, "row 9999")
    return f"duckdb {duckdb.__version__}"


def commit_by_deltalake(host: str, access_key: str, secret_key: str, folder: Path) -> str:
    """Several writers append to one table: conditional writes of its log keep every commit, each exactly once."""
    options = {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_ENDPOINT_URL": f"http://{host}",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "aws_conditional_put": "etag",
    }
    uri = f"s3://{BUCKET}/delta"

    def rows(writer: int, commit: int) -> pa.Table:
        return pa.table({"writer": [writer] * 100, "commit": [commit] * 100, "row": range(100)})

    # Each attempt goes one version further, so a slow writer may need as many as others make commits.
    patient = deltalake.CommitProperties(max_commit_retries=WRITERS * COMMITS_EACH * 2)

    def write(writer: int) -> None:
        for commit in range(COMMITS_EACH):
            deltalake.write_deltalake(
                uri, rows(writer, commit), mode="append", storage_options=options, commit_properties=patient
            )

    deltalake.write_deltalake(uri, rows(-1, 0), storage_options=options)
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    table = deltalake.DeltaTable(uri, storage_options=options)
    assert table.version() == WRITERS * COMMITS_EACH
    found = pa.table(table.to_pyarrow_table())
    written = {(writer, commit) for writer in range(WRITERS) for commit in range(COMMITS_EACH)} | {(-1, 0)}
    assert found.num_rows == 100 * len(written)
    assert set(zip(found["writer"].to_pylist(), found["commit"].to_pylist(), strict=True)) == written
    table.delete("writer = 3")
    table.optimize.compact()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    again = deltalake.DeltaTable(uri, storage_options=options).to_pyarrow_table()
    assert again.num_rows == 100 * (len(written) - COMMITS_EACH)
    return f"deltalake {deltalake.__version__}"


def commit_by_pyiceberg(host: str, access_key: str, secret_key: str, folder: Path) -> str:
    """Several writers append to one table, whose newest metadata a catalog in a local file names."""
    properties = {
        "uri": f"sqlite:///{folder / 'catalog.db'}",
        "warehouse": f"s3://{BUCKET}/iceberg",
        "s3.endpoint": f"http://{host}",
        "s3.access-key-id": access_key,
        "s3.secret-access-key": secret_key,
        "s3.region": "us-east-1",
    }
    retries = {"commit.retry.num-retries": "100", "commit.retry.min-wait-ms": "1", "commit.retry.max-wait-ms": "100"}

    def rows(writer: int, commit: int) -> pa.Table:
        return pa.table({"writer": [writer] * 100, "commit": [commit] * 100, "row": list(range(100))})

    def write(writer: int) -> None:
        table = SqlCatalog("local", **properties).load_table("own.table")
        for commit in range(COMMITS_EACH):
            table.append(rows(writer, commit))

    catalog = SqlCatalog("local", **properties)
    catalog.create_namespace("own")
    catalog.create_table("own.table", schema=rows(0, 0).schema, properties=retries)
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    table = catalog.load_table("own.table")
    assert len(table.history()) == WRITERS * COMMITS_EACH
    found = table.scan().to_arrow()
    assert found.num_rows == 100 * WRITERS * COMMITS_EACH
    written = {(writer, commit) for writer in range(WRITERS) for commit in range(COMMITS_EACH)}
    assert set(zip(found["writer"].to_pylist(), found["commit"].to_pylist(), strict=True)) == written
    table.delete("writer = 3")
    assert table.scan(row_filter="row >= 50").to_arrow().num_rows == 50 * (len(written) - COMMITS_EACH)
    return f"pyiceberg {pyiceberg.__version__}"


STEPS = {
    "pyarrow": read_and_write_by_pyarrow,
    "duckdb": query_by_duckdb,
    "deltalake": commit_by_deltalake,
    "pyiceberg": commit_by_pyiceberg,
}


if __name__ == "__main__":
    step, host_, access_key_, secret_key_, folder_ = sys.argv[1:]
    print(STEPS[step](host_, access_key_, secret_key_, Path(folder_)), flush=True)
    # Threads of these libraries outlive their clients, and a library unloaded below one aborts a process that is done.
    os._exit(0)
