"""Users per second and memory of the evaluation, beside a plain numpy top-k.

    python -m benchmarks.evaluation [--users 100000] [--items 100000]
        [--numpy-users 4096] [--output FILE.json]

Made-up histories of 20 events, an exported SavedModel whose user vector is
that of the newest item, d 64. `evaluation` is what RankingEvaluator does with
them, from the examples on disk to metrics, comparisons and slices: every
user's last target is ranked among all items twice, seen items kept and
filtered, through the SavedModel's own signature and string ids, and the
rankings are written and read back. `numpy` is the same product of float32
vectors, numpy's argpartition and a sort of the best 100, for both settings,
and the rank of the target; it writes nothing. Its users are a part of the
others (--numpy-users), since it does every batch alike.

Every measurement is a process of its own, one after the other on the same
cores; memory is the largest resident set of the process (ru_maxrss). Prints
a Markdown table, writes JSON and the table beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
STAGES = ("data", "evaluation", "numpy")


def main() -> int:
    """Measures everything, or one stage in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--numpy-users", type=int, default=4_096)
    parser.add_argument("--output", help="JSON file; a .md is put beside it")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        # here and not above: the process that waits needs no TensorFlow
        from benchmarks import evaluation_stages

        result = evaluation_stages.run(arguments.stage, arguments)
        print("RESULT " + json.dumps(result), flush=True)
        return 0
    results = measure_all(arguments)
    table = as_table(results)
    print(table)
    if arguments.output:
        output = Path(arguments.output)
        output.write_text(json.dumps(results, indent=1) + "\n")
        output.with_suffix(".md").write_text(table + "\n")
    return 0


def measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    """One process after the other."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for stage in STAGES:
            print(f"Stage {stage}", file=sys.stderr, flush=True)
            found[stage] = _apart(stage, folder, arguments)
    evaluation, numpy = found["evaluation"], found["numpy"]
    rate = arguments.users / evaluation["model_seconds"]
    numpy_rate = arguments.numpy_users / numpy["seconds"]
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "users": arguments.users,
        "items": arguments.items,
        "dim": numpy["dim"],
        "evaluation": evaluation | {"users_per_second": rate},
        "numpy": numpy
        | {"users": arguments.numpy_users, "users_per_second": numpy_rate},
        "ratio": rate / numpy_rate,
    }


def _apart(
    stage: str, folder: str, arguments: argparse.Namespace
) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.evaluation"]
    for name, value in (
        ("--stage", stage),
        ("--folder", folder),
        ("--users", arguments.users),
        ("--items", arguments.items),
        ("--numpy-users", arguments.numpy_users),
    ):
        command += [name, str(value)]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={
            **os.environ,
            "TF_USE_LEGACY_KERAS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            # memory and speed are the host's
            "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True,
        text=True,
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise RuntimeError(
        f"`{' '.join(command)}` ended with {done.returncode} and no result:\n"
        f"{done.stderr[-3000:]}"
    )


def as_table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| | users | seconds | users a second | peak, GiB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    evaluation, numpy = results["evaluation"], results["numpy"]
    for name, users, seconds, row in (
        (
            "the model, kept and filtered, to metrics",
            results["users"],
            evaluation["model_seconds"],
            evaluation,
        ),
        ("numpy top-k", numpy["users"], numpy["seconds"], numpy),
    ):
        lines.append(
            f"| {name} | {users:,} | {seconds:.1f} "
            f"| {row['users_per_second']:,.0f} | {row['peak_gib']:.2f} |"
        )
    others = ", ".join(
        f"{name} {seconds:.1f}"
        for name, seconds in evaluation["other_seconds"].items()
    )
    lines.append(
        f"\n{results['items']:,} items, d {results['dim']}, float32, "
        f"{results['cores']} CPU cores (load {results['load']}): "
        f"{results['ratio']:.2f} times numpy's users a second. Seconds of the "
        f"rest of the evaluation, within the same peak: {others}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
