"""From the columns of a block of rows to events and unusable rows.

What is common to all formats: which values are missing, which ids are no
text, which times cannot be, and the rules that look at single rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.history_example_gen import event_types, rules
from components.history_example_gen.config import LogsConfig
from components.history_example_gen.ids import (
    EMPTY_FIELD,
    MISSING_VALUE,
    NOT_UTF8,
    Ids,
)
from components.history_example_gen.ids import LINE_BREAK as LINE_BREAK
from components.history_example_gen.logs import LogFile
from components.history_example_gen.texts import (
    check_utf8,
    is_text,
    strip_fields,
)
from components.history_example_gen.times import (
    KEYS_PER_SECOND,
    Times,
    read_times,
)
from components.splits import date_cut

WRONG_COLUMNS = "wrong_number_of_columns"
UNCLOSED_QUOTE = "unclosed_quote"
NOT_JSON = "no_json_object"
NESTED_VALUE = "nested_value"
UNREADABLE_TIME = "unreadable_time"
IMPOSSIBLE_TIME = "impossible_time"
TOO_EARLY_TIME = "too_early_time"
FUTURE_TIME = "future_time"
UNREADABLE_WEIGHT = "unreadable_weight"
WHOLE_ROW = "whole row"
MAX_TEXT = 500
# Index of a row in its block to (column at fault, reason).
Faults = dict[int, tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        line: number of the line in the file from 1, of the row for Parquet.
        column: which column is at fault, or WHOLE_ROW.
        reason: one of the reasons of this module.
        text: the row as written, cut after 500 characters; for Parquet its
            configured columns as JSON.
    """

    line: int
    column: str
    reason: str
    text: str


@dataclasses.dataclass(frozen=True)
class Block:
    """The events of a block of rows in log order, and the other rows.

    Attributes:
        users: [n] dictionary of binary, which may hold ids without a row.
        items: the same.
        keys: [n] int64 sort keys, see `times.KEYS_PER_SECOND`.
        bad_rows: unusable ones, in log order.
        dropped: rule (see `rules`) to usable rows that it dropped, without
            zeros.
        other_units: what the times seem to be written in to their number,
            see `time_units.count_other_units`.
        event_types: usable rows per event type, see `event_types.count`;
            empty where all are kept.
    """

    users: pa.Array
    items: pa.Array
    keys: np.ndarray
    bad_rows: list[BadRow]
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)
    other_units: dict[str, int] = dataclasses.field(default_factory=dict)
    event_types: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        dropped = sum(self.dropped.values())
        return len(self.keys) + len(self.bad_rows) + dropped


@dataclasses.dataclass(frozen=True)
class Fields:
    """Columns of the rows `kept` of a block, and what is wrong with others.

    Attributes:
        columns: those of `LogsConfig.roles`, [n] each, null where a value is
            missing. Ids and event types are text (binary); times and weights
            are text, numbers or timestamps.
        kept: [n] indices of rows in the block, ascending.
        faults: of the other rows.
    """

    columns: list[pa.Array]
    kept: np.ndarray
    faults: Faults


def to_block(
    fields: Fields,
    log: LogFile,
    config: LogsConfig,
    describe: Callable[[Faults], list[BadRow]],
) -> Block:
    """Sorts out the rows of a block.

    Args:
        fields: the columns as read.
        log: the file, with the names of the columns and the time limits.
        config: which rows to keep.
        describe: makes bad rows of faults.
    """
    columns = dict(zip(config.roles, fields.columns, strict=True))
    names = dict(zip(config.roles, log.names, strict=True))
    rows = _Rows(fields)
    for role in ("user", "item"):
        ids = Ids(columns[role], config)
        for mask, reason in ids.faults():
            rows.reject(mask, names[role], reason)
        columns[role] = ids.values
    times = _check_times(rows, columns["timestamp"], log, config)
    types: dict[str, int] = {}
    if config.keep.event_types:
        kinds = columns["event_type"]
        if config.format == "delimited":
            kinds = strip_fields(kinds)
        types = event_types.count(kinds.filter(pa.array(rows.left)))
        kept = event_types.are_kept(kinds, config.keep.event_types)
        rows.drop(~kept, rules.EVENT_TYPE)
    if config.keep.min_weight is not None:
        weights, unreadable = rules.read_weights(columns["weight"])
        rows.reject(unreadable, names["weight"], UNREADABLE_WEIGHT)
        rows.drop(weights < config.keep.min_weight, rules.MIN_WEIGHT)
    if config.keep.until is not None:
        last = date_cut(config.keep.until, "until")
        last *= KEYS_PER_SECOND[config.time_unit]
        rows.drop(times.keys > last, rules.UNTIL)
    users, items = columns["user"], columns["item"]
    if not rows.left.all():
        mask = pa.array(rows.left)
        users, items = users.filter(mask), items.filter(mask)
    return Block(
        users,
        items,
        times.keys[rows.left],
        describe(rows.faults) if rows.faults else [],
        rows.dropped,
        times.other_units,
        types,
    )


