"""One epoch at a time: how a peer's script talks to the benchmark.

The script says once what it works on, then for every line on standard input
trains one epoch and answers with its seconds. So both sides take turns and
see the same machine, and the set-up of neither is in the seconds. Standard
library only: this runs in the peer's environment. What the peer itself prints
goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

_answers: TextIO | None = None
_started = (0.0, 0.0)


def begin() -> None:
    """Keeps standard output for answers; call before importing the peer."""
    global _answers
    sys.stdout.flush()
    _answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)


def answer(**values: Any) -> None:
    """Writes one answer, a line of JSON."""
    assert _answers is not None, "begin() comes first"
    _answers.write(json.dumps(values) + "\n")


def begin_epoch() -> None:
    """Returns when the benchmark asks for the next epoch; time runs from here.

    Raises:
        EOFError: the benchmark is gone.
    """
    global _started
    if not sys.stdin.readline():
        raise EOFError("The benchmark closed the pipe before the last epoch.")
    _started = (time.perf_counter(), time.process_time())


def end_epoch(loss_of: Callable[[], float]) -> None:
    """Answers with what the epoch took.

    Args:
        loss_of: gives its mean loss; called when the time has stopped.
    """
    seconds = time.perf_counter() - _started[0]
    cpu_seconds = time.process_time() - _started[1]
    answer(seconds=seconds, cpu_seconds=cpu_seconds, loss=loss_of())
