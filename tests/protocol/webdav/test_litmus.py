"""litmus, the WebDAV server test suite: every suite, without a failure and without a warning."""

import asyncio
from pathlib import Path

import pytest

from tests.support.webdav_server import BUCKET, PASSWORD, USER, WebdavServer

SUITES = ("basic", "copymove", "props", "locks", "http")


@pytest.mark.needs("litmus")
@pytest.mark.parametrize("suite", SUITES)
async def test_litmus_suite_passes_without_warnings(dav: WebdavServer, suite: str, tmp_path: Path) -> None:
    """Run one suite as its own program against the server."""
    process = await asyncio.create_subprocess_exec(
        "litmus",
        f"{dav.url}/{BUCKET}/",
        USER,
        PASSWORD,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "TESTS": suite},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    text = output.decode(errors="replace")
    assert process.returncode == 0, text
    assert "100.0%" in text, text
    assert "WARNING" not in text, text
