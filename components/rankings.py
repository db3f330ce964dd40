"""The rankings in an evaluation: a row per target and seen setting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tfx.dsl.io import fileio

# Of Parquet files, in the artifact of the evaluation.
FOLDER = "rankings"

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("target_rule", pa.string()),
        ("seen_items", pa.string()),
        ("target_item", pa.string()),
        ("target_position", pa.int32()),
        ("rank", pa.int32()),
        ("top_items", pa.list_(pa.string())),
        ("target_is_cold", pa.bool_()),
    ]
)


def read(
    evaluation: str,
    filters: list[tuple[str, str, Any]] | None = None,
    columns: list[str] | None = None,
) -> Iterator[pa.Table]:
    """Reads the files one by one, by name.

    Args:
        evaluation: folder that holds `FOLDER`.
        filters: (column, operator, value) that rows must meet, as
            `pyarrow.parquet.read_table` takes them; None keeps all.
        columns: of `SCHEMA` that are read; None reads all.

    Yields:
        Tables of these columns.
    """
    for name in sorted(
        fileio.glob(os.path.join(evaluation, FOLDER, "*.parquet"))
    ):
        with fileio.open(name, "rb") as file:
            content = pa.BufferReader(file.read())
        yield pq.read_table(
            content, columns=columns, schema=SCHEMA, filters=filters
        )
