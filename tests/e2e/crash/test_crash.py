"""SIGKILL under load, and the proof that the test would notice."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.crash.campaign import Campaign, CrashFault
from tests.e2e.crash.clients import S3
from tests.e2e.crash.content import Piece, size_of

pytestmark = pytest.mark.e2e


def test_every_answered_write_survives_sigkill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NOISEFS_TEST_KILLS and NOISEFS_TEST_SEED change how often and which; the summary is printed."""
    kills = int(os.environ.get("NOISEFS_TEST_KILLS", "20"))
    seed = int(os.environ.get("NOISEFS_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    summary = Campaign(tmp_path, seed).run(kills)
    with capsys.disabled():
        print(f"\n{summary}")
    assert summary.kills >= kills
    assert summary.answered > 0


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    """A store that was loaded and killed once, and is up again."""
    campaign = Campaign(tmp_path, 7)
    try:
        campaign.begin()
        campaign.load_and_kill()
        campaign.restart()
        campaign.check()
        yield campaign
    finally:
        campaign.server.kill()


def _victim(campaign: Campaign, smallest: int) -> tuple[str, int]:
    """A key and its size, of at least so many bytes."""
    for key in campaign.model.written():
        content = campaign.model.certain(key)
        if content is not None and size_of(content) >= smallest:
            return key, size_of(content)
    raise AssertionError("the load wrote nothing large enough")


@pytest.mark.parametrize("fault", ["dropped", "torn", "swapped", "ghost"])
def test_a_fault_planted_behind_the_models_back_is_found(campaign: Campaign, fault: str) -> None:
    assert campaign.server.s3 is not None
    key, size = _victim(campaign, 100)
    s3 = S3(campaign.server.s3)
    whole = campaign.pool.bytes_of_all(campaign.model.certain(key) or ())
    if fault == "dropped":
        s3.ask("DELETE", key)
    elif fault == "torn":
        s3.ask("PUT", key, body=whole[: size // 2])
    elif fault == "swapped":
        s3.ask("PUT", key, body=campaign.pool.bytes_of(Piece(1 << 40, size)))
    else:
        key = "w0/never-written"
        s3.ask("PUT", key, body=whole)
    s3.close()
    with pytest.raises(CrashFault, match=key):
        campaign.check()
