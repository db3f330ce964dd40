"""Finds the log files and learns where their columns are."""

from __future__ import annotations

import collections

from components.history_example_gen.config import LogsConfig
from components.history_example_gen.readers import (
    BOM,
    LogFile,
    LogsError,
    is_gzip,
    list_some,
    match_files,
    open_log,
    read_some,
    split_line,
    suggest,
)

ROLES = ("user", "item", "timestamp")
_SNIFF_BYTES = 1 << 16
_SNIFF_LINES = 1000


def find_logs(config: LogsConfig) -> list[LogFile]:
    """The matched files in the order of their names, with their columns.

    Raises:
        LogsError: nothing matches, a file is not readable as configured, or
            a configured column does not exist in a file.
    """
    return [
        _describe(config, metadata.path, order)
        for order, metadata in enumerate(match_files(config))
    ]


def _describe(config: LogsConfig, path: str, order: int) -> LogFile:
    gzipped = is_gzip(config, path)
    with open_log(path, gzipped) as stream:
        start = read_some(stream, _SNIFF_BYTES, path, 1)
        while config.header and start and b"\n" not in start:
            chunk = read_some(stream, _SNIFF_BYTES, path, 1)
            start += chunk or b"\n"
    lines = start.removeprefix(BOM).splitlines()
    if not any(line.strip() for line in lines):
        return LogFile(path, order, gzipped, 0, (0, 1, 2), ROLES)
    wanted = [getattr(config.columns, role) for role in ROLES]
    if config.header:
        fields = split_line(lines[0], config) or [lines[0]]
        header = [f.decode("utf-8", "replace").strip() for f in fields]
        positions = [
            _position(config, path, role, column, header)
            for role, column in zip(ROLES, wanted, strict=True)
        ]
        names = [header[position] for position in positions]
        num_columns = len(header)
    else:
        num_columns = _usual_columns(lines, config)
        for role, column in zip(ROLES, wanted, strict=True):
            if not 0 <= column < num_columns:
                raise LogsError(
                    f"{path}: `logs.columns.{role}` is {column}, but with "
                    f"`logs.separator` {config.separator!r} the rows have "
                    f"{num_columns} columns (numbered from 0). First row: "
                    f"{lines[0][:200].decode('utf-8', 'replace')!r}. Correct "
                    "the number or the separator."
                )
        positions = wanted
        names = [
            f"{role} (column {column})"
            for role, column in zip(ROLES, wanted, strict=True)
        ]
    return LogFile(
        path, order, gzipped, num_columns, tuple(positions), tuple(names)
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
    if column in header:
        return header.index(str(column))
    if len(header) == 1:
        fix = (
            " It is one column only: is `logs.separator` "
            f"{config.separator!r} right?"
        )
    elif any(name.isdigit() for name in header):
        fix = (
            " If the first line is no header, set `logs.header: false` and "
            "give column numbers from 0."
        )
    else:
        fix = suggest(str(column), header) or (
            f" Set `logs.columns.{role}` to one of them."
        )
    raise LogsError(
        f"{path}: no column {column!r} in the header, as "
        f"`logs.columns.{role}` asks for. Columns found: "
        f"{list_some(header)}.{fix}"
    )


def _usual_columns(lines: list[bytes], config: LogsConfig) -> int:
    """The most frequent number of columns of the first lines."""
    counts = collections.Counter(
        len(split_line(line, config) or ())
        for line in lines[:_SNIFF_LINES]
        if line.strip()
    )
    return counts.most_common(1)[0][0]
