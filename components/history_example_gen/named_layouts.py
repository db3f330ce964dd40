"""Checks the configured columns of files in which every value has a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def describe_json(config: LogsConfig, paths: Sequence[str]) -> list[LogFile]:
    """Looks at the first lines of files of JSON lines.

    A key may be missing in all rows of a file, as in single ones: those are
    dead letters. One that is in no file is a mistake in the settings.

    Raises:
        LogsError: none of a file's first lines is an object, or a key is in
            none of any file.
    """
    logs = []
    names = _names(config)
    rows: dict[str, int] = {}
    keys: dict[str, None] = {}  # in the order in which they are met
    for order, path in enumerate(paths):
        compression = find_compression(config, path)
        objects = _first_objects(path, compression)
        if not objects:
            logs.append(no_rows(path, order))
            continue
        logs.append(LogFile(path, order, compression, len(names), (), names))
        rows[path] = len(objects)
        keys.update((key, None) for one in objects for key in one)
    found = list(keys)
    for role, key in config.named_columns:
        # Not every event needs a weight.
        if rows and key not in found and role != "weight":
            path, number = next(iter(rows.items()))
            others = len(rows) - 1
            nor = f", nor in those of {others:,} other files" if others else ""
            raise LogsError(
                f"{path}: no key {key!r} in the first {number:,} objects"
                f"{nor}, as `logs.columns.{role}` asks for. "
                f"{_keys_found(found, role, key, 'Keys')}"
            )
    return logs


def _first_objects(path: str, compression: str) -> list[dict[str, Any]]:
    """Of the start of a file of JSON lines; none where it has no row."""
    start = read_start(path, compression).removeprefix(BOM)
    lines = {
        number: line
        for number, line in enumerate(start.split(b"\n"), 1)
        if line.strip()
    }
    objects = [o for o in map(read_object, lines.values()) if o is not None]
    if lines and not objects:
        number, line = next(iter(lines.items()))
        fix = array_fix(start) or (
            "Correct `logs.format`, or write one object a line."
        )
        raise LogsError(
            f"{path}:{number}: no JSON object, as `logs.format` json_lines "
            "asks for on every line: "
            f"{line.rstrip()[:200].decode('utf-8', 'replace')!r}. "
            f"{fix}"
        )
    return objects


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
