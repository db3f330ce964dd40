"""What became of every log row: dead letters, counts and the verdict."""

from __future__ import annotations

import collections
import dataclasses
import gzip
import json
import os
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from tfx.dsl.io import fileio

from components.history_example_gen import rows as reasons
from components.history_example_gen import rules
from components.history_example_gen.config import LogsConfig
from components.history_example_gen.readers import LogsError
from components.history_example_gen.rows import BadRow
from components.history_example_gen.time_units import (
    describe_wrong_units,
    find_wrong_units,
)

DEAD_LETTERS_FILE = "dead_letters.jsonl.gz"
INGEST_FILE = "ingest.json"
_SAMPLES = 3
_SAMPLE_TEXT = 160
_MEANING = {
    reasons.WRONG_COLUMNS: "wrong number of columns",
    reasons.UNCLOSED_QUOTE: "quote not closed on its line",
    reasons.EMPTY_FIELD: "empty field",
    reasons.NOT_UTF8: "not UTF-8",
    reasons.UNREADABLE_TIME: "unreadable time",
    reasons.IMPOSSIBLE_TIME: "time before 1970, too late or not finite",
    reasons.TOO_EARLY_TIME: "time before logs.earliest_time",
    reasons.FUTURE_TIME: "time after logs.latest_time",
    reasons.NOT_JSON: "no JSON object",
    reasons.MISSING_VALUE: "missing or null value",
    reasons.NESTED_VALUE: "nested value",
    reasons.UNREADABLE_WEIGHT: "missing or unreadable weight",
}


@dataclasses.dataclass(frozen=True)
class BlockAccount:
    """Rows of one block of a file.

    Attributes:
        path: the file.
        file_order: rank of the file by name.
        first_line: of the block.
        num_rows: used, dropped and unusable rows; blank lines are no rows.
        bad_rows: the unusable ones.
        dropped: rule to usable rows that it dropped.
        other_units: see `time_units`.
    """

    path: str
    file_order: int
    first_line: int
    num_rows: int
    bad_rows: list[BadRow]
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    other_units: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BucketAccount:
    """Events of one bucket of users.

    Attributes:
        num_users: with an event that is used.
        num_used: events.
        item_ids: [n] binary, their distinct items.
        dropped: events that each rule dropped.
    """

    num_users: int
    num_used: int
    item_ids: pa.Array
    dropped: dict[str, int]


