"""Beam steps in one process and through a job service: the same bytes?

    python -m benchmarks.portability [--workers 2] [--output FILE.md]

Makes small demo logs, runs every Beam step with DirectRunner in memory, then
again through Beam's portability layer (a job service and several SDK workers
in processes of their own, `benchmarks.portable_service`), each road on its own
outputs, and compares every file. About two minutes on 2 cores, most of it for
loading TensorFlow in the workers of each step.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

from benchmarks.beam_steps import BeamSteps
from benchmarks.compare_outputs import Comparison, compare
from benchmarks.portable_service import PortableService
from pipeline.config import REPOSITORY, PipelineConfig, load_config
from pipeline.demo_logs import write_demo_logs
from pipeline.demo_shop import DemoConfig

_LOGS = DemoConfig(users=300, items=200, events=6000)


@dataclasses.dataclass(frozen=True)
class StepResult:
    """One step on both roads.

    Attributes:
        name: of the step.
        direct_seconds: in one process.
        portable_seconds: through the job service, starting workers included.
        bundles: worker's process id -> bundles that it worked on.
        files: what the outputs are to each other.
    """

    name: str
    direct_seconds: float
    portable_seconds: float
    bundles: dict[int, int]
    files: list[Comparison]


def small_config(folder: Path) -> PipelineConfig:
    """The demo's settings on small logs, which are written to `folder`."""
    write_demo_logs(str(folder), _LOGS)
    return load_config(
        REPOSITORY / "pipeline" / "configs" / "demo.yaml",
        [f"logs.path={folder}", "evaluation.bootstrap_samples=50"],
    )


def run(folder: Path, workers: int = 2) -> list[StepResult]:
    """Runs all Beam steps on both roads.

    Args:
        folder: for logs, outputs and the servers' logs.
        workers: SDK worker processes.

    Raises:
        ServiceError: a server did not start or ended.
        RuntimeError: a step failed on a worker.
    """
    config = small_config(folder / "logs")
    direct = BeamSteps(config, folder / "direct")
    portable = BeamSteps(config, folder / "portable")
    results = []
    with PortableService(folder / "service", workers) as service:
        arguments = ["--runner=PortableRunner", *service.options()]
        for name in direct.names:
            direct_seconds = direct.run(name, config.beam.arguments(name))
            portable_seconds = portable.run(name, arguments)
            results.append(
                StepResult(
                    name,
                    direct_seconds,
                    portable_seconds,
                    service.new_bundles(),
                    compare(direct.outputs(name), portable.outputs(name)),
                )
            )
    return results


def as_table(results: list[StepResult]) -> str:
    """Markdown: a row per step and output."""
    lines = [
        "| step | output | files | result | bundles by worker process | "
        "seconds, direct | seconds, job service |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        bundles = ", ".join(
            f"{pid}: {count}" for pid, count in sorted(result.bundles.items())
        )
        facts = (
            f"| {bundles} | {result.direct_seconds:.1f} | "
            f"{result.portable_seconds:.1f} |"
        )
        for file in result.files:
            lines.append(
                f"| {result.name} | {file.name} | {file.files} | "
                f"{file.verdict} {facts}"
            )
            facts = "| | | |"
    return "\n".join(lines)


def main() -> int:
    """Runs, prints the table; exit code 1 where an output differs."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="keeps all outputs there")
    parser.add_argument("--output", help="Markdown file for the table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portability-") as scratch:
        folder = Path(arguments.folder or scratch)
        results = run(folder, arguments.workers)
    table = as_table(results)
    print(table)
    if arguments.output:
        Path(arguments.output).write_text(table + "\n", encoding="utf-8")
    return int(any(not f.equal for r in results for f in r.files))


if __name__ == "__main__":
    sys.exit(main())
