"""How the seconds of our epoch grow with events and with items.

    python -m benchmarks.peers.scaling --epochs 3 --output FILE.json

Generated data of 1, 2 and 4 times the events with the same catalogue, and of
1, 2 and 4 times the catalogue with the same events. The sizes take turns, one
epoch each; the first does not count; medians of the others. A slope is that
of log seconds over log size: 1 is linear growth. LightGCN is given per step,
because each of its steps propagates over the whole graph: its epoch grows
with the square of the events.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import ours
from benchmarks.peers.interactions import Interactions, generate
from benchmarks.peers.machine import OtherLoad
from benchmarks.peers.settings import Settings
from benchmarks.publish import publish

FACTORS = (1, 2, 4)


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints."""
    options = _parser().parse_args(arguments)
    settings = Settings(newest=options.newest, threads=options.threads)
    ours.use_cpu(settings.threads)
    load = OtherLoad()
    measured = measure(options.users, options.items, settings, options.epochs)
    results = {
        "settings": dataclasses.asdict(settings),
        "cores": os.cpu_count(),
        "versions": ours.versions(),
        "others_cores": load.cores(of_peer=0.0),
        **measured,
    }
    publish(results, options.output)
    return 0


def measure(
    users: int, items: int, settings: Settings, epochs: int
) -> dict[str, Any]:
    """Seconds and slopes of both models over both kinds of growth.

    Args:
        users: of the smallest data.
        items: of the smallest catalogue.
        settings: sizes of the models.
        epochs: that count, after one that does not.
    """
    # (users, items) as factors, the first of both kinds being the same
    grid = [(factor, 1) for factor in FACTORS]
    grid += [(1, factor) for factor in FACTORS[1:]]
    data = {
        (u, i): generate(users * u, items * i, settings.newest) for u, i in grid
    }
    results: dict[str, Any] = {}
    for model, unit in ((ours.SASREC, "epoch"), (ours.LIGHTGCN, "step")):
        seconds = _seconds(model, data, settings, epochs)
        if unit == "step":
            for place, interactions in data.items():
                edges = interactions.sizes()["edges"]
                seconds[place] /= math.ceil(edges / settings.graph_batch_size)
        results[model] = {
            "events": _growth(
                [data[factor, 1] for factor in FACTORS],
                [seconds[factor, 1] for factor in FACTORS],
                "edges" if unit == "step" else "positions",
                unit,
            ),
            "items": _growth(
                [data[1, factor] for factor in FACTORS],
                [seconds[1, factor] for factor in FACTORS],
                "items",
                unit,
            ),
        }
    return results


def slope(sizes: list[int], seconds: list[float]) -> float:
    """The exponent b of seconds = a * size ** b, by least squares on logs."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _seconds(
    model: str,
    data: dict[tuple[int, int], Interactions],
    settings: Settings,
    epochs: int,
) -> dict[tuple[int, int], float]:
    """Median seconds of an epoch for each of the data."""
    runs = {
        place: ours.OurEpochs(model, interactions, settings)
        for place, interactions in data.items()
    }
    seconds: dict[tuple[int, int], list[float]] = {place: [] for place in runs}
    for epoch in range(epochs + 1):
        for place, run in runs.items():
            seconds[place].append(run.run().seconds)
            print(
                f"{model} epoch {epoch}, {place[0]}x events, {place[1]}x "
                f"items: {seconds[place][-1]:.2f} s",
                file=sys.stderr,
            )
    return {place: statistics.median(of[1:]) for place, of in seconds.items()}


def _growth(
    data: list[Interactions], seconds: list[float], of: str, unit: str
) -> dict[str, Any]:
    sizes = [interactions.sizes() for interactions in data]
    return {
        "sizes": sizes,
        f"{unit}_seconds": seconds,
        "slope_over": of,
        "slope": slope([size[of] for size in sizes], seconds),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--users", type=int, default=18_474)
    parser.add_argument("--items", type=int, default=11_542)
    parser.add_argument("--newest", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
