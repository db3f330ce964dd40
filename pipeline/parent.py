"""Ends a process together with the one that started it.

`pipeline.run` hands over to the tfx CLI, which runs the pipeline in a process
of its own. Ctrl-C reaches both; a kill of the first alone would leave the
second at work, holding the lock of the run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

VARIABLE = "CREATE_PARENT"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_TERMINATED = 128 + signal.SIGTERM


def announce() -> None:
    """Lets child processes know whose they are."""
    os.environ[VARIABLE] = str(os.getpid())


def end_with_parent() -> None:
    """Ends this process, in good order, when its announced parent ends.

    Does nothing in the parent itself, in grandchildren, and where the system
    is not Linux.
    """
    parent = os.getppid()
    if os.environ.get(VARIABLE) != str(parent) or sys.platform != "linux":
        return
    # Leaves by an exception, so that servers and locks are given up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # It ended in between.
        sys.exit(_TERMINATED)
