"""Fetches what a run has to show: report and metrics."""

from __future__ import annotations

import datetime
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import tensorflow as tf

from components.artifact_files import METRICS_FILE, REPORT_FILE
from kubeflow.resolve_run.component import NAME as RESOLVE_RUN
from kubeflow.spec import Json

FILES = (REPORT_FILE, METRICS_FILE)
EVALUATION = "RankingEvaluator"
_MOST_LISTED = 10


def fetch_report(
    artifacts: str, run_id: str, folder: Path, settings: Collection[str] = ()
) -> tuple[list[Path], str]:
    """Copies the report and the metrics of a run.

    The backend lays artifacts at <root>/<pipeline>/<run>/<step>/[<attempt>/]
    <output>. Where the evaluation was taken from the cache, they lie in an
    earlier run. Of which, the backend's API does not say (2.0 to 2.5: it
    leaves the outputs of tasks empty). But a run with other settings of the
    evaluation, or of a step that it builds on, has another cache key and
    cannot be the one; what ResolveRun has written for every run, and is never
    cached, tells the settings.

    Args:
        artifacts: URI of the pipeline's folder of runs.
        run_id: of the run.
        folder: to copy to.
        settings: outputs of ResolveRun that the evaluation comes from; see
            `evaluation_settings`.

    Returns:
        The files, and the id of the run that they are of.

    Raises:
        FileNotFoundError: no run has such files, or several have that may be
            the ones.
    """
    own = _reports(f"{artifacts}/{run_id}")
    if own:
        found, source = max(own, key=_written), run_id
    else:
        found = _cached(artifacts, run_id, settings)
        source = _run_of(artifacts, found)
    folder.mkdir(parents=True, exist_ok=True)
    copied = []
    for name in FILES:
        path = os.path.join(os.path.dirname(found), name)
        if not tf.io.gfile.exists(path):
            continue
        with tf.io.gfile.GFile(path, "rb") as stream:
            (folder / name).write_bytes(stream.read())
        copied.append(folder / name)
    return copied, source


def evaluation_settings(spec: Json) -> set[str]:
    """The outputs of ResolveRun that decide about the evaluation's cache key.

    Those that the evaluation takes, and every step whose artifacts it comes
    from, however many steps before.

    Args:
        spec: the compiled pipeline.
    """
    tasks = spec["root"]["dag"]["tasks"]
    found, steps, todo = set(), set(), [EVALUATION]
    while todo:
        step = todo.pop()
        if step in steps:
            continue
        steps.add(step)
        inputs = tasks[step].get("inputs", {})
        for source in inputs.get("parameters", {}).values():
            output = source.get("taskOutputParameter", {})
            if output.get("producerTask") == RESOLVE_RUN:
                found.add(output["outputParameterKey"])
        for source in inputs.get("artifacts", {}).values():
            todo.append(source["taskOutputArtifact"]["producerTask"])
    return found


def _cached(artifacts: str, run_id: str, settings: Collection[str]) -> str:
    """The one report that the run's evaluation can have come from."""
    others = _reports(f"{artifacts}/*")
    if not others:
        raise FileNotFoundError(
            f"No {FILES[0]} below {artifacts}: the run ended before it was "
            "measured. The steps' logs say why."
        )
    wanted = _settings_of(f"{artifacts}/{run_id}", settings)
    fits = {
        run: _fit(wanted, _settings_of(f"{artifacts}/{run}", settings))
        for run in {_run_of(artifacts, path) for path in others}
    }
    left = [path for path in others if fits[_run_of(artifacts, path)]]
    if len(left) == 1:
        return left[0]
    if not left:
        raise FileNotFoundError(
            f"The evaluation of run {run_id} came from the cache, and its "
            f"{FILES[0]} is no longer below {artifacts}: the reports there "
            f"({len(others)}) are of other settings. Fix: {_ANEW}"
        )
    raise FileNotFoundError(
        f"The evaluation of run {run_id} came from the cache, and the server "
        f"does not say from which run: {len(left)} reports may be the one. "
        f"Newest first:\n{_listed(left)}\nFix: copy the one whose settings "
        f"and time fit, or {_ANEW}"
    )


# A fingerprint stands for the log files in the cache keys of all steps.
_ANEW = (
    "have every step done anew, with --param input_fingerprint=TEXT and a "
    "text that was not used before."
)


def _reports(run: str) -> list[str]:
    """The reports below a run, or a pattern of runs."""
    return [
        path
        for middle in ("*/*", "*/*/*")
        for path in tf.io.gfile.glob(f"{run}/{middle}/{FILES[0]}")
    ]


def _run_of(artifacts: str, path: str) -> str:
    return path[len(artifacts) :].strip("/").split("/")[0]


def _settings_of(run: str, names: Collection[str]) -> dict[str, set[str]]:
    """What ResolveRun has written in a run; all its attempts' values."""
    found = defaultdict(set)
    for middle in ("*", "*/*"):
        for path in tf.io.gfile.glob(f"{run}/{RESOLVE_RUN}/{middle}"):
            name = os.path.basename(path)
            if name in names and not tf.io.gfile.isdir(path):
                with tf.io.gfile.GFile(path) as stream:
                    found[name].add(stream.read())
    return found


def _fit(wanted: dict[str, set[str]], found: dict[str, set[str]]) -> bool:
    """Whether two runs may have the same settings.

    What one of them has not is no difference: a pipeline that was compiled
    otherwise resolves other settings, or lays them elsewhere.
    """
    return all(
        wanted[name] & found[name] for name in wanted.keys() & found.keys()
    )


def _written(path: str) -> int:
    return int(tf.io.gfile.stat(path).mtime_nsec)


def _listed(paths: Sequence[str]) -> str:
    times = sorted(((_written(path), path) for path in paths), reverse=True)
    lines = []
    for written, path in times[:_MOST_LISTED]:
        at = datetime.datetime.fromtimestamp(written / 1e9)
        lines.append(f"  {at:%Y-%m-%d %H:%M}  {path}")
    if times[_MOST_LISTED:]:
        lines.append(f"  and {len(times) - _MOST_LISTED} more")
    return "\n".join(lines)
