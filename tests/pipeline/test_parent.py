"""A run ends with the command that started it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.config import REPOSITORY

CHILD = """\
import time
from pipeline import parent
parent.end_with_parent()
try:
    print("started", flush=True)
    time.sleep(60)
finally:
    print("in good order", flush=True)
"""
PARENT = f"""\
import subprocess, sys
from pipeline import parent
{{announce}}
subprocess.call([sys.executable, "-c", {CHILD!r}])
"""


def start(announce):
    return subprocess.Popen(
        [sys.executable, "-c", PARENT.format(announce=announce)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")
def test_a_killed_parent_takes_its_child_along():
    process = start("parent.announce()")
    assert process.stdout.readline() == "started\n"
    process.kill()
    # The pipe ends when the child, which holds it too, has ended.
    started = time.monotonic()
    assert process.stdout.read() == "in good order\n"
    assert time.monotonic() - started < 30
    process.wait()


def test_others_children_stay():
    process = start("pass")
    assert process.stdout.readline() == "started\n"
    process.kill()
    process.wait()
    time.sleep(1)
    os.killpg(process.pid, 0)  # Raises where none of the group is left.
    os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout.read() == ""
