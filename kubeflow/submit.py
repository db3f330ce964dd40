"""Runs the pipeline on a cluster: once, or on a schedule.

python -m kubeflow.submit --config FILE --host URL [--param NAME=VALUE ...]
    [--schedule "0 0 3 * * *"] [--report FOLDER] [--no-wait | --watch RUN]

Compiles, creates the pipeline on the server or adds a version to it, starts a
run, follows it to its end and fetches report and metrics. With --schedule the
runs recur instead: each takes the newest log files there are. With --watch it
follows a run that was started before, and starts none.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from kubeflow.compile import compile_pipeline
from kubeflow.errors import CompileError, ScheduleError, words
from models.settings import SettingsError
from pipeline import console
from pipeline.config import PipelineConfig, load_config
from pipeline.paths import add_config_arguments
from serving import file_systems

# What shells make of a process that Ctrl-C has ended.
INTERRUPTED = 130


class SubmitError(RuntimeError):
    """The server or the arguments do not allow it; says what to do.

    Attributes:
        code: of the process.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """Submits, and returns 0 where all that was asked for succeeded."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.watch and (arguments.param or arguments.schedule):
        parser.error(
            "--watch starts nothing: it goes without --param and --schedule"
        )
    if arguments.report and (arguments.no_wait or arguments.schedule):
        parser.error(
            "--report needs a run that is followed to its end: it goes without "
            "--no-wait and --schedule"
        )
    console.quiet()
    try:
        config = load_config(arguments.config, arguments.overrides)
        text = compile_pipeline(config)
        return _submit(config, text, arguments)
    except (SettingsError, CompileError) as error:
        print(error, file=sys.stderr)
        return 2
    except SubmitError as error:
        print(error, file=sys.stderr)
        return error.code
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_arguments(parser)
    for name, text in (
        ("--host", "address of the API (default: KF_PIPELINES_ENDPOINT)"),
        ("--namespace", "of a multi-user installation"),
        ("--experiment", "to put the runs in (default: the pipeline's name)"),
        ("--service-account", "Kubernetes account that the pods run as"),
        ("--schedule", "cron expression of six fields, seconds first"),
        ("--report", "folder for the report and metrics of the run"),
    ):
        parser.add_argument(name, help=text)
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="runtime parameter, such as training_max_epochs=10",
    )
    wait = parser.add_mutually_exclusive_group()
    wait.add_argument(
        "--no-wait", action="store_true", help="only start the run"
    )
    wait.add_argument(
        "--watch",
        metavar="RUN",
        help="follow the run of that id instead of starting one",
    )
    parser.add_argument(
        "--poll-seconds",
        type=float,
        default=10.0,
        help="between two looks at the run (default: %(default)s)",
    )
    return parser


def _submit(
    config: PipelineConfig, text: str, arguments: argparse.Namespace
) -> int:
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    from kubeflow.cluster import Cluster

    spec = next(yaml.safe_load_all(text))
    name = spec["pipelineInfo"]["name"]
    request: dict[str, Any] = {
        "parameters": parameter_values(spec, arguments.param),
        "root": spec["defaultPipelineRoot"],
        "service_account": arguments.service_account,
    }
    if arguments.report:
        # Now, not after the hours of the run.
        why = file_systems.why_unknown(spec["defaultPipelineRoot"])
        if why is not None:
            raise SubmitError(f"--report: {why}")
    try:
        cluster = Cluster(arguments.host, arguments.namespace)
        if arguments.watch:
            # A wrong address or id is told now, not after minutes of asking.
            cluster.get_run(arguments.watch)
            return _follow(cluster, spec, arguments.watch, arguments)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.yaml"
            file.write_text(text, encoding="utf-8")
            request["version"] = cluster.upload(text, name, str(file))
        request["experiment"] = cluster.experiment(arguments.experiment or name)
        if arguments.schedule:
            return _schedule(cluster, name, request, arguments)
        started = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
        run_id = cluster.run(name=f"{name} {started}", **request)
        print(f"Run: {run_id}", flush=True)
        if arguments.no_wait:
            return 0
        return _follow(cluster, spec, run_id, arguments)
    except ApiException as error:
        raise SubmitError(words(error)) from error
    except HTTPError as error:
        raise SubmitError(
            f"No Kubeflow Pipelines at {arguments.host}: {error}. Fix: "
            "kubectl port-forward -n kubeflow svc/ml-pipeline 8888, then "
            "--host http://127.0.0.1:8888"
        ) from error


def _follow(
    cluster: Any,
    spec: dict[str, Any],
    run_id: str,
    arguments: argparse.Namespace,
) -> int:
    """Watches a run to its end and fetches its report."""
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError

    from kubeflow.watch import watch

    again = (
        f"To look at it again: the same command with --watch {run_id}, "
        "without --param."
    )
    try:
        state = watch(
            lambda: cluster.get_run(run_id), seconds=arguments.poll_seconds
        )
    except KeyboardInterrupt:
        raise SubmitError(
            f"No longer watched; run {run_id} goes on. {again}", INTERRUPTED
        ) from None
    except (ApiException, HTTPError) as error:
        if getattr(error, "status", None) == 404:
            raise
        raise SubmitError(
            f"{words(error)}. No longer watched; run {run_id} itself goes on. "
            f"{again}"
        ) from error
    print(f"The run has {state.lower()}.", flush=True)
    if state != "SUCCEEDED":
        return 1
    if arguments.report:
        _fetch(spec, run_id, Path(arguments.report))
    return 0


def _schedule(
    cluster: Any,
    name: str,
    request: dict[str, Any],
    arguments: argparse.Namespace,
) -> int:
    if len(arguments.schedule.split()) != 6:
        raise SubmitError(
            f"--schedule {arguments.schedule!r}: expected six fields, seconds "
            'first, such as "0 0 3 * * *" for three o\'clock every night.'
        )
    try:
        found, is_new = cluster.schedule(
            name=f"{name}-schedule", cron=arguments.schedule, **request
        )
    except ScheduleError as error:
        cause = error.__cause__
        if isinstance(cause, KeyboardInterrupt):
            raise SubmitError(f"Interrupted. {error}", INTERRUPTED) from error
        raise SubmitError(f"{words(cause or error)}. {error}") from error
    print(f"Recurring run: {found}{'' if is_new else ' (unchanged)'}")
    return 0


def _fetch(spec: dict[str, Any], run_id: str, folder: Path) -> None:
    artifacts = f"{spec['defaultPipelineRoot']}/{spec['pipelineInfo']['name']}"
    from kubeflow.report import evaluation_settings, fetch_report

    files, source = fetch_report(
        artifacts, run_id, folder, evaluation_settings(spec)
    )
    if source != run_id:
        print(f"The evaluation came from the cache: results of run {source}.")
    for file in files:
        print(file)


def parameter_values(
    spec: dict[str, Any], given: Sequence[str]
) -> dict[str, Any]:
    """All parameters of a run: those given, and the defaults of the others.

    Args:
        spec: the compiled pipeline.
        given: NAME=VALUE.

    Raises:
        SubmitError: a name that the pipeline does not have, or a value of
            the wrong type.
    """
    definitions = spec["root"]["inputDefinitions"]["parameters"]
    values = {k: v["defaultValue"] for k, v in definitions.items()}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in definitions:
            raise SubmitError(
                f"--param {text}: expected NAME=VALUE with one of "
                f"{', '.join(sorted(definitions))}."
            )
        kind = definitions[name]["parameterType"]
        values[name] = _convert(text, value, kind)
    return values


def _convert(text: str, value: str, kind: str) -> str | int | float:
    convert = {"NUMBER_INTEGER": int, "NUMBER_DOUBLE": float}.get(kind, str)
    try:
        return convert(value)
    except ValueError:
        raise SubmitError(
            f"--param {text}: expected {convert.__name__}."
        ) from None


if __name__ == "__main__":
    file_systems.leave(main())
