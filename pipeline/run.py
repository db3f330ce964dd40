"""Runs a pipeline from checks to results: what `make run` calls.

python -m pipeline.run --config FILE [--set key.sub=value ...]

Checks the environment, makes the demo's logs where they are missing, drives
the tfx CLI (`tfx pipeline create` or `update`, then `tfx run create`), and
shows the metrics. A model that is not blessed is a result, not an error: it
is said clearly, and the exit code is 0. Any other failure ends in a readable
line and exit code 1, wrong settings in 2.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.settings import SettingsError
from pipeline import console, doctor, parent
from pipeline.config import REPOSITORY, PipelineConfig, load_config
from pipeline.paths import RunPaths, add_config_arguments, serving_flags
from pipeline.summary import SummaryError, read_summary
from pipeline.summary_table import format_summary
from serving import custom_ops, id_rows

_DSL_FILE = REPOSITORY / "pipeline" / "local_runner.py"
_DEMO_LOGS = REPOSITORY / "data" / "demo"
# The Makefile takes SET apart at blanks, expands $ and quotes with '.
_NOT_FOR_MAKE = re.compile(r"[\s$']")


class StageError(RuntimeError):
    """A stage failed; its own output has been printed before."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the pipeline and returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_arguments(parser)
    arguments = parser.parse_args(argv)
    console.quiet()
    started = time.monotonic()
    try:
        config = load_config(arguments.config, arguments.overrides)
        print("Checking the environment", flush=True)
        if doctor.main(doctor.checks_of_run(config.runs_dir), brief=True):
            raise StageError("The environment is not ready, see above.")
        _check_index(config)
        make_demo_logs(config)
        _set_environment(config, arguments)
        run_pipeline(config)
        show_results(config, arguments)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (StageError, SummaryError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "Interrupted. The same command goes on where this one stopped.",
            file=sys.stderr,
        )
        return 130
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    return 0


def _check_index(config: PipelineConfig) -> None:
    """Fails at once where the export would: not in the Trainer.

    Raises:
        StageError: the index needs a package that is missing.
    """
    if config.serving.approximate is None:
        return
    try:
        custom_ops.check_scann("`serving.index` is scann")
    except custom_ops.MissingOpsError as error:
        raise StageError(str(error)) from error


def make_demo_logs(config: PipelineConfig) -> None:
    """Generates the demo's logs where the settings want them.

    Raises:
        StageError: the generator failed.
    """
    folder = Path(config.logs.path)
    patterns = config.logs.pattern
    if isinstance(patterns, str):
        patterns = (patterns,)
    if folder != _DEMO_LOGS or any(
        any(folder.glob(pattern)) for pattern in patterns
    ):
        return
    print(f"Making the demo's logs in {folder}", flush=True)
    code = subprocess.call(
        [sys.executable, "-m", "pipeline.demo_logs", "--output", str(folder)],
        cwd=REPOSITORY,
    )
    if code:
        raise StageError(f"pipeline.demo_logs failed with exit code {code}.")


def _set_environment(
    config: PipelineConfig, arguments: argparse.Namespace
) -> None:
    """Tells the CLI and the file it executes what they cannot be passed."""
    parent.announce()
    os.environ["CREATE_CONFIG"] = os.path.abspath(arguments.config)
    os.environ["CREATE_SET"] = shlex.join(arguments.overrides)
    # The CLI keeps its list of pipelines here, not in the user's home.
    os.environ["LOCAL_HOME"] = str(Path(config.runs_dir) / ".tfx")
    # The CLI calls `pip`: it must be this environment's.
    scripts = sysconfig.get_path("scripts")
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ["PATH"]])


def run_pipeline(config: PipelineConfig) -> None:
    """Registers the pipeline with the tfx CLI and runs it.

    Raises:
        StageError: one of the two commands failed.
    """
    known = Path(os.environ["LOCAL_HOME"]) / config.name
    verb = "update" if known.exists() else "create"
    run_tfx("pipeline", verb, "--engine=local", f"--pipeline_path={_DSL_FILE}")
    run_tfx("run", "create", "--engine=local", f"--pipeline_name={config.name}")


def run_tfx(*arguments: str) -> None:
    """Runs the tfx CLI's own entry point in this process.

    The doctor has loaded TFX here already; a process of its own would load
    it again, 10 to 15 s each time.

    Raises:
        StageError: the command failed.
    """
    from tfx.tools.cli import cli_main

    print(f"$ tfx {shlex.join(arguments)}", flush=True)
    try:
        cli_main.cli_group.main(
            args=list(arguments), prog_name="tfx", standalone_mode=False
        )
    except SystemExit as error:
        if error.code not in (None, 0):
            # A failed run has said why; the CLI adds only its command line.
            detail = "" if arguments[0] == "run" else f": {error.code}"
            raise StageError(
                f"`tfx {' '.join(arguments[:2])}` failed{detail}"
            ) from None
    except Exception as error:
        raise StageError(
            f"`tfx {' '.join(arguments[:2])}` failed: "
            f"{console.last_words(error)}"
        ) from error


def show_results(config: PipelineConfig, arguments: argparse.Namespace) -> None:
    """Prints the metrics, and what to look at and try next."""
    summary = read_summary(config)
    print(f"\n{format_summary(summary)}\n")
    model = summary["pushed_model"] or "not pushed, see above"
    print(f"Model:    {_short(model)}")
    print(f"Report:   {_short(summary['report'])}")
    print(f"Summary:  {_short(str(RunPaths.of(config).summary))}")
    if summary["pushed_model"]:
        print(f"Try it:   {_serve_command(config, arguments)}")
        print(f"          {_client_command(config, summary)}")


def _serve_command(
    config: PipelineConfig, arguments: argparse.Namespace
) -> str:
    """`make serve`, or what it calls where make would change the settings."""
    if any(map(_NOT_FOR_MAKE.search, arguments.overrides)):
        return (
            f".venv/bin/python -m serving.server {serving_flags(config)} "
            "--port 8500 --rest_api_port 8501"
        )
    command = "make serve"
    if Path(arguments.config).resolve() != (
        REPOSITORY / "pipeline" / "configs" / "demo.yaml"
    ):
        command += f" CONFIG={shlex.quote(arguments.config)}"
    if arguments.overrides:
        command += f" SET={shlex.quote(' '.join(arguments.overrides))}"
    return command


def _client_command(config: PipelineConfig, summary: dict[str, Any]) -> str:
    """Asks for what was measured: with or without the user's own items."""
    command = ".venv/bin/python -m serving.client"
    if config.serving.model_name != "create":
        command += f" --model_name {config.serving.model_name}"
    if not config.exclude_history:
        command += " --keep_seen"
    # With =, for an id may begin with a dash.
    items = shlex.quote(id_rows.write(summary["example_items"]))
    return f"{command} --history={items}"


def _short(path: str) -> str:
    """The path from the current folder where that is shorter."""
    relative = os.path.relpath(path) if os.path.isabs(path) else path
    return min(path, relative, key=len)


if __name__ == "__main__":
    sys.exit(main())
