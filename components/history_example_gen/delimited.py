"""Parses a block of delimited lines into columns.

Lines are parsed together by Arrow's CSV parser; Python looks at single lines
only where that parser and the line breaks disagree about what a row is.
"""

from __future__ import annotations

import csv as python_csv
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.logs import LogFile
from components.history_example_gen.rows import (
    UNCLOSED_QUOTE,
    WHOLE_ROW,
    WRONG_COLUMNS,
    Block,
    Faults,
    Fields,
    bad_lines,
    to_block,
)
from components.history_example_gen.texts import one_chunk

# Stands for a separator of several characters, which Arrow cannot split by.
_SUBSTITUTE = b"\x1f"
# Stands for a CR inside of a line, which Python's csv takes for its end; it is
# none of the characters that bytes become.
_CR_SUBSTITUTE = "\u240d"


def parse_block(
    data: bytes, first_line: int, log: LogFile, config: LogsConfig
) -> Block:
    """Parses whole lines of a delimited log file.

    Args:
        data: the lines, each ended by a newline.
        first_line: number of the first line in the file.
        log: the file and its columns.
        config: how to read it.
    """
    if b"\r\r\n" in data:  # a text file that was opened as text twice
        data = re.sub(rb"\r+\n", b"\n", data)
    fields = _split_together(data, log, config)
    if fields is None:
        fields = _split_one_by_one(data, log, config)
    return to_block(
        fields, log, config, lambda faults: bad_lines(data, first_line, faults)
    )


def split_line(line: bytes, config: LogsConfig) -> list[bytes] | None:
    """Fields of one line, or None where a quote is not closed in it."""
    separator = config.separator.encode()
    if len(separator) > 1 or not config.quotes or b'"' not in line:
        return line.split(separator)
    # One character per byte, both ways.
    text = line.decode("latin-1").replace("\r", _CR_SUBSTITUTE)
    try:
        rows = list(
            python_csv.reader([text], delimiter=config.separator, strict=True)
        )
    except python_csv.Error:
        return None
    return [
        field.replace(_CR_SUBSTITUTE, "\r").encode("latin-1")
        for field in (rows[0] if rows else [])
    ]


def _split_together(
    data: bytes, log: LogFile, config: LogsConfig
) -> Fields | None:
    """Fields by Arrow, or None where it does not see one row per line."""
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return None  # Arrow takes a CR inside of a line for its end
    delimiter = config.separator.encode()
    quotes = config.quotes and len(delimiter) == 1
    text = data
    if len(delimiter) > 1:
        if _SUBSTITUTE in data:
            return None
        text = data.replace(delimiter, _SUBSTITUTE)
        delimiter = _SUBSTITUTE
    invalid: dict[int, int] = {}
    try:
        table = _read_csv(text, delimiter, quotes, log, invalid)
    except pa.ArrowInvalid:
        return None
    num_lines = data.count(b"\n")
    if table.num_rows + len(invalid) != num_lines:
        return None  # a quote swallowed the end of a line
    columns = [
        one_chunk(table.column(str(position))) for position in log.positions
    ]
    if quotes and b'"' in data and any(_has_newline(c) for c in columns):
        return None
    kept = np.delete(np.arange(num_lines), list(invalid))
    faults = {
        index: _wrong_columns(found, log) for index, found in invalid.items()
    }
    return Fields(columns, kept, faults)


def _read_csv(
    text: bytes,
    delimiter: bytes,
    quotes: bool,
    log: LogFile,
    invalid: dict[int, int],
) -> pa.Table:
    """Reads the columns of a file; rows of another length go to `invalid`.

    Args:
        text: whole lines.
        delimiter: one byte.
        quotes: whether `"` encloses fields.
        log: the file and its columns.
        invalid: gets index of a row to its number of columns.
    """

    def skip(row: csv.InvalidRow) -> str:
        invalid[row.number - 1] = row.actual_columns
        return "skip"

    wanted = [str(position) for position in log.positions]
    # Not read_csv: under Python 3.10 each call of it looks through all
    # objects of the process, which takes longer than to parse a block.
    reader = csv.open_csv(
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
            include_columns=list(dict.fromkeys(wanted)),
            column_types=dict.fromkeys(wanted, pa.binary()),
        ),
    )
    return reader.read_all()


def _split_one_by_one(data: bytes, log: LogFile, config: LogsConfig) -> Fields:
    """Fields by Python's csv, where single rows confuse Arrow."""
    columns: list[list[bytes]] = [[] for _ in log.positions]
    kept: list[int] = []
    faults: Faults = {}
    for index, line in enumerate(data.split(b"\n")[:-1]):
        fields = split_line(line.rstrip(b"\r"), config)
        if fields is None:
            faults[index] = (WHOLE_ROW, UNCLOSED_QUOTE)
        elif len(fields) != log.num_columns:
            faults[index] = _wrong_columns(len(fields), log)
        else:
            kept.append(index)
            for column, position in zip(columns, log.positions, strict=True):
                column.append(fields[position])
    return Fields(
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


def _has_newline(column: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring(column, "\n")).as_py())
