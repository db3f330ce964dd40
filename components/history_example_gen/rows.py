"""Parses a block of log lines into columns and unusable rows.

Lines are parsed together by Arrow's CSV parser; Python looks at single lines
only where that parser and the line breaks disagree about what a row is, and
to report unusable rows.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.readers import LogFile, split_line
from components.history_example_gen.times import read_times

WRONG_COLUMNS = "wrong_number_of_columns"
UNCLOSED_QUOTE = "unclosed_quote"
EMPTY_FIELD = "empty_field"
NOT_UTF8 = "not_utf8"
UNREADABLE_TIME = "unreadable_time"
IMPOSSIBLE_TIME = "impossible_time"
WHOLE_ROW = "whole row"
_MAX_TEXT = 500
# Stands for a separator of several characters, which Arrow cannot split by.
_SUBSTITUTE = b"\x1f"


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        line: number in the file from 1.
        column: which column is at fault, or WHOLE_ROW.
        reason: one of the reasons of this module.
        text: the row as written, cut after 500 characters.
    """

    line: int
    column: str
    reason: str
    text: str


@dataclasses.dataclass(frozen=True)
class Block:
    """The usable events of a block of lines in log order, and the others.

    Attributes:
        users: [n] binary.
        items: [n] binary.
        keys: [n] int64 sort keys, see `times.KEYS_PER_SECOND`.
        bad_rows: in log order.
        dropped: rows dropped by each rule, see `rules`.
    """

    users: pa.Array
    items: pa.Array
    keys: np.ndarray
    bad_rows: list[BadRow]
    dropped: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Usable, dropped and unusable rows; blank lines are no rows."""
        return len(self.keys) + len(self.bad_rows) + sum(self.dropped.values())


@dataclasses.dataclass(frozen=True)
class _Fields:
    """Fields as text: `columns` of the rows `kept`, `faults` of the others.

    Attributes:
        columns: user, item and timestamp, [n] binary each.
        kept: [n] line indices in the block, ascending.
        faults: line index to (column at fault, reason).
    """

    columns: list[pa.Array]
    kept: np.ndarray
    faults: dict[int, tuple[str, str]]


def parse_block(
    data: bytes, first_line: int, log: LogFile, config: LogsConfig
) -> Block:
    """Parses whole lines of a log file.

    Blank lines are no rows. A quoted field ends on the line it begins on.

    Args:
        data: lines, each ending in a newline, without a header.
        first_line: number of the first line in the file.
        log: the file and its columns.
        config: how to read it.
    """
    fields = _split_together(data, log, config)
    if fields is None:
        fields = _split_one_by_one(data, log, config)
    faults = dict(fields.faults)
    columns = [_as_text(column) for column in fields.columns]
    usable = np.ones(len(fields.kept), bool)

    def reject(mask: np.ndarray, name: str, reason: str) -> None:
        for row in np.flatnonzero(mask & usable):
            faults[int(fields.kept[row])] = (name, reason)
        usable[mask] = False

    for name, (column, invalid) in zip(log.names, columns, strict=True):
        reject(invalid, name, NOT_UTF8)
        reject(_is_blank(column), name, EMPTY_FIELD)
    keys, unreadable, impossible = read_times(columns[2][0], config.time_unit)
    reject(unreadable, log.names[2], UNREADABLE_TIME)
    reject(impossible, log.names[2], IMPOSSIBLE_TIME)
    if usable.all():
        users, items = fields.columns[:2]
    else:
        mask = pa.array(usable)
        users, items = (c.filter(mask) for c in fields.columns[:2])
    return Block(
        users, items, keys[usable], _bad_rows(data, first_line, faults)
    )


def _split_together(
    data: bytes, log: LogFile, config: LogsConfig
) -> _Fields | None:
    """Fields by Arrow, or None where it does not see one row per line."""
    delimiter = config.separator.encode()
    quotes = config.quotes and len(delimiter) == 1
    text = data
    if len(delimiter) > 1:
        if _SUBSTITUTE in data:
            return None
        text = data.replace(delimiter, _SUBSTITUTE)
        delimiter = _SUBSTITUTE
    invalid: dict[int, int] = {}

    def skip(row: csv.InvalidRow) -> str:
        invalid[row.number - 1] = row.actual_columns
        return "skip"

    wanted = [str(position) for position in log.positions]
    try:
        # open_csv, for read_csv walks through all objects of the process to
        # find a reference cycle of Python 3.10, at every call.
        table = csv.open_csv(
            pa.BufferReader(text),
            csv.ReadOptions(
                use_threads=False,  # otherwise rows have no numbers
                block_size=len(text) + 1,
                column_names=[str(i) for i in range(log.num_columns)],
            ),
            csv.ParseOptions(
                delimiter=delimiter.decode("latin-1"),
                quote_char='"' if quotes else False,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(wanted, pa.binary()),
            ),
        ).read_all()
    except pa.ArrowInvalid:
        return None
    num_lines = data.count(b"\n")
    if table.num_rows + len(invalid) != num_lines:
        return None  # a quote swallowed the end of a line
    columns = [_one_chunk(table.column(name)) for name in wanted]
    if quotes and b'"' in data and any(_has_newline(c) for c in columns):
        return None
    kept = np.delete(np.arange(num_lines), list(invalid))
    faults = {
        index: _wrong_columns(found, log) for index, found in invalid.items()
    }
    return _Fields(columns, kept, faults)


def _split_one_by_one(data: bytes, log: LogFile, config: LogsConfig) -> _Fields:
    """Fields by Python's csv, where single rows confuse Arrow."""
    columns: list[list[bytes]] = [[], [], []]
    kept: list[int] = []
    faults: dict[int, tuple[str, str]] = {}
    for index, line in enumerate(data.split(b"\n")[:-1]):
        fields = split_line(line.removesuffix(b"\r"), config)
        if fields is None:
            faults[index] = (WHOLE_ROW, UNCLOSED_QUOTE)
        elif len(fields) != log.num_columns:
            faults[index] = _wrong_columns(len(fields), log)
        else:
            kept.append(index)
            for column, position in zip(columns, log.positions, strict=True):
                column.append(fields[position])
    return _Fields(
        [pa.array(column, pa.binary()) for column in columns],
        np.array(kept, np.int64),
        faults,
    )


