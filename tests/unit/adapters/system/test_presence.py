"""What is particular to lock files: processes end without saying so, and lists are caught half written."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.presence import FilePresence
from noisefs.core.domain.ids import BodyId, InstanceId
from noisefs.core.errors import StorageFailed, StoreBusy

ME, OTHER = InstanceId(b"m" * 16), InstanceId(b"o" * 16)

_CHILD = """
import sys
from noisefs.adapters.outbound.system.disk import LocalDisk
from noisefs.adapters.outbound.system.presence import FilePresence
presence = FilePresence(LocalDisk(), sys.argv[1], b"o" * 16)
presence.lock_store()
presence.lead()
presence.publish_reads([b"b" * 16], [b"p" * 16])
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_holds_nothing_and_its_file_is_removed(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    presence = FilePresence(LocalDisk(), str(tmp_path), ME)
    assert presence.is_alive(OTHER)
    assert not presence.lead()
    assert presence.others_read() == ({b"b" * 16}, {b"p" * 16})
    with pytest.raises(StoreBusy):
        presence.lock_store()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not presence.is_alive(OTHER)
    assert presence.lead()
    presence.lock_store()
    assert presence.others_read() == (set(), set())
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{ME.hex()}.alive", "leader", "store"]
    presence.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leader", "store"]


def test_a_damaged_list_is_an_error_not_an_empty_list(tmp_path: Path) -> None:
    """Whoever cannot know what others read must not drop anything."""
    me, other = (FilePresence(LocalDisk(), str(tmp_path), name) for name in (ME, OTHER))
    other.publish_reads([BodyId(b"b" * 16)], [])
    path = tmp_path / f"{OTHER.hex()}.alive"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StorageFailed):
        me.others_read()
    other.publish_reads([], [])
    assert me.others_read() == (set(), set())
    me.close()
    other.close()


def test_an_instance_id_is_used_by_one_process(tmp_path: Path) -> None:
    me = FilePresence(LocalDisk(), str(tmp_path), ME)
    with pytest.raises(StoreBusy):
        FilePresence(LocalDisk(), str(tmp_path), ME)
    me.close()
