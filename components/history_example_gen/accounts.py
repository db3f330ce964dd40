"""What became of every log row, in counts.

The accounts of all blocks meet on one worker, so none of them grows with its
rows: dead letters are counted, shown and left where they are (`letters`).
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from components.history_example_gen import event_types, rules
from components.history_example_gen.histories import BucketHistories
from components.history_example_gen.logs import LogFile
from components.history_example_gen.rows import Block
from components.history_example_gen.time_units import find_wrong_units

# Of no log of a shop: 1980-01-01, unix seconds.
EARLY = 315_532_800
_SAMPLES = 3
_SAMPLE_TEXT = 160


@dataclasses.dataclass(frozen=True)
class BlockAccount:
    """Rows of one block of a file.

    Attributes:
        path: the file.
        file_order: rank of the file by name.
        first_line: of the block.
        num_rows: used, dropped and unusable rows; blank lines are no rows.
        dead: unusable rows per column, then per reason, as they are met.
        samples: the first three of them per column, as file:line and text.
        dropped: rule to usable rows that it dropped.
        other_units: see `time_units`.
        event_types: usable rows per event type, see `event_types`.
    """

    path: str
    file_order: int
    first_line: int
    num_rows: int
    dead: dict[str, dict[str, int]]
    samples: dict[str, list[dict[str, str]]]
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    other_units: dict[str, int] = dataclasses.field(default_factory=dict)
    event_types: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BucketAccount:
    """Events of one bucket of users.

    Attributes:
        num_users: with an event that is used.
        num_used: events.
        item_ids: [n] binary, their distinct items.
        dropped: events that each rule dropped.
        first: unix seconds of the first event, None without events.
        last: of the last one.
        num_early: events before 1980.
        longest: user with the most events (the first of several), and how
            many; None without events.
    """

    num_users: int
    num_used: int
    item_ids: pa.Array
    dropped: dict[str, int]
    first: int | None = None
    last: int | None = None
    num_early: int = 0
    longest: tuple[str, int] | None = None


def account_of_block(
    log: LogFile, first_line: int, block: Block
) -> BlockAccount:
    """The account of a block.

    Args:
        log: the file that it is of.
        first_line: number of its first line.
        block: its rows.
    """
    dead: dict[str, dict[str, int]] = {}
    samples: dict[str, list[dict[str, str]]] = {}
    for bad in block.bad_rows:
        reasons = dead.setdefault(bad.column, {})
        reasons[bad.reason] = reasons.get(bad.reason, 0) + 1
        shown = samples.setdefault(bad.column, [])
        if len(shown) < _SAMPLES:
            where = f"{log.path}:{bad.line}"
            shown.append({"where": where, "row": bad.text[:_SAMPLE_TEXT]})
    return BlockAccount(
        log.path,
        log.order,
        first_line,
        block.num_rows,
        dead,
        samples,
        block.dropped,
        block.other_units,
        block.event_types,
    )


def account_of(
    histories: BucketHistories, dropped: dict[str, int], keys_per_second: int
) -> BucketAccount:
    """The account of a bucket.

    Args:
        histories: those that are used.
        dropped: events that each rule dropped.
        keys_per_second: unit of the sort keys.
    """
    keys = histories.keys
    return BucketAccount(
        histories.num_users,
        histories.num_events,
        histories.item_ids,
        dropped,
        int(keys.min()) // keys_per_second if len(keys) else None,
        int(keys.max()) // keys_per_second if len(keys) else None,
        int(np.count_nonzero(keys < EARLY * keys_per_second)),
        _longest(histories),
    )


def _longest(histories: BucketHistories) -> tuple[str, int] | None:
    if not histories.num_users:
        return None
    lengths = np.diff(histories.offsets)
    user = int(lengths.argmax())
    name = histories.user_ids[user].as_py().decode("utf-8", "replace")
    return name, int(lengths[user])


def summarize(
    num_files: int, blocks: list[BlockAccount], buckets: list[BucketAccount]
) -> dict[str, Any]:
    """Counts of an ingest, the content of `ingest.json`.

    rows = used + all of `dropped` + all of `dead`.

    Returns:
        files, rows, used, users and items; `dropped`: rows per rule, in the
        order the rules apply; `dead`: rows per reason; `event_types`: usable
        rows per type, the most frequent first, where `keep` looks at them;
        `times` of the used events: `first` and `last` (UTC, null without
        events), and how many lie `before_1980`;
        `dead_columns`: rows per column, then per reason; `samples`: up to
        three rows per column, as file:line and text; `wrong_units`: what
        `time_units.find_wrong_units` returns; `longest`: the `user` with the
        most used `events`, null without events.

    Raises:
        RuntimeError: rows were lost or doubled on the way (a bug).
    """
    dead: collections.Counter[str] = collections.Counter()
    columns: dict[str, collections.Counter[str]] = {}
    samples: dict[str, list[dict[str, str]]] = {}
    for block in sorted(blocks, key=lambda b: (b.file_order, b.first_line)):
        for name, reasons in block.dead.items():
            dead.update(reasons)
            columns.setdefault(name, collections.Counter()).update(reasons)
            shown = samples.setdefault(name, [])
            shown += block.samples[name][: _SAMPLES - len(shown)]
    num_rows = sum(block.num_rows for block in blocks)
    num_used = sum(bucket.num_used for bucket in buckets)
    dropped = rules.total(
        [b.dropped for b in blocks] + [b.dropped for b in buckets]
    )
    if num_rows != num_used + sum(dropped.values()) + dead.total():
        raise RuntimeError(
            f"{num_rows} rows were read, but {num_used} used, "
            f"{sum(dropped.values())} dropped and {dead.total()} set aside: "
            "some were lost or doubled."
        )
    items = [bucket.item_ids for bucket in buckets]
    first = [bucket.first for bucket in buckets if bucket.first is not None]
    last = [bucket.last for bucket in buckets if bucket.last is not None]
    return {
        "files": num_files,
        "rows": num_rows,
        "used": num_used,
        "dropped": dropped,
        "dead": dict(sorted(dead.items())),
        "event_types": event_types.total(b.event_types for b in blocks),
        "users": sum(bucket.num_users for bucket in buckets),
        "items": len(pa.concat_arrays(items).unique()) if items else 0,
        "times": {
            "first": _utc(min(first)) if first else None,
            "last": _utc(max(last)) if last else None,
            "before_1980": sum(bucket.num_early for bucket in buckets),
        },
        "dead_columns": {name: dict(n) for name, n in columns.items()},
        "samples": samples,
        "wrong_units": find_wrong_units(blocks),
        "longest": _longest_of(buckets),
    }


def _longest_of(buckets: list[BucketAccount]) -> dict[str, Any] | None:
    found = [bucket.longest for bucket in buckets if bucket.longest]
    if not found:
        return None
    user, events = min(found, key=lambda pair: (-pair[1], pair[0]))
    return {"user": user, "events": events}


def _utc(second: int) -> str:
    # numpy knows years beyond 9999, which `latest_time: null` allows.
    return str(np.datetime64(second, "s")).replace("T", " ")
