"""Fetches what a run has to show: report and metrics."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from components.artifact_files import METRICS_FILE, REPORT_FILE

FILES = (REPORT_FILE, METRICS_FILE)


def fetch_report(
    artifacts: str, run_id: str, folder: Path
) -> tuple[list[Path], bool]:
    """Copies the report and the metrics of a run.

    The backend lays artifacts at <root>/<pipeline>/<run>/<step>/[<attempt>/]
    <output>. Where the evaluation was taken from the cache, they lie in an
    earlier run.

    Args:
        artifacts: URI of the pipeline's folder of runs.
        run_id: of the run.
        folder: to copy to.

    Returns:
        The files, and whether they are the run's own.

    Raises:
        FileNotFoundError: no run has such files.
    """
    own = _find(f"{artifacts}/{run_id}")
    found = own or _find(f"{artifacts}/*")
    if not found:
        raise FileNotFoundError(
            f"No {FILES[0]} below {artifacts}: the run ended before it was "
            "measured. The steps' logs say why."
        )
    folder.mkdir(parents=True, exist_ok=True)
    copied = []
    for name in FILES:
        source = os.path.join(found, name)
        if not tf.io.gfile.exists(source):
            continue
        with tf.io.gfile.GFile(source, "rb") as stream:
            (folder / name).write_bytes(stream.read())
        copied.append(folder / name)
    return copied, bool(own)


def _find(run: str) -> str | None:
    """The newest folder of an evaluation below a run, or a pattern of runs."""
    reports = [
        path
        for middle in ("*/*", "*/*/*")
        for path in tf.io.gfile.glob(f"{run}/{middle}/{FILES[0]}")
    ]
    if not reports:
        return None
    newest = max(reports, key=lambda path: tf.io.gfile.stat(path).mtime_nsec)
    return os.path.dirname(newest)
