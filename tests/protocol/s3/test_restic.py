"""restic against the installed program: backups whose every byte it reads again, before and after a prune."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.clients import aws_environment, content, make_tree, run
from tests.support.server import ACCESS_KEY, SECRET_KEY, RunningServer


@pytest.mark.needs("restic")
def test_restic_backs_up_restores_and_prunes(tmp_path: Path) -> None:
    tree, cache = make_tree(tmp_path / "source"), tmp_path / "cache"
    for number in range(50):
        (tree / f"small {number}").write_bytes(os.urandom(2000))
    with RunningServer(tmp_path / "data") as server:
        environment = {
            **aws_environment(server.s3),
            "RESTIC_REPOSITORY": f"s3:{server.s3}/restic/a repository",
            "RESTIC_PASSWORD": "a password",
            "RESTIC_CACHE_DIR": str(cache),
        }

        def restic(*words: str | Path) -> str:
            return run("restic", *words, environment=environment)

        def restored(snapshot: str) -> dict[str, bytes]:
            target = tmp_path / f"restored {snapshot}"
            restic("restore", snapshot, "--target", target)
            return content(target / tree.relative_to("/"))

        def snapshots() -> list[str]:
            return [one["short_id"] for one in json.loads(restic("snapshots", "--json"))]

        restic("init")
        restic("backup", tree)
        restic("check", "--read-data")
        first = content(tree)
        (one,) = snapshots()
        assert restored(one) == first

        (tree / "big.bin").write_bytes(os.urandom(6 << 20))
        (tree / "plain.txt").unlink()
        restic("backup", tree)
        second = content(tree)
        assert second != first
        shutil.rmtree(cache)
        restic("forget", "--keep-last", "1", "--prune")
        restic("check", "--read-data")
        (two,) = snapshots()
        assert two != one
        assert restored(two) == second


@pytest.mark.needs("restic-s3-tests")
def test_restics_own_tests_of_its_backend(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        environment = {
            "RESTIC_TEST_S3_KEY": ACCESS_KEY,
            "RESTIC_TEST_S3_SECRET": SECRET_KEY,
            "RESTIC_TEST_S3_REPOSITORY": f"s3:{server.s3}/restictest",
        }
        said = run("restic-s3-tests", "-test.v", "-test.run", "^TestBackendS3$", environment=environment)
        assert "--- PASS: TestBackendS3/TestZZZDelete" in said
