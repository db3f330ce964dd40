"""Drives the local server with load on this machine.

    python -m benchmarks.serving --output benchmarks/results/serving.json
    python -m benchmarks.serving --quick --items 12000

Client and server share the machine's cores, so figures on few cores are of
both. Other programs that run meanwhile make them worse: the result says how
many cores others kept busy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

SIZES = (12_000, 1_000_000)


def main() -> int:
    """Measures, prints a table and writes the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--items", type=int, nargs="+", default=SIZES, help="catalogue sizes"
    )
    parser.add_argument("--output", type=Path, help="JSON file")
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of minutes"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    result = measure(arguments.items, arguments.quick)
    print(table(result))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def measure(sizes: list[int], quick: bool) -> dict[str, Any]:
    """All measurements; versions change and memory is seen at the first."""
    from benchmarks.peers.machine import busy_seconds
    from benchmarks.serving import model, scenarios

    plan = scenarios.Plan()
    if quick:
        plan = scenarios.Plan(
            seconds=1.0, callers=(1, 4), swap_seconds=10.0, memory_seconds=3.0
        )
    started, busy = time.perf_counter(), busy_seconds()
    result: dict[str, Any] = {"cores": os.cpu_count(), "sizes": []}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            directory = Path(folder) / str(size)
            model.write(directory / "1", size, plan.seed)
            found = scenarios.measure_size(directory, size, plan)
            result["sizes"].append(found)
        first = result["sizes"][0]
        rate = first["plain"]["saturation_per_second"] / 2
        directory = Path(folder) / str(sizes[0])
        result |= scenarios.measure_changes(directory, sizes[0], rate, plan)
    seconds = time.perf_counter() - started
    times = os.times()
    ours = sum(times[:4])
    result["seconds"] = round(seconds, 1)
    result["cores_busy_with_others"] = round(
        max(0.0, busy_seconds() - busy - ours) / seconds, 2
    )
    return result


def table(result: dict[str, Any]) -> str:
    """Markdown: a row per size, mode and rate."""
    lines = [
        "| items | served | load | requests/s | p50 | p95 | p99 | errors |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for size in result["sizes"]:
        items = size["items"]
        for key, load in (
            ("direct_ms", "one after another"),
            ("direct_with_pauses_ms", "10 ms between"),
        ):
            direct = size[key]
            lines.append(
                f"| {items:,} | direct call | {load} | | {direct['p50']} | "
                f"{direct['p95']} | {direct['p99']} | |"
            )
        for mode in ("plain", "batching"):
            for row in size[mode]["closed_loop"]:
                lines.append(_row(items, mode, f"{row['callers']} wait", row))
            for row in size[mode]["open_loop"]:
                most = size[mode]["saturation_per_second"]
                load = f"{row['share']:.0%} of {most:.0f}/s"
                lines.append(_row(items, mode, load, row))
    swap, memory = result["version_swap"], result["memory"]
    lines += [
        "",
        f"Version swap at {swap['rate']}/s: versions {swap['versions']}, "
        f"{swap['errors']} errors, p99 {swap['p99']} ms.",
        f"Memory over {memory['requests']} requests: "
        f"{memory['growth_mib']:+.1f} MiB ({memory['errors']} errors).",
        f"Other programs kept {result['cores_busy_with_others']} of "
        f"{result['cores']} cores busy; {result['seconds']} s in all.",
    ]
    return "\n".join(lines)


def _row(items: int, mode: str, load: str, row: dict[str, Any]) -> str:
    return (
        f"| {items:,} | {mode} | {load} | {row['answered_per_second']} | "
        f"{row['p50']} | {row['p95']} | {row['p99']} | {row['errors']} |"
    )


if __name__ == "__main__":
    sys.exit(main())
