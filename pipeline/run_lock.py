"""One run of a pipeline at a time: its SQLite metadata has one writer."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class AlreadyRunning(RuntimeError):
    """Another process is running this pipeline."""


@contextlib.contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Holds the lock file `path`.

    The kernel lets go of it when the process ends, however it ends, so a
    lock file left by a killed run is no obstacle.

    Raises:
        AlreadyRunning: the message names the other process and the fix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise AlreadyRunning(
                f"Pipeline {path.parent.name} is already running (process "
                f"{holder}, {path}). Fix: wait for it to end, or run under "
                "another name: SET=name=..."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
