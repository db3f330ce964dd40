"""A log file and the error that stands for what is wrong with it."""

from __future__ import annotations

import dataclasses
import difflib


class LogsError(ValueError):
    """The logs cannot be read as configured; the message names the fix."""


@dataclasses.dataclass(frozen=True)
class LogFile:
    """One log file and where its columns are.

    Attributes:
        path: full path.
        order: rank of the file among all matched files, by path.
        compression: none, gzip or zstd.
        num_columns: columns of a well-formed row; 0 for a file without rows.
        positions: numbers from 0 of the columns of `LogsConfig.roles`;
            delimited files only.
        names: the same columns as messages call them.
        earliest_key: smallest sort key (see `times`) of a usable row, or
            None.
        latest_key: largest sort key of a usable row, or None. It is here
            since `now` must be the same moment for all workers.
    """

    path: str
    order: int
    compression: str
    num_columns: int
    positions: tuple[int, ...]
    names: tuple[str, ...]
    earliest_key: int | None = None
    latest_key: int | None = None


def no_rows(path: str, order: int) -> LogFile:
    """A file without any row."""
    return LogFile(path, order, "none", 0, (), ())


def list_some(names: list[str], most: int = 12) -> str:
    """The first names, quoted, for a message."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f", ... ({len(names)})" if len(names) > most else "")


def count_files(number: int) -> str:
    """A number of files, for a message."""
    return "1 file" if number == 1 else f"{number:,} files"


def nested_fix(name: str) -> str:
    """What to do about a value inside of another one, for a message."""
    outer = name.partition(".")[0]
    inner = name if "." in name else f"{outer}.id"
    return (
        f"What is inside of an object or a list (`{inner}`) is not read. Write "
        "it as a key or a column of the row itself, for example with `jq -c "
        f"'.{outer}_id = .{inner}'`, and name that."
    )


def suggest(name: str, options: list[str]) -> str:
    """The nearest option as a question for a message, or nothing."""
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.4)
    return f" Did you mean {near[0]!r}?" if near else ""
