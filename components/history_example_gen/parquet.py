"""Reads the configured columns of Parquet files."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.logs import LogFile, LogsError
from components.history_example_gen.rows import (
    MAX_TEXT,
    BadRow,
    Block,
    Faults,
    Fields,
    to_block,
)
from components.history_example_gen.streams import open_raw
from components.history_example_gen.texts import is_text, to_text

# Of one row of configured columns, to turn bytes of a block into rows.
_ROW_BYTES = 32


def is_readable(kind: pa.DataType, role: str) -> bool:
    """Whether a column of this type can be a user, an item, a time, ..."""
    if pa.types.is_dictionary(kind):
        return is_readable(kind.value_type, role)
    if pa.types.is_decimal(kind):
        return kind.scale == 0 or role == "weight"
    return (
        is_text(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
        or pa.types.is_null(kind)
    )


@contextlib.contextmanager
def open_parquet(path: str) -> Iterator[parquet.ParquetFile]:
    """Opens a Parquet file.

    Raises:
        LogsError: it is damaged or no such file.
    """
    with open_raw(path) as stream:
        with _damage_named(path):
            file = parquet.ParquetFile(stream)
        yield file


@contextlib.contextmanager
def _damage_named(path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise LogsError(
            f"{path} is no Parquet file or is damaged: "
            f"{str(error).rstrip('.')}. Fetch or write it again, leave it out "
            "of `logs.pattern`, or correct `logs.format`."
        ) from error


def read_parquet(
    log: LogFile, config: LogsConfig, block_bytes: int
) -> Iterator[tuple[int, Block]]:
    """Yields the number of a block's first row (from 1), and the block.

    Only the configured columns are read, and of them about `block_bytes` at
    a time.

    Raises:
        LogsError: the file is damaged.
    """
    first_row = 1
    with open_parquet(log.path) as file:
        batches = file.iter_batches(
            batch_size=max(1, block_bytes // _ROW_BYTES),
            columns=list(dict.fromkeys(log.names)),
            use_threads=False,
        )
        while True:
            with _damage_named(log.path):
                batch = next(batches, None)
            if batch is None:
                return
            yield first_row, _parse_batch(batch, first_row, log, config)
            first_row += batch.num_rows


def _parse_batch(
    batch: pa.RecordBatch, first_row: int, log: LogFile, config: LogsConfig
) -> Block:
    columns = []
    for role, name in zip(config.roles, log.names, strict=True):
        column = batch.column(batch.schema.get_field_index(name))
        if role in ("user", "item", "event_type"):
            columns.append(to_text(column))
            continue
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_date(column.type):
            unit = "s" if pa.types.is_date32(column.type) else "ms"
            column = column.cast(pa.timestamp(unit))
        elif pa.types.is_decimal(column.type) and role == "weight":
            column = column.cast(pa.float64())
        if not _is_time(column.type):
            column = to_text(column)
        columns.append(column)

    def describe(faults: Faults) -> list[BadRow]:
        return [
            BadRow(first_row + row, *faults[row], _row_text(batch, row))
            for row in sorted(faults)
        ]

    kept = np.arange(batch.num_rows)
    return to_block(Fields(columns, kept, {}), log, config, describe)


def _is_time(kind: pa.DataType) -> bool:
    return (
        pa.types.is_timestamp(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
    )


def _row_text(batch: pa.RecordBatch, row: int) -> str:
    values = {
        name: _plain(column[row].as_py())
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    return json.dumps(values, ensure_ascii=False, default=str)[:MAX_TEXT]


def _plain(value: Any) -> Any:
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    )
