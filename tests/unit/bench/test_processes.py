"""What ``/proc`` tells of a process tree."""

import os
import subprocess
import sys
import time

from bench import processes

_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
b = bytes(1) * (64 << 20)
sum(range(3_000_000))
print("ready", flush=True)
sys.stdin.read()
child.stdin.close(); child.wait()
"""


def test_a_tree_is_counted_whole() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert len(processes.tree(parent.pid)) == 2
        usage = processes.usage(parent.pid)
        assert usage.cpu_s > 0
        assert usage.peak_rss_bytes >= usage.rss_bytes > 0
        parent.communicate()


def test_a_process_that_is_gone_counts_nothing() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert processes.usage(done.pid) == processes.Usage(0.0, 0, 0)


def test_our_own_cpu_grows() -> None:
    before = processes.usage(os.getpid()).cpu_s
    begun = time.process_time()
    while time.process_time() < begun + 0.1:
        sum(range(100_000))
    assert processes.usage(os.getpid()).cpu_s > before
