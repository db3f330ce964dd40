"""Notices times that were written in another unit than the configured one.

Seconds read as milliseconds are formally valid times, all of them in January
1970; milliseconds read as seconds lie thousands of years ahead. A number
between 1990 and 2100 in one unit is far outside these years in any other, so
the rows of a file tell its unit.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

_FIRST = 631_152_000  # 1990-01-01, unix seconds
_LAST = 4_102_444_800  # 2100-01-01
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6}


class HasUnits(Protocol):
    """What is needed of an account of a block."""

    @property
    def path(self) -> str: ...

    @property
    def num_rows(self) -> int: ...

    @property
    def other_units(self) -> dict[str, int]: ...


def count_other_units(numbers: np.ndarray, time_unit: str) -> dict[str, int]:
    """How many times lie between 1990 and 2100 in a unit not configured.

    Args:
        numbers: [n] times as they were written, without those that are none.
        time_unit: the configured unit.

    Returns:
        time unit to rows, without zeros.
    """
    counts = {}
    for unit, scale in _UNITS.items():
        if unit != time_unit:
            inside = (numbers >= _FIRST * scale) & (numbers < _LAST * scale)
            if count := int(np.count_nonzero(inside)):
                counts[unit] = count
    return counts


def find_wrong_units(blocks: Iterable[HasUnits]) -> list[dict[str, Any]]:
    """Files of which most rows speak for another unit, by path.

    Args:
        blocks: the blocks of all files.

    Returns:
        per such file: `file`, `time_unit` (that it seems to be in), `rows`
        that say so and `of`, its rows in all.
    """
    rows: collections.Counter[str] = collections.Counter()
    units: dict[str, collections.Counter[str]] = {}
    for block in blocks:
        rows[block.path] += block.num_rows
        if block.other_units:
            counts = units.setdefault(block.path, collections.Counter())
            counts.update(block.other_units)
    wrong = []
    for path in sorted(units):
        ((unit, count),) = units[path].most_common(1)
        if 2 * count > rows[path]:
            wrong.append(
                {
                    "file": path,
                    "time_unit": unit,
                    "rows": count,
                    "of": rows[path],
                }
            )
    return wrong


def describe_wrong_units(
    wrong: list[dict[str, Any]], time_unit: str, num_files: int
) -> str:
    """What is wrong and the fix, for a message.

    Args:
        wrong: what `find_wrong_units` returned, not empty.
        time_unit: the configured unit.
        num_files: files of the log.
    """
    first = wrong[0]
    unit = first["time_unit"]
    found = (
        "are written as ISO-8601 dates"
        if unit == "iso8601"
        else f"lie between 1990 and 2100 if they are read as {unit}"
    )
    text = (
        f"{first['file']}: {first['rows']:,} of {first['of']:,} times {found},"
        f" but `logs.time_unit` is {time_unit}"
        + ("" if time_unit == "iso8601" else ", in which they do not")
        + f". The same holds for {len(wrong):,} of {num_files:,} files. "
    )
    if len(wrong) == num_files:
        return text + f"Set `logs.time_unit: {unit}`."
    return text + (
        f"Set `logs.time_unit: {unit}` if that is the unit of all files; "
        "otherwise bring them to one unit, since a log has one only."
    )
