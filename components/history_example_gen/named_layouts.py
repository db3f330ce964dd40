"""Checks the configured columns of files in which every value has a name."""

from __future__ import annotations

import pyarrow as pa

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.json_objects import read_object
from components.history_example_gen.logs import (
    LogFile,
    LogsError,
    list_some,
    nested_fix,
    no_rows,
    suggest,
)
from components.history_example_gen.parquet import is_readable, open_parquet
from components.history_example_gen.streams import (
    BOM,
    array_fix,
    find_compression,
    read_start,
)


def describe_json(config: LogsConfig, path: str, order: int) -> LogFile:
    """Looks at the first lines of a file of JSON lines.

    Raises:
        LogsError: none of them is an object, or a key is in none of them.
    """
    compression = find_compression(config, path)
    start = read_start(path, compression).removeprefix(BOM)
    lines = [line for line in start.splitlines() if line.strip()]
    if not lines:
        return no_rows(path, order)
    objects = [o for o in map(read_object, lines) if o is not None]
    if not objects:
        fix = array_fix(start) or (
            "Correct `logs.format`, or write one object a line."
        )
        raise LogsError(
            f"{path}:1: no JSON object, as `logs.format` json_lines asks for "
            f"on every line: {lines[0][:200].decode('utf-8', 'replace')!r}. "
            f"{fix}"
        )
    found = list(dict.fromkeys(key for o in objects for key in o))
    for role, key in config.named_columns:
        # Not every event needs a weight.
        if key not in found and role != "weight":
            raise LogsError(
                f"{path}: no key {key!r} in the first {len(objects):,} "
                f"objects, as `logs.columns.{role}` asks for. "
                f"{_keys_found(found, role, key, 'Keys')}"
            )
    return LogFile(path, order, compression, len(found), (), _names(config))


def describe_parquet(config: LogsConfig, path: str, order: int) -> LogFile:
    """Looks at the schema of a Parquet file.

    Raises:
        LogsError: it is damaged, or a column is missing, there twice or of a
            type that cannot be read.
    """
    with open_parquet(path) as file:
        schema, num_rows = file.schema_arrow, file.metadata.num_rows
    for role, name in config.named_columns:
        key = f"`logs.columns.{role}`"
        if schema.names.count(name) != 1:
            number = "no" if name not in schema.names else "more than one"
            raise LogsError(
                f"{path}: {number} column {name!r}, as {key} asks for. "
                f"{_keys_found(schema.names, role, name, 'Columns')}"
            )
        kind = schema.field(name).type
        if not is_readable(kind, role):
            fix = (
                "Cast it to a 64-bit integer or to a string when the file is "
                "written"
                if pa.types.is_decimal(kind)
                else "Write the file with a flat column of one value a row"
            )
            raise LogsError(
                f"{path}: column {name!r} ({key}) is of type {kind}, expected "
                "an integer, float, bool, timestamp, date, string, binary or "
                "dictionary column, or decimals without a fraction. "
                f"{fix}, or point {key} to another column."
            )
    if not num_rows:
        return no_rows(path, order)
    return LogFile(path, order, "none", len(schema), (), _names(config))


def _names(config: LogsConfig) -> tuple[str, ...]:
    columns = dict(config.named_columns)
    return tuple(columns[role] for role in config.roles)


def _keys_found(found: list[str], role: str, name: str, what: str) -> str:
    if name.partition(".")[0] in found:
        return f"{what} found: {list_some(found)}. {nested_fix(name)}"
    near = suggest(name, found) or f" Set `logs.columns.{role}` to one of them."
    return f"{what} found: {list_some(found)}.{near}"