def write_dead_letters(folder: str, blocks: Iterable[BlockAccount]) -> None:
    """Writes all unusable rows as gzipped JSON lines, in log order.

    The fields are file, line, column, reason and row. The file is written
    also where there is no such row.
    """
    ordered = sorted(blocks, key=lambda b: (b.file_order, b.first_line))
    with (
        fileio.open(os.path.join(folder, DEAD_LETTERS_FILE), "wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream,
    ):
        for block in ordered:
            for bad in block.bad_rows:
                letter = {
                    "file": block.path,
                    "line": bad.line,
                    "column": bad.column,
                    "reason": bad.reason,
                    "row": bad.text,
                }
                text = json.dumps(letter, ensure_ascii=False)
                stream.write(text.encode() + b"\n")


def summarize(
    num_files: int, blocks: list[BlockAccount], buckets: list[BucketAccount]
) -> dict[str, Any]:
    """Counts of an ingest, the content of `ingest.json`.

    rows = used + all of `dropped` + all of `dead`.

    Returns:
        files, rows, used, users and items; `dropped`: rows per rule, in the
        order the rules apply; `dead`: rows per reason;
        `dead_columns`: rows per column, then per reason; `samples`: up to
        three rows per column, as file:line and text; `wrong_units`: what
        `time_units.find_wrong_units` returns.

    Raises:
        RuntimeError: rows were lost or doubled on the way (a bug).
    """
    dead: collections.Counter[str] = collections.Counter()
    columns: dict[str, collections.Counter[str]] = {}
    samples: dict[str, list[dict[str, Any]]] = {}
    for block in sorted(blocks, key=lambda b: (b.file_order, b.first_line)):
        for bad in block.bad_rows:
            dead[bad.reason] += 1
            counts = columns.setdefault(bad.column, collections.Counter())
            counts[bad.reason] += 1
            shown = samples.setdefault(bad.column, [])
            if len(shown) < _SAMPLES:
                where = f"{block.path}:{bad.line}"
                shown.append({"where": where, "row": bad.text[:_SAMPLE_TEXT]})
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
    return {
        "files": num_files,
        "rows": num_rows,
        "used": num_used,
        "dropped": dropped,
        "dead": dict(sorted(dead.items())),
        "users": sum(bucket.num_users for bucket in buckets),
        "items": len(pa.concat_arrays(items).unique()) if items else 0,
        "dead_columns": {name: dict(n) for name, n in columns.items()},
        "samples": samples,
        "wrong_units": find_wrong_units(blocks),
    }


def describe(ingest: dict[str, Any]) -> str:
    """One line of counts; every row is in it once."""
    parts = [f"{ingest['used']:,} used"]
    for name, counts, meaning in (
        ("dropped", ingest["dropped"], rules.MEANING),
        ("set aside", ingest["dead"], _MEANING),
    ):
        why = "; ".join(f"{meaning[k]}: {n:,}" for k, n in counts.items())
        if why or name == "set aside":
            parts.append(
                f"{sum(counts.values()):,} {name}{f' ({why})' if why else ''}"
            )
    return (
        f"HistoryExampleGen: {ingest['rows']:,} rows of {ingest['files']:,} "
        f"files: {', '.join(parts)}; {ingest['users']:,} users, "
        f"{ingest['items']:,} items."
    )


def check(
    ingest: dict[str, Any], config: LogsConfig, letters: str | None = None
) -> None:
    """Raises where the logs are empty or too many rows are unusable.

    Args:
        ingest: what `summarize` returned.
        config: how the logs were read.
        letters: path of the dead letters, for the message.

    Raises:
        LogsError: the times of a file seem to be in another unit; or too
            many rows are unusable: then it names the worst column, its count
            and share, and shows three of its rows.
    """
    num_rows, num_dead = ingest["rows"], sum(ingest["dead"].values())
    if not num_rows:
        raise LogsError(
            f"The log is empty: the {ingest['files']} files matching "
            f"`logs.pattern` {config.pattern!r} in `logs.path` "
            f"{config.path!r} have no rows. Point these keys to files with "
            "events."
        )
    if ingest["wrong_units"]:
        raise LogsError(
            describe_wrong_units(
                ingest["wrong_units"], config.time_unit, ingest["files"]
            )
            + (f" All unusable rows: {letters}" if letters else "")
        )
    if num_dead <= config.max_bad_row_share * num_rows:
        if ingest["used"]:
            return
        if ingest["dropped"]:
            raise LogsError(
                rules.describe_all_dropped(ingest["dropped"], num_rows)
            )
    worst, counts = max(
        ingest["dead_columns"].items(), key=lambda c: sum(c[1].values())
    )
    count = sum(counts.values())
    why = ", ".join(
        f"{_MEANING[reason]}: {n:,}" for reason, n in sorted(counts.items())
    )
    samples = "\n".join(
        f"  {s['where']}: {s['row']}" for s in ingest["samples"][worst]
    )
    name = worst if worst == reasons.WHOLE_ROW else f"column `{worst}`"
    raise LogsError(
        f"{num_dead:,} of {num_rows:,} log rows ({num_dead / num_rows:.2%}) "
        "cannot be used; `logs.max_bad_row_share` allows "
        f"{config.max_bad_row_share:.2%}. Worst: {name}, {count:,} rows "
        f"({count / num_rows:.2%} of all; {why}), such as\n{samples}\n"
        f"{_advice(counts, config)}"
        + (f" All of them, with their reasons: {letters}" if letters else "")
    )


def _advice(counts: dict[str, int], config: LogsConfig) -> str:
    """What to do about the most frequent reason of the worst column."""
    raise_share = "or raise `logs.max_bad_row_share` to go on without them."
    match max(counts, key=lambda reason: counts[reason]):
        case reasons.UNREADABLE_TIME | reasons.IMPOSSIBLE_TIME:
            return (
                f"Check `logs.time_unit` (now {config.time_unit}) and "
                f"`logs.columns.timestamp`, repair the rows, {raise_share}"
            )
        case reasons.TOO_EARLY_TIME | reasons.FUTURE_TIME:
            return (
                f"Check `logs.time_unit` (now {config.time_unit}), "
                f"`logs.earliest_time` ({config.earliest_time}) and "
                f"`logs.latest_time` ({config.latest_time}), {raise_share}"
            )
        case reasons.NOT_JSON:
            return (
                "Check `logs.format` (now json_lines: one object a line), "
                f"repair the rows, {raise_share}"
            )
        case reasons.UNREADABLE_WEIGHT:
            return (
                "Check `logs.columns.weight`, set `logs.keep.min_weight: "
                f"null`, repair the rows, {raise_share}"
            )
        case reasons.WRONG_COLUMNS:
            return (
                f"Check `logs.separator` (now {config.separator!r}), repair "
                f"the rows, {raise_share}"
            )
        case reasons.UNCLOSED_QUOTE:
            return (
                "Set `logs.quotes: false` where a quote is a character like "
                "any other, join fields broken over several lines, "
                f"{raise_share}"
            )
        case reasons.NOT_UTF8:
            return f"Convert the files to UTF-8, {raise_share}"
    return f"Repair the rows, {raise_share}"
