"""Notices times that were written in another unit than the configured one.

Seconds read as milliseconds are formally valid times, all of them in January
1970; milliseconds read as seconds lie thousands of years ahead. A number
between 1990 and 2100 in one unit is far outside these years in any other, so
the rows of a file tell its unit. The same holds for dates written as numbers,
20240301, which are seconds of August 1970. Days as spreadsheets count them are
small numbers that a clock of one's own may reach, too: they count only where
the whole log is in that range.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

FIRST = 631_152_000  # 1990-01-01, unix seconds
LAST = 4_102_444_800  # 2100-01-01
_UNITS = {
    "seconds": 1,
    "milliseconds": 10**3,
    "microseconds": 10**6,
    "nanoseconds": 10**9,
}
_DATES = "dates"
_DAYS = "days"
# The same years in them.
_FIRST_DATE, _LAST_DATE = 1990_01_01, 2100_01_01
_FIRST_DAY, _LAST_DAY = 32_874, 73_051
_FOUND = {
    _DATES: "are dates written as numbers (YYYYMMDD)",
    _DAYS: (
        "lie between 1990 and 2100 if they are read as days since 1900, as "
        "spreadsheets count them"
    ),
    "iso8601": "are written as ISO-8601 dates",
}
_NOT_THERE = ", in which they do not"


class HasUnits(Protocol):
    """What is needed of an account of a block."""

    @property
    def path(self) -> str: ...

    @property
    def num_rows(self) -> int: ...

    @property
    def other_units(self) -> dict[str, int]: ...


def count_other_units(numbers: np.ndarray, time_unit: str) -> dict[str, int]:
    """How many times lie between 1990 and 2100 in something not configured.

    Args:
        numbers: [n] times as they were written, without those that are none.
        time_unit: the configured unit.

    Returns:
        time unit, "dates" (YYYYMMDD) or "days" (of spreadsheets) to rows,
        without zeros.
    """
    days = (numbers >= _FIRST_DAY) & (numbers < _LAST_DAY)
    counts = {_DATES: _count_dates(numbers), _DAYS: np.count_nonzero(days)}
    for unit, scale in _UNITS.items():
        if unit != time_unit:
            inside = (numbers >= FIRST * scale) & (numbers < LAST * scale)
            counts[unit] = np.count_nonzero(inside)
    return {unit: int(count) for unit, count in counts.items() if count}


def _count_dates(numbers: np.ndarray) -> int:
    inside = (numbers >= _FIRST_DATE) & (numbers < _LAST_DATE)
    if not inside.any():
        return 0
    dates = numbers[inside].astype(np.int64)
    month, day = dates // 100 % 100, dates % 100
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return int(np.count_nonzero(valid))


def find_wrong_units(blocks: Iterable[HasUnits]) -> list[dict[str, Any]]:
    """Files of which most rows speak for another unit, by path.

    Args:
        blocks: the blocks of all files.

    Returns:
        per such file: `file`, `time_unit` (what it seems to be in, see
        `count_other_units`), `rows` that say so and `of`, its rows in all.
    """
    rows: collections.Counter[str] = collections.Counter()
    units: dict[str, collections.Counter[str]] = {}
    for block in blocks:
        rows[block.path] += block.num_rows
        if block.other_units:
            counts = units.setdefault(block.path, collections.Counter())
            counts.update(block.other_units)
    wrong: list[dict[str, Any]] = []
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
    num_files = np.count_nonzero(list(rows.values()))
    all_days = len(wrong) == num_files and all(
        100 * file["rows"] >= 99 * file["of"] for file in wrong
    )
    return [f for f in wrong if f["time_unit"] != _DAYS or all_days]


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
    found = _FOUND.get(
        unit, f"lie between 1990 and 2100 if they are read as {unit}"
    )
    text = (
        f"{first['file']}: {first['rows']:,} of {first['of']:,} times {found},"
        f" but `logs.time_unit` is {time_unit}"
        + ("" if time_unit == "iso8601" or unit in _FOUND else _NOT_THERE)
        + ". "
    )
    if num_files > 1:
        text += f"The same holds for {len(wrong):,} of {num_files:,} files. "
    if unit == _DAYS:
        return text + (
            "Write the column as dates such as 2024-03-01 12:00:00, and set "
            "`logs.time_unit: iso8601`."
        )
    fix = f"Set `logs.time_unit: {'iso8601' if unit == _DATES else unit}`"
    if unit == _DATES:
        fix += ", which reads such dates, too"
    if len(wrong) == num_files:
        return text + f"{fix}."
    return text + (
        f"{fix} if that is the unit of all files; otherwise bring them to one "
        "unit, since a log has one only."
    )
