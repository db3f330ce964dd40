"""Writes the generated log of the ingest benchmark.

python -m benchmarks.ingest.logs --events 20000000 --output FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

_CHUNK = 1_000_000
_DAYS = 365
_START = 1_700_000_000


def write_log(folder: Path, events: int, seed: int = 0) -> Path:
    """Writes one gzipped CSV file of `events` rows and returns its path.

    Users and items are drawn by Zipf-like laws (100 events a user on
    average, an item catalogue that grows with the square root of the
    events), times uniformly, so the rows are in no order at all: the worst
    case for whoever has to sort them.

    Args:
        folder: gets `events-<n>.csv.gz`; an existing file is kept.
        events: number of rows.
        seed: of all draws.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events-{events}.csv.gz"
    if path.exists():
        return path
    generator = np.random.default_rng(seed)
    num_users = max(events // 100, 1)
    num_items = max(int(10 * np.sqrt(events)), 1)
    part = path.with_suffix(".part")
    with pa.output_stream(str(part), compression="gzip") as raw:
        for start in range(0, events, _CHUNK):
            size = min(_CHUNK, events - start)
            table = pa.table(
                {
                    "user_id": _ids(generator, "u", num_users, size),
                    "item_id": _ids(generator, "i", num_items, size),
                    "timestamp": generator.integers(
                        _START, _START + _DAYS * 86_400, size
                    ),
                }
            )
            csv.write_csv(
                table, raw, csv.WriteOptions(include_header=start == 0)
            )
    part.rename(path)
    return path


def _ids(
    generator: np.random.Generator, letter: str, number: int, size: int
) -> pa.Array:
    """[size] ids such as u0001234, small numbers more often."""
    drawn = (number * generator.random(size) ** 2).astype(np.int64)
    names = np.char.zfill(np.arange(number).astype("U7"), 7)
    dictionary = pa.array([f"{letter}{name}" for name in names])
    return pa.DictionaryArray.from_arrays(
        pa.array(drawn, pa.int32()), dictionary
    ).cast(pa.string())


def main() -> None:
    """Writes the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    print(write_log(arguments.output, arguments.events))


if __name__ == "__main__":
    main()
