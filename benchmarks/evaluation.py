"""Users per second and memory of the evaluation, beside a plain numpy top-k.

    python -m benchmarks.evaluation [--users 100000] [--items 100000]
        [--batches 20] [--output FILE.json]

Made-up histories of 20 events, an exported SavedModel whose user vector is
that of the newest item, d 64. First everything that RankingEvaluator does with
them, from the examples on disk to metrics, comparisons and slices: every
user's last target is ranked among all items twice, seen items kept and
filtered, through the SavedModel's own signature and string ids, and the
rankings are written and read back. Its largest resident set (ru_maxrss) is
the memory that an evaluation needs.

Then batches of 512 users in turn with numpy, so that both meet the same load:
the evaluator's step (parse, both settings through the SavedModel, checks of
the answers, ranks, tables) and the same product of float32 vectors with
numpy's argpartition and a sort of the best 100 for both settings, which
writes nothing. Medians; the ratio is theirs. Prints a Markdown table, writes
JSON and the table beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.child import print_result, run_child

STAGES = ("data", "evaluation", "batches")


def main() -> int:
    """Measures everything, or one stage in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--output", help="JSON file; a .md is put beside it")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        # here and not above: the process that waits needs no TensorFlow
        from benchmarks import evaluation_stages

        result = evaluation_stages.run(arguments.stage, arguments)
        print_result(result)
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
    evaluation, batches = found["evaluation"], found["batches"]
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "users": arguments.users,
        "items": arguments.items,
        "dim": found["data"]["dim"],
        "evaluation": evaluation
        | {"users_per_second": arguments.users / evaluation["model_seconds"]},
        "batches": batches
        | {
            "users_per_second": batches["batch"] / batches["seconds"],
            "numpy_users_per_second": batches["batch"]
            / batches["numpy_seconds"],
            "ratio": batches["numpy_seconds"] / batches["seconds"],
        },
    }


def _apart(
    stage: str, folder: str, arguments: argparse.Namespace
) -> dict[str, Any]:
    options = {
        "--stage": stage,
        "--folder": folder,
        "--users": arguments.users,
        "--items": arguments.items,
        "--batches": arguments.batches,
    }
    return run_child("benchmarks.evaluation", options)


def as_table(results: dict[str, Any]) -> str:
    """Markdown."""
    evaluation, batches = results["evaluation"], results["batches"]
    others = ", ".join(
        f"{name} {seconds:.0f}"
        for name, seconds in evaluation["other_seconds"].items()
    )
    return "\n".join(
        [
            "| batches in turn, kept and filtered | users a second |",
            "| --- | ---: |",
            f"| evaluator | {batches['users_per_second']:,.0f} |",
            "| numpy's argpartition "
            f"| {batches['numpy_users_per_second']:,.0f} |",
            f"| ratio | {batches['ratio']:.2f} |",
            "",
            f"The whole evaluation of {results['users']:,} users against "
            f"{results['items']:,} items (d {results['dim']}, float32): peak "
            f"{evaluation['peak_gib']:.2f} GiB. Seconds on "
            f"{results['cores']} CPU cores that others used as well (load "
            f"{results['load']} at the end): the model "
            f"{evaluation['model_seconds']:.0f}, {others}.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
