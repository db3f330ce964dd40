"""Finds the log files and learns where their columns are."""

from __future__ import annotations

import collections
import dataclasses
import itertools

from components.history_example_gen.config import ROLES, LogsConfig
from components.history_example_gen.delimited import split_line
from components.history_example_gen.duplicates import refuse_duplicates
from components.history_example_gen.logs import (
    LogFile,
    LogsError,
    list_some,
    no_rows,
    suggest,
)
from components.history_example_gen.named_layouts import (
    describe_json,
    describe_parquet,
)
from components.history_example_gen.readers import match_files
from components.history_example_gen.streams import (
    BOM,
    find_compression,
    read_start,
)
from components.history_example_gen.times import is_recent, time_limits

_SNIFF_LINES = 1000
_SEPARATORS = ("::", "\t", ";", "|", ",")


def find_logs(config: LogsConfig, now: float | None = None) -> list[LogFile]:
    """The matched files in the order of their paths, with their columns.

    Args:
        config: where the files are and how to read them.
        now: unix seconds that `latest_time: now` counts from; the clock's
            where left out. Call this once and hand on what it returns:
            another call may know another now.

    Raises:
        LogsError: nothing matches, a file is not readable as configured, a
            configured column does not exist in a file (of JSON lines: in any
            file), or a file is there twice.
    """
    earliest, latest = time_limits(config, now)
    files = match_files(config)
    logs = [
        dataclasses.replace(log, earliest_key=earliest, latest_key=latest)
        for log in _describe(config, [file.path for file in files])
    ]
    if config.duplicate_files == "refuse":
        refuse_duplicates(
            {
                log.path: file.size_in_bytes
                for log, file in zip(logs, files, strict=True)
                if log.num_columns
            }
        )
    return logs


def _describe(config: LogsConfig, paths: list[str]) -> list[LogFile]:
    if config.format == "json_lines":
        return describe_json(config, paths)
    describe = {
        "delimited": _describe_delimited,
        "parquet": describe_parquet,
    }[config.format]
    return [describe(config, path, order) for order, path in enumerate(paths)]


def _describe_delimited(config: LogsConfig, path: str, order: int) -> LogFile:
    compression = find_compression(config, path)
    start = read_start(path, compression)
    lines = [
        line.rstrip(b"\r") for line in start.removeprefix(BOM).split(b"\n")
    ]
    rows = [line for line in lines[config.header :] if line.strip()]
    if not rows and not any(line.strip() for line in lines):
        return no_rows(path, order)
    if config.header:
        fields = split_line(lines[0], config) or [lines[0]]
        header = [f.decode("utf-8", "replace").strip() for f in fields]
        places = {
            role: (position, header[position])
            for role, column in config.named_columns
            for position in [_position(config, path, role, column, header)]
        }
        num_columns = len(header)
        _check_header(config, path, fields)
    else:
        num_columns = _usual_columns(rows, config)
        for role, column in config.named_columns:
            _check_number(config, path, role, column, num_columns, rows[0])
        places = {
            role: (column, f"{role} (column {column})")
            for role, column in config.named_columns
        }
    _check_apart(path, {role: place[0] for role, place in places.items()})
    positions, names = zip(
        *(places[role] for role in config.roles), strict=True
    )
    return LogFile(
        path, order, compression, num_columns if rows else 0, positions, names
    )


def _check_header(config: LogsConfig, path: str, fields: list[bytes]) -> None:
    """Refuses a row in the place of the header, where columns are numbers."""
    column = config.columns.timestamp
    if not isinstance(column, int):
        return
    text = fields[column].decode("utf-8", "replace").strip()
    if is_recent(text, config.time_unit):
        raise LogsError(
            f"{path}: line 1 should name the columns (`logs.header`), but its "
            f"column {column}, `logs.columns.timestamp`, is a time: {text!r}. "
            "If the first line is a row like all others, set `logs.header: "
            "false`."
        )


def _check_apart(path: str, positions: dict[str, int]) -> None:
    """Refuses one column, by name and by number, for two roles."""
    for first, second in itertools.combinations(ROLES, 2):
        if positions[first] == positions[second]:
            raise LogsError(
                f"{path}: `logs.columns.{first}` and `logs.columns.{second}` "
                f"both are column {positions[first]} (from 0). Give each its "
                "own."
            )


def _check_number(
    config: LogsConfig,
    path: str,
    role: str,
    column: int,
    num_columns: int,
    line: bytes,
) -> None:
    if not 0 <= column < num_columns:
        raise LogsError(
            f"{path}: `logs.columns.{role}` is {column}, but with "
            f"`logs.separator` {config.separator!r} the rows have "
            f"{num_columns} columns (numbered from 0). First row: "
            f"{line[:200].decode('utf-8', 'replace')!r}. Correct the number "
            "or the separator."
        )


def _position(
    config: LogsConfig,
    path: str,
    role: str,
    column: str | int,
    header: list[str],
) -> int:
    if isinstance(column, int) and 0 <= column < len(header):
        return column
    if isinstance(column, str) and header.count(column) > 1:
        numbers = [n for n, name in enumerate(header) if name == column]
        raise LogsError(
            f"{path}: the header has {len(numbers)} columns {column!r}, which "
            f"`logs.columns.{role}` asks for. Give the number of the right "
            f"one there: {' or '.join(str(number) for number in numbers)}."
        )
    if column in header:
        return header.index(str(column))
    fix = _fix(config, role, column, header)
    raise LogsError(
        f"{path}: no column {column!r} in the header, as "
        f"`logs.columns.{role}` asks for. Columns found: "
        f"{list_some(header)}.{fix}"
    )


def _fix(
    config: LogsConfig, role: str, column: str | int, header: list[str]
) -> str:
    """What may be wrong where a column is not in the header."""
    if len(header) == 1 and header[0][:1] in ("", "#"):
        kind = "a comment" if header[0] else "blank"
        return (
            f" Line 1 is {kind}, but the first line of every file has to name "
            "the columns (`logs.header`). Remove the lines above the header, "
            "for example with `tail -n +2`."
        )
    if len(header) == 1 and not header[0].startswith("{"):
        usual = max(_SEPARATORS, key=header[0].count)
        other = f" It may be {usual!r}." if usual in header[0] else ""
        return (
            " It is one column only: is `logs.separator` "
            f"{config.separator!r} right?{other}"
        )
    if header[0].startswith("{"):
        return " If every line is a JSON object, set `logs.format: json_lines`."
    if any("\ufffd" in name for name in header):
        return " It is not UTF-8: convert the file."
    if any(name.isdigit() for name in header):
        return (
            " If the first line is no header, set `logs.header: false` and "
            "give column numbers from 0."
        )
    return suggest(str(column), header) or (
        f" Set `logs.columns.{role}` to one of them."
    )


def _usual_columns(rows: list[bytes], config: LogsConfig) -> int:
    """The most frequent number of columns of the first rows."""
    counts = collections.Counter(
        len(split_line(row, config) or ()) for row in rows[:_SNIFF_LINES]
    )
    return counts.most_common(1)[0][0]
