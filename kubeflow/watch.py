"""Follows a run on the cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

import kfp_server_api
from urllib3.exceptions import HTTPError

from kubeflow.errors import words

# kfp's own wait knows no cancelled run and waits for it for ever.
_ENDS = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
# Names of tasks that the backend adds to ours.
_DRIVERS = ("-driver", "root")
# Questions in a row without an answer. A run takes hours, and in these some
# seven minutes a server, or what stands before it, has started again.
MOST_FAILURES = 10
_LONGEST_WAIT = 60.0


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

    Raises:
        ApiException: the server refuses to answer, or has failed to
            MOST_FAILURES times in a row.
        HTTPError: it could not be reached as many times.
    """
    out = out or sys.stdout
    seen: dict[str, str] = {}
    failures = 0
    while True:
        try:
            run = get_run()
        except (kfp_server_api.ApiException, HTTPError) as error:
            failures += 1
            if failures == MOST_FAILURES or not _may_pass(error):
                raise
            wait = min(seconds * 2 ** (failures - 1), _LONGEST_WAIT)
            wait = max(wait, seconds)
            print(
                f"{words(error)}. The run goes on; asking again in {wait:g} s.",
                file=out,
                flush=True,
            )
            time.sleep(wait)
            continue
        failures = 0
        for name, state, reason in _tasks(run):
            if seen.get(name) != state:
                seen[name] = state
                print(
                    f"{name:<28} {state.lower()}"
                    + (f": {reason}" if reason else ""),
                    file=out,
                    flush=True,
                )
        if run.state in _ENDS:
            if run.error is not None and run.error.message:
                print(run.error.message, file=out, flush=True)
            return str(run.state)
        time.sleep(seconds)


def _may_pass(error: Exception) -> bool:
    """Whether to ask again: not where the server says why it will not."""
    status = getattr(error, "status", None) or 0
    return not 400 <= status < 500 or status in (408, 429)


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
