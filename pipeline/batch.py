"""Writes the best items of every user to Parquet, with the pushed model.

    python -m pipeline.batch --config FILE --output DIR [--k 100]

Takes the histories of the newest run and the newest pushed version unless
told otherwise. Called again after it was stopped, it goes on with the shards
that are missing. `beam` settings say where it runs, as for the pipeline.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from models.settings import SettingsError
from pipeline import console
from pipeline.beam_config import BATCH_SCORING
from pipeline.config import PipelineConfig, load_config
from pipeline.paths import RunPaths, add_config_arguments
from serving import file_systems, version_folders
from serving.argument_types import positive


class NothingThereError(Exception):
    """No model or history can be read; the message has the fix."""


def main(argv: Sequence[str] | None = None) -> int:
    """Scores all users; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_arguments(parser)
    add = parser.add_argument
    add("--output", required=True, help="folder of the Parquet files")
    add("--k", type=positive, default=100, help="items per user")
    add("--model", help="folder of a version, instead of the newest pushed")
    add("--histories", help="pattern of files, instead of the newest run's")
    add("--batch-size", type=positive, default=512, help="users per call")
    arguments = parser.parse_args(argv)
    console.quiet()
    try:
        config = load_config(arguments.config, arguments.overrides)
        print(_score(config, arguments))
    except (SettingsError, NothingThereError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _score(config: PipelineConfig, arguments: argparse.Namespace) -> str:
    from components.batch_scoring import scoring, shards

    for place in (arguments.model, arguments.histories):
        if place and (why := file_systems.why_unknown(place)):
            raise NothingThereError(why)
    job = shards.Job(
        model=arguments.model or _newest_model(config),
        k=arguments.k,
        exclude_history=config.exclude_history,
        batch_size=arguments.batch_size,
    )
    progress = scoring.score(
        arguments.histories or _histories(config),
        arguments.output,
        job,
        config.beam.arguments(BATCH_SCORING),
    )
    return (
        f"{progress.shards} shards in {arguments.output}, "
        f"{progress.skipped} of them were there already; model {job.model}"
    )


def _newest_model(config: PipelineConfig) -> str:
    serving = RunPaths.of(config).serving
    newest = version_folders.newest(str(serving))
    if newest is None:
        raise NothingThereError(
            f"No model has been pushed to {serving} yet. Fix: make run, or "
            "give --model."
        )
    return newest


def _histories(config: PipelineConfig) -> str:
    from pipeline.run_records import read_newest_run

    paths = RunPaths.of(config)
    if not paths.metadata.exists():
        raise NothingThereError(
            f"There is no run in {paths.run_dir} yet. Fix: make run, or give "
            "--histories."
        )
    try:
        run = read_newest_run(str(paths.metadata), config.name)
    except LookupError as error:
        raise NothingThereError(str(error)) from error
    step = run.nodes.get("HistoryExampleGen")
    if step is None or "examples" not in step.outputs or step.state == "failed":
        raise NothingThereError(
            f"The newest run, {run.run_id}, has read no logs: it stopped "
            "before, and what an older run has read may be out of date. Fix: "
            "make run, or give --histories."
        )
    return f"{step.outputs['examples'].uri}/Split-all/*.gz"


if __name__ == "__main__":
    file_systems.leave(main())
