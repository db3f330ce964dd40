"""A part of a benchmark in a process of its own, with memory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
_RESULT = "RESULT "


class NoResultError(RuntimeError):
    """The process ended without a result.

    Attributes:
        stderr: what it wrote there.
    """

    def __init__(self, command: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(
            f"`{' '.join(command)}` ended with {code} and no result:\n"
            f"{stderr[-3000:]}"
        )
        self.stderr = stderr


def print_result(result: Mapping[str, Any]) -> None:
    """What the process that waits takes."""
    print(_RESULT + json.dumps(result), flush=True)


def run_child(module: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Runs `python -m module` on the CPU and takes its result.

    Args:
        module: calls `print_result`.
        options: flag -> value, None for a flag without one.

    Raises:
        NoResultError: there is no such line.
    """
    command = [sys.executable, "-m", module]
    for flag, value in options.items():
        command += [flag] if value is None else [flag, str(value)]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={
            **os.environ,
            "TF_USE_LEGACY_KERAS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            # memory and speed are the host's
            "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True,
        text=True,
    )
    for line in done.stdout.splitlines():
        if line.startswith(_RESULT):
            return json.loads(line.removeprefix(_RESULT))
    raise NoResultError(command, done.returncode, done.stderr)
