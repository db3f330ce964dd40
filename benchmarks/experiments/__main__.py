"""Runs a study, skips what is there, and writes its table and plot.

    python -m benchmarks.experiments table2 [--seeds 0] [--datasets NAME ...]
    python -m benchmarks.experiments --list

Every run is a whole pipeline run with the settings of its configuration; it
chooses its epoch on validation and is measured on test once. A run whose
result is there with the same settings is skipped, so a study that was
stopped goes on with the same command; `--table` writes the page from what
there is. Results: benchmarks/results/experiments/<study>/, one small JSON file
per run, and <study>.md and <study>.svg beside the folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy import run_pipeline, settings_of, with_defaults
from benchmarks.experiments import results
from benchmarks.experiments.study import (
    STUDIES,
    Run,
    StudyConfig,
    load_study,
    runs,
)
from models.settings import SettingsError
from pipeline.config import REPOSITORY, load_config
from pipeline.summary import read_summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is missing and writes the page."""
    options = _parser().parse_args(arguments)
    if options.list or not options.study:
        for path in sorted(STUDIES.glob("*.yaml")):
            print(f"{path.stem:20} {load_study(path.stem).title}")
        return 0
    try:
        study = load_study(options.study)
    except SettingsError as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 1
    folder = results.RESULTS / options.study
    wanted = [
        run
        for run in runs(study)
        if (options.seeds is None or run.seed in options.seeds)
        and (options.datasets is None or run.dataset in options.datasets)
    ]
    if not options.table:
        _run_all(options.study, study, wanted, folder)
    _write_page(options.study, study, folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", nargs="?", help="a file of studies/")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--datasets", nargs="+")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--list", action="store_true")
    return parser


def _run_all(
    name: str, study: StudyConfig, wanted: list[Run], folder: Path
) -> None:
    started, done = time.monotonic(), 0
    missing = [run for run in wanted if not _is_there(run, folder)]
    print(
        f"[{name}] {len(wanted)} runs, {len(wanted) - len(missing)} there "
        "already",
        flush=True,
    )
    for run in missing:
        print(f"[{name}] {run.dataset}, {run.row}, seed {run.seed}", flush=True)
        results.write(folder, run, execute(run))
        _write_page(name, study, folder)
        done += 1
        minutes = (time.monotonic() - started) / 60.0
        left = minutes / done * (len(missing) - done)
        print(
            f"[{name}] {done}/{len(missing)} runs in {minutes:.0f} min, "
            f"about {left:.0f} min left",
            flush=True,
        )


def _is_there(run: Run, folder: Path) -> bool:
    known = results.read(folder, run)
    config = load_config(REPOSITORY / run.config_file, run.overrides)
    return known is not None and with_defaults(known["config"]) == settings_of(
        config
    )


def execute(run: Run) -> dict[str, Any]:
    """Runs the pipeline; what is worth keeping of it.

    Raises:
        CalledProcessError: the pipeline failed; its output says why.
    """
    config = load_config(REPOSITORY / run.config_file, run.overrides)
    run_pipeline(REPOSITORY / run.config_file, run.overrides)
    summary = read_summary(config)
    target, seen = config.evaluation.targets[0], config.evaluation.seen_items
    epochs = summary["timings"]["epochs"]
    return {
        "config": settings_of(config),
        "target": target,
        "seen_items": seen,
        "metrics": summary["metrics"]["model"][target][seen],
        "test_users": summary["splits"]["test"]["users"],
        "epochs": {phase: len(times) for phase, times in epochs.items()},
        "seconds": summary["timings"]["total"],
    }


def _write_page(name: str, study: StudyConfig, folder: Path) -> None:
    text = results.page(name, study, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / f"{name}.md").write_text(text)
    figure = results.plot(study, folder)
    if figure is not None:
        figure.savefig(folder.parent / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
