"""Follows a run on the cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

import kfp_server_api

# kfp's own wait knows no cancelled run and waits for it for ever.
_ENDS = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
# Names of tasks that the backend adds to ours.
_DRIVERS = ("-driver", "root")


def watch(
    get_run: Callable[[], kfp_server_api.V2beta1Run],
    *,
    seconds: float = 10.0,
    out: TextIO | None = None,
) -> str:
    """Prints every change of a run until it has ended.

    Args:
        get_run: asks the server.
        seconds: between two questions.
        out: where lines go, by default standard output.

    Returns:
        SUCCEEDED, FAILED, SKIPPED or CANCELED.
    """
    out = out or sys.stdout
    seen: dict[str, str] = {}
    while True:
        run = get_run()
        for name, state, error in _tasks(run):
            if seen.get(name) != state:
                seen[name] = state
                print(
                    f"{name:<28} {state.lower()}"
                    + (f": {error}" if error else ""),
                    file=out,
                    flush=True,
                )
        if run.state in _ENDS:
            if run.error is not None and run.error.message:
                print(run.error.message, file=out, flush=True)
            return str(run.state)
        time.sleep(seconds)


def _tasks(run: kfp_server_api.V2beta1Run) -> list[tuple[str, str, str]]:
    """Name, state and error of each of our steps, in order of their start."""
    details = (run.run_details and run.run_details.task_details) or []
    found = []
    for task in details:
        name = task.display_name or ""
        if task.state is None or name.endswith(_DRIVERS):
            continue
        error = task.error.message if task.error is not None else ""
        found.append((str(task.create_time), name, str(task.state), error))
    return [entry[1:] for entry in sorted(found)]
