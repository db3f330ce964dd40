"""Parses blocks of delimited lines into columns.

Lines are parsed together by Arrow's CSV parser. Where that parser and the line
breaks disagree about what a row is, the block is cut into pieces and Python
looks at the single lines of the pieces in which they do. Both read a line the
same way, so it makes no difference which lines stand around it.

A row ends with its line. A quote that is still open there makes it unusable,
and so a later line in which the quote seems to be closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyarrow import csv

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.logs import LogFile
from components.history_example_gen.pieces import cut, join_fields
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
from components.history_example_gen.streams import BOM
from components.history_example_gen.texts import one_chunk

# Stands for a separator of several characters, which Arrow cannot split by.
_SUBSTITUTE = b"\x1f"
# A field in quotes up to the quote that closes it; inside, they are doubled.
_QUOTED = re.compile(rb'"([^"]*(?:""[^"]*)*)"(?!")')
_PIECE_BYTES = 1 << 16


def parse_blocks(
    blocks: Iterable[tuple[int, bytes]], log: LogFile, config: LogsConfig
) -> Iterator[tuple[int, Block]]:
    """Parses the blocks of a delimited log file, in their order.

    Args:
        blocks: number of the first line in the file, and whole lines, each
            ended by a newline.
        log: the file and its columns.
        config: how to read it.

    Yields:
        number of the first line, and the block.
    """
    is_open = False
    for first_line, data in blocks:
        if b"\r\r\n" in data:  # a text file that was opened as text twice
            data = re.sub(rb"\r+\n", b"\n", data)
        fields, is_open = _split(data, is_open, log, config)
        yield first_line, _to_block(fields, data, first_line, log, config)


def split_line(line: bytes, config: LogsConfig) -> list[bytes] | None:
    """Fields of one line, or None where a quote is not closed in it.

    As Arrow does: a quote means something at the start of a field only, and
    what stands between the closing one and the separator belongs to the text.
    """
    separator = config.separator.encode()
    if b'"' not in line or not _has_quotes(config):
        return line.split(separator)
    fields = _split_quoted(line, separator)
    if fields is None:
        return None
    return [quoted + plain for quoted, plain in fields]


def _has_quotes(config: LogsConfig) -> bool:
    return config.quotes and len(config.separator.encode()) == 1


def _split_quoted(
    line: bytes, separator: bytes
) -> list[tuple[bytes, bytes]] | None:
    """What stands in quotes and what after or without them, per field."""
    fields: list[tuple[bytes, bytes]] = []
    start = 0
    while True:
        quoted = b""
        if line.startswith(b'"', start):
            found = _QUOTED.match(line, start)
            if found is None:
                return None
            quoted, start = found[1].replace(b'""', b'"'), found.end()
        end = line.find(separator, start)
        if end < 0:
            return [*fields, (quoted, line[start:])]
        fields.append((quoted, line[start:end]))
        start = end + len(separator)


def _closes_quote(line: bytes, config: LogsConfig) -> bool:
    """Whether a quote stands where no field in quotes begins or ends."""
    if b'"' not in line or not _has_quotes(config):
        return False
    fields = _split_quoted(line, config.separator.encode())
    return any(b'"' in plain for _, plain in fields or ())


def _to_block(
    fields: Fields,
    data: bytes,
    first_line: int,
    log: LogFile,
    config: LogsConfig,
) -> Block:
    return to_block(
        fields, log, config, lambda faults: bad_lines(data, first_line, faults)
    )


def _split(
    data: bytes, is_open: bool, log: LogFile, config: LogsConfig
) -> tuple[Fields, bool]:
    """Fields of whole lines, and whether a quote is open at their end.

    Args:
        data: the lines.
        is_open: whether one is open at their start.
        log: the file and its columns.
        config: how to read it.
    """
    if not is_open:
        fields = _split_together(data, log, config)
        if fields is not None:
            return fields, False
    parts = []
    num_lines = 0
    for piece in cut(data, _PIECE_BYTES):
        part = None if is_open else _split_together(piece, log, config)
        if part is None:
            part, is_open = _split_one_by_one(piece, is_open, log, config)
        parts.append((num_lines, part))
        num_lines += piece.count(b"\n")
    return join_fields(parts), is_open


def _split_together(
    data: bytes, log: LogFile, config: LogsConfig
) -> Fields | None:
    """Fields by Arrow, or None where it does not see one row per line."""
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return None  # Arrow takes a CR inside of a line for its end
    if data.startswith(BOM):
        return None  # Arrow leaves it out at the start of any block
    delimiter = config.separator.encode()
    quotes = _has_quotes(config)
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
    last = data[data.rfind(b"\n", 0, -1) + 1 : -1]
    if split_line(last.rstrip(b"\r"), config) is None:
        return None  # Arrow closes a quote at the end of its data
    columns = [
        one_chunk(table.column(str(position))) for position in log.positions
    ]
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


def _split_one_by_one(
    data: bytes, is_open: bool, log: LogFile, config: LogsConfig
) -> tuple[Fields, bool]:
    """As `_split`, line by line, where single ones confuse Arrow."""
    columns: list[list[bytes]] = [[] for _ in log.positions]
    kept: list[int] = []
    faults: Faults = {}
    for index, line in enumerate(data.split(b"\n")[:-1]):
        line = line.rstrip(b"\r")
        fields = split_line(line, config)
        # The first row after an open quote that is whole by itself ends the
        # wait for the other quote: there may be none, as where the first one
        # is an inch sign, and no good row shall be lost for it.
        closes = is_open and _closes_quote(line, config)
        if fields is None:
            faults[index] = (WHOLE_ROW, UNCLOSED_QUOTE)
            is_open = True
        elif len(fields) != log.num_columns:
            faults[index] = _wrong_columns(len(fields), log)
            is_open = is_open and not closes
        elif closes:
            faults[index] = (WHOLE_ROW, UNCLOSED_QUOTE)
            is_open = False
        else:
            is_open = False
            kept.append(index)
            for column, position in zip(columns, log.positions, strict=True):
                column.append(fields[position])
    texts = [pa.array(column, pa.binary()) for column in columns]
    return Fields(texts, np.array(kept, np.int64), faults), is_open


def _wrong_columns(found: int, log: LogFile) -> tuple[str, str]:
    """Names the first column that a short row does not reach."""
    absent = [
        (position, name)
        for position, name in zip(log.positions, log.names, strict=True)
        if position >= found
    ]
    return (min(absent)[1] if absent else WHOLE_ROW, WRONG_COLUMNS)
