"""Memory and seconds of a training step on the item table, by loss.

    python -m benchmarks.softmax_memory [--items 12000 180000 1000000] \
        [--positions 1152] [--limit-gib 4] [--output FILE.json]

One step is a loss with its gradients by the states and the table, and an Adam
step on the table, d 64. 1,152 positions are 128 sequences of 9, 6,272 are 128
of 49. The losses: TensorFlow's own full softmax (matmul and
sparse_softmax_cross_entropy_with_logits), this project's full softmax in
pieces, and scalable cross-entropy.

Every measurement is a process of its own that may hold no more data than
--limit-gib (RLIMIT_DATA, so Linux only; TensorFlow itself, the table and
Adam's two moments are within it). "cannot run" is what it ends with when an
allocation fails under that limit. Memory is the largest resident set of the
process (ru_maxrss), and how much that is above what was resident before the
first step. TensorFlow's allocator keeps some of what was freed, as the timing
of its threads has it: what needs nearly the limit may run once and not again.
Prints a Markdown table, writes JSON and the table beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from benchmarks.child import NoResultError, print_result, run_child

NAMES = {
    "tensorflow": "full softmax, TensorFlow's operations",
    "chunked": "full softmax, in pieces",
    "scalable": "scalable cross-entropy",
}
LOSSES = tuple(NAMES)
DIM = 64
GIB = 2**30
# how a failed allocation looks in what the process leaves behind: an error
# of TensorFlow's allocator, an abort from below it, or no room for a thread
_OUT_OF_MEMORY = (
    "OOM when allocating",
    "bad_alloc",
    "Cannot allocate memory",
    "pthread_create() failed",
)


def main() -> int:
    """Measures everything, or one loss in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--items", type=int, nargs="+", default=[12_000, 180_000, 1_000_000]
    )
    parser.add_argument("--positions", type=int, nargs="+", default=[128 * 9])
    parser.add_argument("--losses", choices=LOSSES, nargs="+", default=LOSSES)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--limit-gib", type=float, default=4.0)
    parser.add_argument("--output", help="JSON file; a .md is put beside it")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        limit = int(arguments.limit_gib * GIB)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        # here and not above: the process that waits needs no TensorFlow
        from benchmarks.softmax_step import measure

        result = measure(
            arguments.losses[0],
            arguments.items[0],
            arguments.positions[0],
            DIM,
            arguments.steps,
        )
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
    rows = []
    for num_items in arguments.items:
        for positions in arguments.positions:
            for loss in arguments.losses:
                print(
                    f"Measuring {loss}, {num_items:,} items, "
                    f"{positions:,} positions",
                    file=sys.stderr,
                    flush=True,
                )
                result = _measure_apart(arguments, loss, num_items, positions)
                rows.append(
                    {
                        "loss": loss,
                        "items": num_items,
                        "positions": positions,
                        # table, two moments: float32
                        "table_and_adam_gib": 3 * 4 * num_items * DIM / GIB,
                        "scores_gib": 4 * num_items * positions / GIB,
                        "result": result,
                    }
                )
    return {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "dim": DIM,
        "steps": arguments.steps,
        "limit_gib": arguments.limit_gib,
        "rows": rows,
    }


def _measure_apart(
    arguments: argparse.Namespace, loss: str, num_items: int, positions: int
) -> dict[str, Any] | None:
    """None where the memory allowed is not enough."""
    options = {
        "--one": None,
        "--losses": loss,
        "--items": num_items,
        "--positions": positions,
        "--steps": arguments.steps,
        "--limit-gib": arguments.limit_gib,
    }
    try:
        return run_child("benchmarks.softmax_memory", options)
    except NoResultError as error:
        if any(sign in error.stderr for sign in _OUT_OF_MEMORY):
            return None
        raise


def as_table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| items | positions | loss | seconds a step | peak, GiB "
        "| of it the step, GiB | table + Adam, GiB | all scores, GiB |",
        "| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in results["rows"]:
        found = row["result"]
        cells = (
            [f"{found[k]:.2f}" for k in ("peak_gib", "added_gib")]
            if found
            else ["", ""]
        )
        seconds = f"{found['seconds']:.3f}" if found else "cannot run"
        lines.append(
            f"| {row['items']:,} | {row['positions']:,} "
            f"| {NAMES[row['loss']]} | {seconds} | {cells[0]} | {cells[1]} "
            f"| {row['table_and_adam_gib']:.2f} | {row['scores_gib']:.2f} |"
        )
    lines.append(
        f"\nd {results['dim']}, float32, median of {results['steps']} steps, "
        f"{results['cores']} CPU cores (load {results['load']}), at most "
        f"{results['limit_gib']:g} GiB of data a process."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
