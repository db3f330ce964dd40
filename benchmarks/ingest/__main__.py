"""Times HistoryExampleGen beside the plain program of `reference`.

    python -m benchmarks.ingest --movielens ratings.dat.gz \
        --data FOLDER --output benchmarks/results/ingest.json

Every measurement is a process of its own: imports are left out of the
seconds, the peak of its resident memory is the whole process. Rounds
alternate between the two programs; medians are reported. The histories of
both are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.ingest.logs import write_log

PROGRAMS = ("reference", "history_example_gen")


def main() -> int:
    """Runs all measurements and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--movielens", type=Path, help="ratings.dat.gz")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--events", type=int, nargs="*", default=[1_000_000, 20_000_000]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    logs: dict[str, tuple[Path, bool]] = {}
    if arguments.movielens:
        logs["movielens-1m"] = (arguments.movielens, True)
    for events in arguments.events:
        logs[f"generated-{events}"] = (
            write_log(arguments.data, events),
            False,
        )
    results = {
        name: _compare(log, movielens, arguments.rounds)
        for name, (log, movielens) in logs.items()
    }
    print(table(results))
    if arguments.output:
        content = {"cores": os.cpu_count(), "logs": results}
        arguments.output.write_text(json.dumps(content, indent=1) + "\n")
    return 0


def _compare(log: Path, movielens: bool, rounds: int) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {p: [] for p in PROGRAMS}
    for _ in range(rounds):
        for program in PROGRAMS:
            runs[program].append(_measure(program, log, movielens))
    digests = {run["digest"] for of in runs.values() for run in of}
    if len(digests) != 1:
        raise RuntimeError(f"The histories of {log.name} differ: {digests}.")
    return {
        program: {
            "events": of[0]["events"],
            "seconds": statistics.median(run["seconds"] for run in of),
            "all_seconds": [run["seconds"] for run in of],
            "peak_gib": max(run["peak_gib"] for run in of),
        }
        for program, of in runs.items()
    }


def _measure(program: str, log: Path, movielens: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.ingest.measure"]
        command += [program, str(log), folder]
        if movielens:
            command.append("--movielens")
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def table(results: dict[str, Any]) -> str:
    """Markdown: seconds, ratio and peak memory."""
    lines = [
        "| log | plain program, s | HistoryExampleGen, s | ratio | "
        "us per event | peak GiB (plain) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        plain, ours = (result[program] for program in PROGRAMS)
        lines.append(
            f"| {name} | {plain['seconds']:.2f} | {ours['seconds']:.2f} | "
            f"{ours['seconds'] / plain['seconds']:.2f} | "
            f"{1e6 * ours['seconds'] / ours['events']:.2f} | "
            f"{ours['peak_gib']:.2f} ({plain['peak_gib']:.2f}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
