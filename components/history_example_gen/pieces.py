"""Cuts a block into pieces of whole lines and joins what became of them.

Where a parser of many lines fails at a few of them, only their piece is read
line by line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from components.history_example_gen.rows import Fields
from components.history_example_gen.texts import to_text


def cut(data: bytes, piece_bytes: int) -> Iterator[bytes]:
    """Yields pieces of whole lines, about as long as `piece_bytes`."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", min(start + piece_bytes, len(data) - 1)) + 1
        yield data[start:end]
        start = end


def join_fields(parts: Sequence[tuple[int, Fields]]) -> Fields:
    """The fields of a block.

    Args:
        parts: index in the block of a piece's first line, and its fields; in
            their order, at least one.
    """
    faults = {
        start + index: fault
        for start, part in parts
        for index, fault in part.faults.items()
    }
    columns = [
        _concat([part.columns[number] for _, part in parts])
        for number in range(len(parts[0][1].columns))
    ]
    kept = np.concatenate([start + part.kept for start, part in parts])
    return Fields(columns, kept, faults)


def _concat(columns: list[pa.Array]) -> pa.Array:
    if len({column.type for column in columns}) > 1:
        columns = [to_text(column) for column in columns]
    return pa.concat_arrays(columns)
