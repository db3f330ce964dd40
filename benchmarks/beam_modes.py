"""What threads and processes give the Beam steps on this machine.

    python -m benchmarks.beam_modes /data/ml-1m/ratings.dat.gz \
        [--repeats 1] [--output benchmarks/results/beam_modes.json]

Runs HistoryExampleGen, StatisticsGen, Transform and GraphBuilder on
MovieLens-1M with each running mode of Beam's DirectRunner, every run in a
fresh process. Seconds are those of the executor alone: this process has
loaded TensorFlow before, the workers of multi_processing have to load it in
every step, as they do in a pipeline. CPU seconds are those of all processes:
on a busy machine they say more than the clock. Prints a Markdown table, writes
JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
STEPS = ("HistoryExampleGen", "StatisticsGen", "Transform", "GraphBuilder")
# Step -> seconds by the clock, and CPU seconds of all processes.
Seconds = dict[str, tuple[float, float]]
MODES = (("in_memory", 1), ("multi_threading", 2), ("multi_processing", 2))


def main() -> int:
    """Measures all modes, or one mode in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("ratings", help="ratings.dat.gz of MovieLens-1M")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--output", help="JSON file; a .md is put beside it")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    ratings = Path(arguments.ratings).resolve()
    if not ratings.is_file():
        parser.error(f"no file {ratings}")
    if arguments.one:
        mode, workers = arguments.one
        seconds = measure(ratings, mode, int(workers))
        print("RESULT " + json.dumps(seconds), flush=True)
        return 0
    result = measure_all(ratings, arguments.repeats)
    table = as_table(result)
    print(table)
    if arguments.output:
        output = Path(arguments.output)
        output.write_text(json.dumps(result, indent=2) + "\n")
        output.with_suffix(".md").write_text(table + "\n")
    return 0


def measure(ratings: Path, mode: str, workers: int) -> Seconds:
    """Seconds of each step, driven from this process."""
    from benchmarks.beam_steps import BeamSteps
    from pipeline.beam_config import BeamConfig
    from pipeline.config import load_config

    os.environ.setdefault("CREATE_DATA_ROOT", "/unused")
    config = load_config(
        REPOSITORY / "pipeline" / "configs" / "movielens_1m_paper.yaml",
        [f"logs.path={ratings.parent}", f"logs.pattern={ratings.name}"],
    )
    beam = BeamConfig(running_mode=mode, num_workers=workers)
    with tempfile.TemporaryDirectory(prefix="beam-modes-") as folder:
        steps = BeamSteps(config, Path(folder))
        seconds: Seconds = {}
        for name in STEPS:
            before = _cpu_seconds()
            wall = steps.run(name, beam.arguments(name))
            seconds[name] = (wall, _cpu_seconds() - before)
        return seconds


def _cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(
            resource.getrusage,
            (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN),
        )
    )


def measure_all(ratings: Path, repeats: int) -> dict[str, Any]:
    """Medians over fresh processes, and what the machine was doing."""
    load_before = os.getloadavg()[0]
    clock: dict[str, dict[str, float]] = {}
    cpu: dict[str, dict[str, float]] = {}
    for mode, workers in MODES:
        runs = [_measure_apart(ratings, mode, workers) for _ in range(repeats)]
        for index, result in enumerate((clock, cpu)):
            result[f"{mode}/{workers}"] = {
                step: round(statistics.median(r[step][index] for r in runs), 2)
                for step in STEPS
            }
    return {
        "cores": os.cpu_count(),
        "repeats": repeats,
        "load_before": round(load_before, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "seconds": clock,
        "cpu_seconds": cpu,
    }


def _measure_apart(ratings: Path, mode: str, workers: int) -> Seconds:
    path = os.environ.get("PYTHONPATH", "")
    environment = {
        **os.environ,
        # Worker processes are started by Beam and see only the environment.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), path])),
        "TF_USE_LEGACY_KERAS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    print(f"Measuring {mode}/{workers}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.beam_modes", str(ratings)]
    output = subprocess.run(
        [*command, "--one", mode, str(workers)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    (line,) = [x for x in output.splitlines() if x.startswith("RESULT ")]
    return json.loads(line.removeprefix("RESULT "))


def as_table(result: dict[str, Any]) -> str:
    """Markdown: seconds per step and mode, in brackets the ratio to one."""
    parts = [
        _table("step, seconds", result["seconds"]),
        _table("step, CPU seconds", result["cpu_seconds"]),
        f"{result['cores']} cores, median of {result['repeats']}; load of the "
        f"machine before and after: {result['load_before']}, "
        f"{result['load_after']}.",
    ]
    return "\n\n".join(parts)


def _table(title: str, seconds: dict[str, dict[str, float]]) -> str:
    modes = list(seconds)
    totals = {mode: sum(seconds[mode].values()) for mode in modes}
    lines = [
        f"| {title} | {' | '.join(modes)} |",
        f"| --- |{' --- |' * len(modes)}",
    ]
    for step in (*STEPS, "all"):
        row = [totals[m] if step == "all" else seconds[m][step] for m in modes]
        cells = [f"{value:.1f} ({value / row[0]:.2f})" for value in row]
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
