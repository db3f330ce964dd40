r"""Runs a study, skips what is there, and writes its table and plot.

    python -m benchmarks.experiments table2 --seeds 0 --jobs 2
    python -m benchmarks.experiments table2 --datasets "Amazon Beauty" \
        --rows SASRec CREATE
    python -m benchmarks.experiments --list

Every run is a whole pipeline run with the settings of its configuration; it
chooses its epoch on validation and is measured on test once. A run whose
result is there with the same settings is skipped, so a study that was
stopped goes on with the same command; one that another study has run with the
same settings is taken from there. `--table` writes the page from what there
is. `--jobs N` runs N side by side, each with its share of the cores, its own
folder runs/experiments-<n>/ and its console in a log there.

Results: benchmarks/results/experiments/<study>/, one small JSON file per run,
and <study>.md and <study>.svg beside the folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy import settings_of, with_defaults
from benchmarks.experiments import results
from benchmarks.experiments.execution import execute, run_all
from benchmarks.experiments.study import (
    STUDIES,
    Run,
    StudyConfig,
    load_study,
    runs,
)
from models.settings import SettingsError
from pipeline.config import REPOSITORY, load_config


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
        and (options.rows is None or run.row in options.rows)
    ]
    if not options.table:
        _run_all(options.study, study, wanted, folder, options.jobs)
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
    parser.add_argument(
        "--rows", nargs="+", help="models, or values of the varied setting"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs side by side, sharing cores"
    )
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--list", action="store_true")
    return parser


def _run_all(
    name: str, study: StudyConfig, wanted: list[Run], folder: Path, jobs: int
) -> None:
    missing = [run for run in wanted if not _is_there(run, folder)]
    there = len(wanted) - len(missing)
    missing = _take_over(name, missing, folder)
    print(f"[{name}] {len(wanted)} runs, {there} there already", flush=True)
    for run, result in run_all(name, missing, jobs, execute):
        results.write(folder, run, result)
        _write_page(name, study, folder)


def _is_there(run: Run, folder: Path) -> bool:
    known = results.read(folder, run)
    return known is not None and with_defaults(known["config"]) == _settings(
        run
    )


def _take_over(name: str, missing: list[Run], folder: Path) -> list[Run]:
    """Copies the results that other studies have of the same settings.

    Args:
        name: of this study.
        missing: its runs without a result.
        folder: of its results.

    Returns:
        The runs that no study has made.
    """
    if not missing:
        return []
    others = [
        (other, result, with_defaults(result["config"]))
        for other, result in results.of_other_studies(folder)
    ]
    left = []
    for run in missing:
        settings = _settings(run)
        for other, result, known in others:
            if known == settings:
                print(
                    f"[{name}] {run.dataset}, {run.row}, seed {run.seed}: "
                    f"from {other}",
                    flush=True,
                )
                results.write(folder, run, result)
                break
        else:
            left.append(run)
    return left


def _settings(run: Run) -> dict[str, Any]:
    return settings_of(load_config(REPOSITORY / run.config_file, run.overrides))


def _write_page(name: str, study: StudyConfig, folder: Path) -> None:
    text = results.page(name, study, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / f"{name}.md").write_text(text)
    figure = results.plot(study, folder)
    if figure is not None:
        figure.savefig(folder.parent / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
