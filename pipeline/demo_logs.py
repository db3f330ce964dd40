"""Writes the logs of a made-up shop, for trying the pipeline.

    python -m pipeline.demo_logs --output data/demo

The shop has what the models are to find. Items form communities and each
user likes mostly one or two of them (taste, for a graph); after an item one
of its few successors is likely (order, for a sequence model); popularity
drifts, users and items appear late, most users come back until the end, and
a few rows are broken. The same settings write the same bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import gzip
import os
import re
import sys
from collections.abc import Sequence

import numpy as np

from pipeline.demo_shop import DemoConfig, Events, draw_events

_FIRST_DAY = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
_FILE_NAME = re.compile(r"events-\d{4}-\d{2}\.csv\.gz")
_HEADER = "user_id,item_id,timestamp"
_BROKEN_SHARE = 0.0015


@dataclasses.dataclass(frozen=True)
class DemoCounts:
    """What was written; `rows` are `events` usable and `broken` others."""

    files: int
    rows: int
    events: int
    broken: int
    users: int
    items: int


def write_demo_logs(output: str, config: DemoConfig) -> DemoCounts:
    """Writes one gzipped CSV file a month, replacing those of before.

    Args:
        output: folder; files of other names in it are left alone.
        config: size and seed.
    """
    random = np.random.default_rng(config.seed)
    events, items = draw_events(random, config)
    rows, times = _to_rows(random, config, events, items)
    num_broken = len(rows) - config.events
    order = np.argsort(times, kind="stable")
    num_files = _write_months(output, rows, times, order)
    return DemoCounts(
        files=num_files,
        rows=len(rows),
        events=config.events,
        broken=num_broken,
        users=len(np.unique(events.users)),
        items=len(np.unique(items)),
    )


def _to_rows(
    random: np.random.Generator,
    config: DemoConfig,
    events: Events,
    items: np.ndarray,
) -> tuple[list[str], np.ndarray]:
    """The lines of the log, broken ones at the end, and their times."""
    # Numbers say nothing about taste, community or time of arrival.
    user_numbers = random.permutation(config.users).tolist()
    item_numbers = random.permutation(config.items).tolist()
    start = int(_FIRST_DAY.timestamp())
    fields = [
        (
            f"u{user_numbers[u]:05d}",
            f"sku-{item_numbers[i]:04d}",
            str(start + t),
        )
        for u, i, t in zip(
            events.users.tolist(),
            items.tolist(),
            events.times.tolist(),
            strict=True,
        )
    ]
    damage = (
        lambda u, i, t: f"{u},,{t}",
        lambda u, i, t: f",{i},{t}",
        lambda u, i, t: f"{u},{i},",
        lambda u, i, t: f"{u},{i},soon",
        lambda u, i, t: f"{u},{i}",
        lambda u, i, t: f"{u},{i},{t},1",
    )
    chosen = random.integers(
        len(fields), size=round(_BROKEN_SHARE * len(fields))
    )
    broken = [
        damage[number % len(damage)](*fields[event])
        for number, event in enumerate(chosen.tolist())
    ]
    rows = [",".join(row) for row in fields] + broken
    return rows, np.concatenate([events.times, events.times[chosen]])


def _write_months(
    output: str, rows: list[str], times: np.ndarray, order: np.ndarray
) -> int:
    """Writes the rows in `order`, a file a month; returns how many files."""
    os.makedirs(output, exist_ok=True)
    for name in os.listdir(output):
        if _FILE_NAME.fullmatch(name):
            os.remove(os.path.join(output, name))
    start = np.datetime64(_FIRST_DAY.date(), "s")
    months = (start + times[order].astype("timedelta64[s]")).astype(
        "datetime64[M]"
    )
    names = np.unique(months)
    for month in names:
        lines = [_HEADER, *(rows[row] for row in order[months == month])]
        path = os.path.join(output, f"events-{month}.csv.gz")
        # No time of writing in the file: equal logs are equal bytes.
        with (
            open(path, "wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream,
        ):
            stream.write("\n".join(lines).encode() + b"\n")
    return len(names)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Writes demo logs.")
    parser.add_argument("--output", required=True, help="folder to write to")
    for field in dataclasses.fields(DemoConfig):
        parser.add_argument(
            f"--{field.name}",
            type=int,
            default=field.default,
            help="default: %(default)s",
        )
    options = vars(parser.parse_args(arguments))
    output = options.pop("output")
    try:
        counts = write_demo_logs(output, DemoConfig(**options))
    except ValueError as error:
        sys.exit(f"demo_logs: {error}")
    print(
        f"Demo logs in {output}: {counts.files} files, {counts.rows:,} rows "
        f"({counts.events:,} events, {counts.broken:,} broken), "
        f"{counts.users:,} users, {counts.items:,} items."
    )


if __name__ == "__main__":
    main()