class _Rows:
    """Which rows are left; a row leaves once, for the first reason found."""

    def __init__(self, fields: Fields):
        self._kept = fields.kept
        self.faults = dict(fields.faults)
        self.left = np.ones(len(fields.kept), bool)
        self.dropped: dict[str, int] = {}

    def reject(self, mask: np.ndarray, name: str, reason: str) -> None:
        """Takes out rows that are unusable by column `name`."""
        for row in np.flatnonzero(mask & self.left):
            self.faults[int(self._kept[row])] = (name, reason)
        self.left &= ~mask

    def drop(self, mask: np.ndarray, rule: str) -> None:
        """Takes out usable rows that a rule does not want."""
        if count := int(np.count_nonzero(mask & self.left)):
            self.dropped[rule] = count
        self.left &= ~mask


def _check_values(
    rows: _Rows, column: pa.Array, name: str, null_values: tuple[str, ...]
) -> pa.Array:
    """Rejects missing, undecodable and blank values.

    Returns:
        the column with something in the place of missing values; text as
        strings.
    """
    missing = None
    if pa.types.is_floating(column.type):
        # pandas writes NaN where a value is missing.
        numbers = column.to_numpy(zero_copy_only=False)
        missing = ~np.isfinite(numbers)
        column = pa.array(np.where(missing, 0, numbers))
    elif column.null_count:
        missing = column.is_null().to_numpy(zero_copy_only=False)
        nothing = pa.scalar(b"" if is_text(column.type) else 0)
        column = pc.fill_null(column, nothing.cast(column.type))
    if missing is not None:
        rows.reject(missing, name, MISSING_VALUE)
    if not pa.types.is_binary(column.type):
        return column
    text, invalid = check_utf8(column)
    rows.reject(invalid, name, NOT_UTF8)
    stripped = pc.utf8_trim_whitespace(text)
    nulls = pa.array(null_values, pa.string())
    for mask, reason in (
        (pc.equal(stripped, ""), EMPTY_FIELD),
        (pc.is_in(stripped, value_set=nulls), MISSING_VALUE),
    ):
        rows.reject(mask.to_numpy(zero_copy_only=False), name, reason)
    return text


def _check_times(
    rows: _Rows, column: pa.Array, log: LogFile, config: LogsConfig
) -> Times:
    name = log.names[2]
    column = _check_values(rows, column, name, config.null_values)
    times = read_times(column, config.time_unit)
    rows.reject(times.unreadable, name, UNREADABLE_TIME)
    rows.reject(times.impossible, name, IMPOSSIBLE_TIME)
    if log.earliest_key is not None:
        rows.reject(times.keys < log.earliest_key, name, TOO_EARLY_TIME)
    if log.latest_key is not None:
        rows.reject(times.keys > log.latest_key, name, FUTURE_TIME)
    return times


def bad_lines(
    data: bytes, first_line: int, faults: dict[int, tuple[str, str]]
) -> list[BadRow]:
    """The lines at fault with their text; blank lines are no rows.

    Args:
        data: whole lines.
        first_line: number of the first one in the file.
        faults: index of a line to (column at fault, reason).
    """
    if not faults:
        return []
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    rows = []
    for index in sorted(faults):
        start = int(ends[index - 1]) + 1 if index else 0
        line = data[start : int(ends[index])].rstrip(b"\r")
        if line.strip(b" "):
            text = line.decode("utf-8", "replace")[:MAX_TEXT]
            rows.append(BadRow(first_line + index, *faults[index], text))
    return rows
