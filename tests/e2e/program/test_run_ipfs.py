"""``make run-ipfs``: the gateway on a private node of its own, which ends with it."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.server import clean_environment, noisefs

pytestmark = [pytest.mark.e2e, pytest.mark.needs("ipfs")]

LIMIT_S = 60


def test_it_serves_with_a_node_and_leaves_none_behind(tmp_path: Path) -> None:
    ports = [word for name in ("--s3", "--webdav", "--admin") for word in (name, "127.0.0.1:0")]
    apis = []
    for _ in range(2):
        with (tmp_path / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "tools.run_ipfs", "--data", str(tmp_path / "data"), *ports],
                cwd=Path(__file__).parents[3],
                env=clean_environment({}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["ready"] is True
            api = (tmp_path / "data-ipfs" / "api").read_text().split("/")
            apis.append(f"http://{api[2]}:{api[4]}")
            with urllib.request.urlopen(f"{apis[-1]}/api/v0/version", data=b"", timeout=LIMIT_S) as answer:
                assert json.load(answer)["Version"]
            with urllib.request.urlopen(f"{ready['admin']}/metrics", timeout=LIMIT_S) as answer:
                assert 'noisefs_node_usable{node="here"} 1.0' in answer.read().decode()
            config = ["--data", str(tmp_path / "data"), "--config", str(tmp_path / "data-ipfs.toml")]
            sheet = noisefs("recovery-sheet", *config, "--json")
            assert json.loads(sheet.stdout)["nodes"] == [f"{apis[-1]}  (called here)"]
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0, (tmp_path / "stderr").read_text()
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"{apis[-1]}/api/v0/version", data=b"", timeout=LIMIT_S)
    assert apis[0] == apis[1], "its ports are its own"
