"""Parses a block of JSON lines into columns.

Arrow's parser reads only the configured keys of many lines together. Where
it fails, or may have taken something else than a line for a row, the block
is cut into pieces and Python reads the lines of the pieces in which it fails
again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.json_objects import (
    read_object,
    read_one_by_one,
)
from components.history_example_gen.logs import LogFile
from components.history_example_gen.pieces import cut, join_fields
from components.history_example_gen.rows import (
    Block,
    Fields,
    bad_lines,
    to_block,
)
from components.history_example_gen.texts import one_chunk, to_text

_SAMPLED_LINES = 20
_PIECE_BYTES = 1 << 16
# Arrow takes at most 100,000 rows in one go, and no line longer than it.
_ARROW_BYTES = 1 << 19
# Floats from here on may not be the number that is written.
_INEXACT = 2.0**53
_INT64_END = 2**63
_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


def parse_json_block(
    data: bytes, first_line: int, log: LogFile, config: LogsConfig
) -> Block:
    """Parses whole lines of a log file with one JSON object a line.

    Args:
        data: the lines, each ended by a newline.
        first_line: number of the first line in the file.
        log: the file and its keys.
        config: how to read it.
    """
    keys = dict(zip(config.roles, log.names, strict=True))
    fields = _read_together(data, keys, _ARROW_BYTES)
    if fields is None:
        fields = _read_pieces(data, keys)
    return to_block(
        fields, log, config, lambda faults: bad_lines(data, first_line, faults)
    )


def _read_together(
    data: bytes, keys: dict[str, str], arrow_bytes: int
) -> Fields | None:
    """Columns by Arrow, or None where it does not see one row per line."""
    rows = _object_lines(data)
    if rows is None:
        return None
    types = _sample_types(data, keys)
    if types is None:
        return None
    table = _read_table(data, types, arrow_bytes)
    if table is None and pa.int64() in types.values():
        # Some integers may be written as floats.
        types = {
            name: pa.float64() if kind == pa.int64() else kind
            for name, kind in types.items()
        }
        table = _read_table(data, types, arrow_bytes)
    if table is None or table.num_rows != len(rows):
        return None
    columns = {}
    for role, name in keys.items():
        column = one_chunk(table.column(name))
        if role in ("user", "item", "event_type"):
            if _is_inexact(column):
                return None
            column = to_text(column)
        elif column.type == pa.bool_():
            column = to_text(column)
        columns[role] = column
    return Fields(list(columns.values()), rows, {})


def _object_lines(data: bytes) -> np.ndarray | None:
    """Indices of the lines that are not empty, if all others are objects.

    None where such a line does not start with { and end with }. If each one
    does, no object can reach over the end of a line, for } and { never
    follow each other inside of one.
    """
    buffer = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(buffer == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    ends = ends - ((ends > starts) & (buffer[ends - 1] == ord("\r")))
    rows = np.flatnonzero(ends > starts)
    first, last = buffer[starts[rows]], buffer[ends[rows] - 1]
    if (first != ord("{")).any() or (last != ord("}")).any():
        return None
    return rows


def _sample_types(
    data: bytes, keys: dict[str, str]
) -> dict[str, pa.DataType] | None:
    """Types of the keys in the first lines; None where they are mixed."""
    samples: dict[str, list[Any]] = {name: [] for name in keys.values()}
    for line in data.split(b"\n", _SAMPLED_LINES)[:_SAMPLED_LINES]:
        values = read_object(line) or {}
        for name, seen in samples.items():
            if values.get(name) is not None:
                seen.append(values[name])
    chosen = {}
    for name, seen in samples.items():
        kinds = {type(value) for value in seen}
        if kinds == {int, float}:
            kinds = {float}
        if len(kinds) > 1 or kinds & {dict, list}:
            return None
        chosen[name] = _TYPES.get(next(iter(kinds), str), pa.binary())
        if kinds == {int} and any(n >= _INT64_END for n in seen):
            chosen[name] = pa.uint64()
    return chosen


def _read_table(
    data: bytes, types: dict[str, pa.DataType], arrow_bytes: int
) -> pa.Table | None:
    try:
        return arrow_json.read_json(
            pa.BufferReader(data),
            arrow_json.ReadOptions(use_threads=False, block_size=arrow_bytes),
            arrow_json.ParseOptions(
                explicit_schema=pa.schema(list(types.items())),
                unexpected_field_behavior="ignore",
            ),
        )
    except pa.ArrowInvalid:
        return None


def _is_inexact(column: pa.Array) -> bool:
    if column.type != pa.float64():
        return False
    numbers = column.to_numpy(zero_copy_only=False)
    return bool((np.abs(numbers) >= _INEXACT).any())


def _read_pieces(data: bytes, keys: dict[str, str]) -> Fields:
    parts = []
    num_lines = 0
    for piece in cut(data, _PIECE_BYTES):
        part = _read_together(piece, keys, len(piece) + 1) or read_one_by_one(
            piece, keys
        )
        parts.append((num_lines, part))
        num_lines += piece.count(b"\n")
    return join_fields(parts)