def _wrong_columns(found: int, log: LogFile) -> tuple[str, str]:
    """Names the first column that a short row does not reach."""
    absent = [
        (position, name)
        for position, name in zip(log.positions, log.names, strict=True)
        if position >= found
    ]
    return (min(absent)[1] if absent else WHOLE_ROW, WRONG_COLUMNS)


def _as_text(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The column as strings, and [n] bool: not UTF-8 (then "" instead)."""
    try:
        return column.cast(pa.string()), np.zeros(len(column), bool)
    except pa.ArrowInvalid:
        values = column.to_pylist()
    invalid = np.array([not _is_utf8(value) for value in values])
    values = [
        b"" if bad else value
        for value, bad in zip(values, invalid, strict=True)
    ]
    return pa.array(values, pa.binary()).cast(pa.string()), invalid


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_blank(column: pa.Array) -> np.ndarray:
    blank = pc.equal(pc.utf8_trim_whitespace(column), "")
    return blank.to_numpy(zero_copy_only=False)


def _has_newline(column: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring(column, "\n")).as_py())


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    chunks = column.combine_chunks()
    if isinstance(chunks, pa.ChunkedArray):
        return pa.concat_arrays(chunks.chunks or [pa.array([], pa.binary())])
    return chunks


def _bad_rows(
    data: bytes, first_line: int, faults: dict[int, tuple[str, str]]
) -> list[BadRow]:
    """The rows at fault with their text; blank lines are none."""
    if not faults:
        return []
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    rows = []
    for index in sorted(faults):
        start = int(ends[index - 1]) + 1 if index else 0
        line = data[start : int(ends[index])].removesuffix(b"\r")
        if line.strip(b" "):
            text = line.decode("utf-8", "replace")[:_MAX_TEXT]
            rows.append(BadRow(first_line + index, *faults[index], text))
    return rows
